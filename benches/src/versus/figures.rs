//! How figures are written: three digits, and never "100 %" of nearly all.

use super::results::Spread;

/// A median and its range, if rounds differ.
pub fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".into(), |spread| told(spread, number))
}

/// The same of parts of a whole.
pub fn shown_percent(spread: Option<Spread>) -> String {
    let percent = |value: f64| match 100.0 * value {
        // Nearly all is not all.
        share if share < 100.0 && share > 99.9 => format!("{share:.2} %"),
        share => format!("{share:.0} %"),
    };
    spread.map_or_else(|| "-".into(), |spread| told(spread, percent))
}

fn told(spread: Spread, number: impl Fn(f64) -> String) -> String {
    let (median, least, most) = (number(spread.median), number(spread.least), number(spread.most));
    if least == most { median } else { format!("{median} ({least} to {most})") }
}

/// Three digits, or all those before the point, with commas between thousands.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => with_commas(value.round() as i64),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn with_commas(value: i64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_keeps_three_digits_or_all_before_the_point() {
        let written = [0.1234, 1.234, 12.34, 123.4, 1_234_567.0].map(number);
        assert_eq!(written, ["0.123", "1.23", "12.3", "123", "1,234,567"]);
    }

    #[test]
    fn nearly_all_is_not_told_as_all() {
        let percent = |value| shown_percent(Spread::of([value]));
        assert_eq!([percent(1.0), percent(0.9999), percent(0.5)], ["100 %", "99.99 %", "50 %"]);
        assert_eq!(shown(None), "-");
    }
}
