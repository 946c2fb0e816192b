//! Comma-separated values (RFC 4180): `column: value` lines for each row, as
//! Flowise's loader gives them. The delimiter is guessed from the first rows,
//! as Papa Parse does it there.

use super::{ExtractError, MAX_TEXT_BYTES};

/// What stands between values, the likeliest first.
const DELIMITERS: [char; 6] = [',', '\t', '|', ';', '\u{1e}', '\u{1f}'];
/// Rows by which the delimiter is guessed.
const N_GUESSED: usize = 10;
/// Values in one row; the rest is left out.
const MAX_VALUES: usize = 10_000;

/// The rows below the first, which names the columns.
pub(super) fn pages(text: &str) -> Result<Vec<String>, ExtractError> {
    let mut rows = Rows::of(text);
    let Some(header) = rows.next() else { return Ok(Vec::new()) };
    let columns = Columns::of(&header);
    let mut pages = Vec::new();
    // A long name before each of many short values is more than the file holds.
    let mut left = MAX_TEXT_BYTES;
    for row in rows.filter(|row| !is_blank(row)) {
        let page = columns.page(&row);
        left = left.checked_sub(page.len()).ok_or(ExtractError::TooLarge)?;
        pages.push(page);
    }
    Ok(pages)
}

/// True for a row of an empty line.
pub fn is_blank(row: &[String]) -> bool {
    row.iter().all(|value| value.trim().is_empty())
}

/// The names of a table's columns.
#[derive(Debug, Clone)]
pub struct Columns(Vec<String>);

impl Columns {
    /// Of the first row. One without a name is `_0`; where a name comes again,
    /// a number makes it another.
    pub fn of(header: &[String]) -> Self {
        let mut names: Vec<String> = Vec::with_capacity(header.len());
        let mut counts = std::collections::HashMap::new();
        for name in header {
            let name = name.trim();
            let n_before = counts.entry(name).and_modify(|n| *n += 1).or_insert(0_usize);
            names.push(match (name, *n_before) {
                ("", 0) => "_0".to_owned(),
                (name, 0) => name.to_owned(),
                (name, n) => format!("{name}_{n}"),
            });
        }
        Self(names)
    }

    /// A row as `column: value` lines.
    pub fn page(&self, row: &[String]) -> String {
        let mut page = String::new();
        for (name, value) in self.0.iter().zip(row) {
            if !page.is_empty() {
                page.push('\n');
            }
            page.push_str(name);
            page.push_str(": ");
            page.push_str(value.trim());
        }
        page
    }

    /// The place of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column == name.trim())
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// The rows of a text, the header first.
pub struct Rows<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    delimiter: char,
    /// What ends a row: old Macs wrote carriage returns alone.
    end: char,
}

impl<'a> Rows<'a> {
    /// With the delimiter that the text's first rows speak for.
    pub fn of(text: &'a str) -> Self {
        let text = text.trim();
        let end = if text.contains('\n') { '\n' } else { '\r' };
        let rows = |delimiter| Rows { chars: text.chars().peekable(), delimiter, end };
        let score = |delimiter: &char| consistency(rows(*delimiter).take(N_GUESSED));
        let scores =
            DELIMITERS.iter().filter_map(|delimiter| Some((score(delimiter)?, *delimiter)));
        // Of equals the first wins, which `min_by` keeps.
        let best = scores.min_by(|(one, _), (other, _)| one.total_cmp(other));
        rows(best.map_or(',', |(_, delimiter)| delimiter))
    }
}

/// How much the rows differ in their number of values, less is better; more
/// values break a tie. `None` where most rows have one value only.
fn consistency(rows: impl Iterator<Item = Vec<String>>) -> Option<f64> {
    let counts: Vec<usize> = rows.map(|row| row.len()).collect();
    let mean = counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64;
    let changes: usize = counts.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
    (mean > 1.99).then(|| changes as f64 - mean / (2 * MAX_VALUES) as f64)
}

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        self.chars.peek()?;
        let mut row = Vec::new();
        loop {
            let (value, is_last) = self.value();
            if row.len() < MAX_VALUES {
                row.push(value);
            }
            if is_last {
                return Some(row);
            }
        }
    }
}

impl Rows<'_> {
    /// The next value, and whether its row ends with it.
    fn value(&mut self) -> (String, bool) {
        let mut value = String::new();
        let is_quoted = self.chars.next_if_eq(&'"').is_some();
        if is_quoted {
            self.quoted(&mut value);
        }
        while let Some(ch) = self.chars.next() {
            match ch {
                ch if ch == self.delimiter => return (value, false),
                ch if ch == self.end => return (value, true),
                '\r' if self.chars.peek() == Some(&'\n') => {}
                other => value.push(other),
            }
        }
        (value, true)
    }

    /// Up to the closing quote; two quotes are one that belongs to the value.
    fn quoted(&mut self, value: &mut String) {
        while let Some(ch) = self.chars.next() {
            match ch {
                '"' if self.chars.next_if_eq(&'"').is_some() => value.push('"'),
                '"' => return,
                other => value.push(other),
            }
        }
    }
}
