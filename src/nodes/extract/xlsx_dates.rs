//! Dates in workbooks: numbers of days, which only the format of their cell
//! tells from other numbers (ECMA-376, part 1, section 18.8).

use std::collections::HashSet;

use chrono::{Duration, NaiveDate};

use super::ExtractError;
use super::office::Archive;
use super::xml::{Piece, walk};

const SECONDS_A_DAY: f64 = 86_400.0;
/// The last day that Excel knows, in the year 9999.
const LAST_DAY: f64 = 2_958_465.0;

/// Which formats of cells are dates.
#[derive(Debug, Default)]
pub(super) struct Dates {
    /// By the number of a cell's format.
    is_date: Vec<bool>,
    /// Whether days are counted from 1904 on, as on old Macs.
    is_1904: bool,
}

impl Dates {
    pub(super) fn of(archive: &mut Archive<'_>) -> Result<Self, ExtractError> {
        let mut dates = Self::default();
        let styles = archive.read("xl/styles.xml")?.unwrap_or_default();
        let mut own = HashSet::new();
        let mut is_of_cells = false;
        walk(&styles, |piece| match piece {
            Piece::Open("numFmt", attribute) => {
                let code = attribute("formatCode").unwrap_or_default();
                own.extend(attribute("numFmtId").filter(|_| tells_a_date(&code)));
            }
            Piece::Open("cellXfs", _) => is_of_cells = true,
            Piece::Close("cellXfs") => is_of_cells = false,
            Piece::Open("xf", attribute) if is_of_cells => {
                let id = attribute("numFmtId").unwrap_or_default();
                let is_common = id.parse().is_ok_and(|id: u32| matches!(id, 14..=22 | 27..=36));
                dates.is_date.push(is_common || own.contains(&id));
            }
            _ => {}
        })?;
        let workbook = archive.read("xl/workbook.xml")?.unwrap_or_default();
        walk(&workbook, |piece| {
            if let Piece::Open("workbookPr", attribute) = piece {
                dates.is_1904 = matches!(attribute("date1904").as_deref(), Some("1" | "true"));
            }
        })?;
        Ok(dates)
    }

    /// The date of a number in a cell of this format, `2020-05-01`, with its
    /// time where it has one; `None` where the format is of no date.
    pub(super) fn shown(&self, number: &str, format: usize) -> Option<String> {
        if !*self.is_date.get(format)? {
            return None;
        }
        let days: f64 = number.trim().parse().ok()?;
        if !(0.0..=LAST_DAY).contains(&days) {
            return None;
        }
        // Excel counts from the last day of 1899, and a leap day too many in 1900.
        let (year, month, day) = if self.is_1904 { (1904, 1, 1) } else { (1899, 12, 30) };
        let first = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(0, 0, 0)?;
        let time = first + Duration::seconds((days * SECONDS_A_DAY).round() as i64);
        let pattern = match (days.trunc() == 0.0, days.fract() == 0.0) {
            (true, false) => "%H:%M:%S",
            (_, true) => "%Y-%m-%d",
            _ => "%Y-%m-%d %H:%M:%S",
        };
        Some(time.format(pattern).to_string())
    }
}

/// True for a format with a year, a month, a day or an hour in it. Times that
/// go beyond a day (`[h]`) are no dates.
fn tells_a_date(code: &str) -> bool {
    let code = code.split(';').next().unwrap_or_default().to_ascii_lowercase();
    if code.contains("[h") || code.contains("[m") || code.contains("[s") {
        return false;
    }
    let (mut is_quoted, mut is_bracket, mut is_escaped) = (false, false, false);
    for ch in code.chars() {
        match ch {
            _ if is_escaped => is_escaped = false,
            '\\' | '_' | '*' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '[' if !is_quoted => is_bracket = true,
            ']' if !is_quoted => is_bracket = false,
            'y' | 'm' | 'd' | 'h' if !is_quoted && !is_bracket => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_tell_dates_from_numbers() {
        for code in ["yyyy-mm-dd", "d/m/yy;@", "[$-409]h:mm AM/PM", "\"on\" d. mmmm"] {
            assert!(tells_a_date(code), "{code}");
        }
        for code in ["General", "0.00", "#,##0 \"days\"", "[h]:mm", "[Red]0", "0\\m", "_-* #,##0"] {
            assert!(!tells_a_date(code), "{code}");
        }
    }

    #[test]
    fn days_are_counted_as_excel_counts_them() {
        let mut dates = Dates { is_date: vec![false, true], is_1904: false };
        assert_eq!(dates.shown("43952", 0), None);
        assert_eq!(dates.shown("43952", 1).unwrap(), "2020-05-01");
        assert_eq!(dates.shown("44198.5", 1).unwrap(), "2021-01-02 12:00:00");
        assert_eq!(dates.shown("0.25", 1).unwrap(), "06:00:00");
        assert_eq!(dates.shown("1e300", 1), None);
        assert_eq!(dates.shown("-1", 1), None);
        dates.is_1904 = true;
        assert_eq!(dates.shown("1", 1).unwrap(), "1904-01-02");
    }
}
