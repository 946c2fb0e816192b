//! The functions of the calculator, with JavaScript's answers at the edges.

use super::value::{Value, parts};

/// A function of one argument, which needs no parentheses: `sqrt 2`.
pub(super) fn prefix(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "sqrt" => f64::sqrt,
        "cbrt" => f64::cbrt,
        "log" | "ln" => f64::ln,
        "log2" => f64::log2,
        "lg" | "log10" => f64::log10,
        "log1p" => f64::ln_1p,
        "exp" => f64::exp,
        "expm1" => f64::exp_m1,
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "round" => round,
        "trunc" => f64::trunc,
        "sign" => sign,
        "!" => factorial,
        _ => return None,
    })
}

/// A function with its arguments in parentheses; `None` when there is no such
/// function, or not for these arguments.
pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Value> {
    if let ("if", [condition, yes, no]) = (name, arguments) {
        return Some(if condition.is_true() { yes } else { no }.clone());
    }
    let numbers = numbers(arguments);
    let number = match (name, numbers.as_slice()) {
        ("min", all) => all.iter().copied().fold(f64::INFINITY, |a, b| pick(a, b, a < b)),
        ("max", all) => all.iter().copied().fold(f64::NEG_INFINITY, |a, b| pick(a, b, a > b)),
        ("sum", all) => all.iter().sum(),
        ("hypot" | "pyt", all) => all.iter().fold(0.0, |a: f64, b| a.hypot(*b)),
        ("pow", [base, exponent]) => power(*base, *exponent),
        ("atan2", [y, x]) => y.atan2(*x),
        ("fac", [n]) => factorial(*n),
        ("gamma", [n]) => gamma(*n),
        ("roundTo", [number]) => round(*number),
        ("roundTo", [number, digits]) => round_to(*number, *digits),
        _ => return None,
    };
    Some(Value::Number(number))
}

/// The arguments as numbers; a single list stands for its items.
fn numbers(arguments: &[Value]) -> Vec<f64> {
    match arguments {
        [Value::List(items)] => items.clone(),
        values => values.iter().map(Value::number).collect(),
    }
}

/// One of two numbers; none where one of them is none.
fn pick(a: f64, b: f64, is_first: bool) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if is_first { a } else { b }
}

/// JavaScript's power: C says 1 where it says NaN.
pub(super) fn power(base: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite()) {
        return f64::NAN;
    }
    base.powf(exponent)
}

fn sign(number: f64) -> f64 {
    if number == 0.0 { number } else { number.signum() }
}

/// To the nearest whole number, halves upwards.
fn round(number: f64) -> f64 {
    let floor = number.floor();
    if number - floor >= 0.5 { floor + 1.0 } else { floor }
}

/// Rounds to `digits` places after the point; the point is moved in the
/// decimal digits, so that 1.005 is not made less than it looks.
fn round_to(number: f64, digits: f64) -> f64 {
    if digits == 0.0 {
        return round(number);
    }
    if !number.is_finite() || digits.fract() != 0.0 {
        return f64::NAN;
    }
    // A cast ends at the ends of its type, where a double has no digits left.
    let places = (digits.clamp(-400.0, 400.0)) as i64;
    let rounded = round(shift(number, places));
    if rounded.is_finite() { shift(rounded, -places) } else { f64::NAN }
}

fn shift(number: f64, places: i64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let (digits, exponent) = parts(number.abs());
    let exponent = exponent + places - (digits.len() as i64 - 1);
    let shifted: f64 = format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN);
    shifted.copysign(number)
}

fn factorial(number: f64) -> f64 {
    gamma(number + 1.0)
}

/// The gamma function: exact where the factorial is, else by Lanczos's
/// approximation (g = 7, nine terms).
fn gamma(number: f64) -> f64 {
    if number.is_nan() || number == f64::NEG_INFINITY {
        return f64::NAN;
    }
    if number.fract() == 0.0 || number > 171.7 {
        return match number {
            n if n <= 0.0 || n > 171.0 => f64::INFINITY,
            n => (2..n as u32).map(f64::from).product(),
        };
    }
    if number < 0.5 {
        let pi = std::f64::consts::PI;
        return pi / ((pi * number).sin() * gamma(1.0 - number));
    }
    lanczos(number - 1.0)
}

fn lanczos(number: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let terms = TERMS.iter().zip(1_u8..).map(|(term, i)| term / (number + f64::from(i)));
    let sum = 0.999_999_999_999_809_9 + terms.sum::<f64>();
    let t = number + 7.5;
    // The power in two halves: whole, it would overflow before its product does.
    let half = t.powf((number + 0.5) / 2.0);
    (2.0 * std::f64::consts::PI).sqrt() * half * (-t).exp() * half * sum
}
