//! What an expression is worth, and how JavaScript prints it.

use std::fmt;

/// The result of an expression or of a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number.
    Number(f64),
    /// The result of a comparison.
    Bool(bool),
    /// `[1, 2]`.
    List(Vec<f64>),
}

impl Value {
    /// The number that JavaScript makes of it.
    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Bool(is_true) => f64::from(u8::from(*is_true)),
            Self::List(_) => f64::NAN,
        }
    }

    /// Whether JavaScript takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Bool(is_true) => *is_true,
            Self::List(_) => true,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&print(*number)),
            Self::Bool(is_true) => write!(f, "{is_true}"),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| print(*item)).collect();
                f.write_str(&items.join(","))
            }
        }
    }
}

/// A number as JavaScript prints it: the shortest digits that read back as the
/// same number, with an exponent from 1e21 up and from 1e-7 down (ECMA-262,
/// Number::toString).
pub(super) fn print(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let (digits, exponent) = parts(number.abs());
    format!("{sign}{}", arrange(&digits, exponent))
}

/// The shortest digits of a number, and the power of ten of the first one.
pub(super) fn parts(number: f64) -> (String, i64) {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

fn arrange(digits: &str, exponent: i64) -> String {
    // `n` digits stand before the point.
    let (k, n) = (digits.len() as i64, exponent + 1);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    if (k..=21).contains(&n) {
        return format!("{digits}{}", zeros(n - k));
    }
    if (1..=21).contains(&n) {
        let (whole, fraction) = digits.split_at(usize::try_from(n).unwrap_or(0));
        return format!("{whole}.{fraction}");
    }
    if (-5..=0).contains(&n) {
        return format!("0.{}{digits}", zeros(-n));
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { "-" } else { "+" };
    format!("{first}{point}{rest}e{sign}{}", exponent.abs())
}
