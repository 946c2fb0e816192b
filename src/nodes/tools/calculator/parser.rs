//! A Pratt parser that calculates as it reads. The text and the depth of its
//! parentheses are bounded, so every text is done in no time.
//!
//! Precedence, weakest first: `?:`, `or`, `and`, comparisons, `+ -`, `* / %`,
//! prefixes, `^` (to the right), `!`.

use super::functions;
use super::value::Value;

/// Longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;

const CONDITION: u8 = 1;
const PREFIX: u8 = 7;
const POWER: u8 = 8;
const POSTFIX: u8 = 9;

/// Operators between two operands, longest first, with their precedence.
const BINARY: [(&str, u8); 14] = [
    ("==", 4),
    ("!=", 4),
    ("<=", 4),
    (">=", 4),
    ("<", 4),
    (">", 4),
    ("+", 5),
    ("-", 5),
    ("*", 6),
    ("∙", 6),
    ("•", 6),
    ("/", 6),
    ("%", 6),
    ("^", POWER),
];
/// Operators that are words.
const WORDS: [(&str, u8); 3] = [("or", 2), ("and", 3), ("in", 4)];

/// What an expression is worth; `None` when it makes no sense.
pub(super) fn evaluate(text: &str) -> Option<Value> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut parser = Parser { rest: text, depth: 0 };
    let value = parser.expression(CONDITION)?;
    parser.blank();
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    /// What is still to be read.
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// An operand and all operators of at least this precedence after it.
    fn expression(&mut self, least: u8) -> Option<Value> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut left = self.operand()?;
        loop {
            self.blank();
            left = if least <= POSTFIX && self.factorial_follows() {
                functions::call("fac", &[Value::Number(left.number())])?
            } else if let Some(operator) = self.binary(least) {
                let right = self.expression(right_side(operator))?;
                combine(operator.0, &left, &right)
            } else if least <= CONDITION && self.take("?") {
                self.condition(&left)?
            } else {
                self.depth -= 1;
                return Some(left);
            };
        }
    }

    /// Both branches are read, one counts.
    fn condition(&mut self, condition: &Value) -> Option<Value> {
        let yes = self.expression(CONDITION)?;
        self.expect(":")?;
        let no = self.expression(CONDITION)?;
        Some(if condition.is_true() { yes } else { no })
    }

    fn operand(&mut self) -> Option<Value> {
        self.blank();
        match self.rest.chars().next()? {
            '(' => self.group(),
            '[' => {
                self.take("[");
                let items = self.list("]")?;
                Some(Value::List(items.iter().map(Value::number).collect()))
            }
            '0'..='9' | '.' => self.number(),
            '-' => self.sign().map(|value| Value::Number(-value.number())),
            '+' => self.sign().map(|value| Value::Number(value.number())),
            '!' => {
                self.take("!");
                self.apply("!")
            }
            _ => {
                let name = self.word()?;
                self.named(name)
            }
        }
    }

    fn group(&mut self) -> Option<Value> {
        self.expect("(")?;
        let value = self.expression(CONDITION)?;
        self.expect(")")?;
        Some(value)
    }

    fn sign(&mut self) -> Option<Value> {
        self.rest = &self.rest[1..];
        self.expression(PREFIX)
    }

    fn named(&mut self, name: &'a str) -> Option<Value> {
        match name {
            "PI" => return Some(Value::Number(std::f64::consts::PI)),
            "E" => return Some(Value::Number(std::f64::consts::E)),
            "true" => return Some(Value::Bool(true)),
            "false" => return Some(Value::Bool(false)),
            _ if name == "not" || functions::prefix(name).is_some() => return self.apply(name),
            _ => {}
        }
        self.expect("(")?;
        let arguments = self.list(")")?;
        functions::call(name, &arguments)
    }

    /// With parentheses a prefix binds as a function does, `sin(x)^2`, without
    /// as a sign does, `sin x^2`.
    fn apply(&mut self, name: &str) -> Option<Value> {
        self.blank();
        let value =
            if self.rest.starts_with('(') { self.group() } else { self.expression(PREFIX) }?;
        match functions::prefix(name) {
            Some(function) => Some(Value::Number(function(value.number()))),
            None => Some(Value::Bool(!value.is_true())),
        }
    }

    /// Expressions between commas up to a bracket.
    fn list(&mut self, end: &str) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        if self.take(end) {
            return Some(items);
        }
        loop {
            items.push(self.expression(CONDITION)?);
            if self.take(end) {
                return Some(items);
            }
            self.expect(",")?;
        }
    }

    fn number(&mut self) -> Option<Value> {
        for (mark, radix) in [("0x", 16), ("0b", 2)] {
            let digits = self.rest.strip_prefix(mark).unwrap_or_default();
            let n = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
            if n > 0 {
                let digits = self.advance(mark.len() + n)[mark.len()..].chars();
                let digits = digits.filter_map(|digit| digit.to_digit(radix));
                let whole = |sum, digit| sum * f64::from(radix) + f64::from(digit);
                return Some(Value::Number(digits.fold(0.0, whole)));
            }
        }
        let length = decimal_length(self.rest);
        self.advance(length).parse().ok().map(Value::Number)
    }

    fn word(&mut self) -> Option<&'a str> {
        let is_inner = |c: char| c.is_alphanumeric() || c == '_';
        let length = self.rest.find(|c: char| !is_inner(c)).unwrap_or(self.rest.len());
        (length > 0).then(|| self.advance(length))
    }

    /// The operator that comes next, if it is strong enough.
    fn binary(&mut self, least: u8) -> Option<(&'static str, u8)> {
        let is_whole = |word: &str| {
            let after = self.rest[word.len()..].chars().next();
            !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        };
        let sign = BINARY.iter().find(|(sign, _)| self.rest.starts_with(sign));
        let word = || WORDS.iter().find(|(word, _)| self.rest.starts_with(word) && is_whole(word));
        let operator = *sign.or_else(word)?;
        if operator.1 < least {
            return None;
        }
        self.advance(operator.0.len());
        Some(operator)
    }

    fn factorial_follows(&mut self) -> bool {
        !self.rest.starts_with("!=") && self.take("!")
    }

    fn take(&mut self, text: &str) -> bool {
        self.blank();
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.take(text).then_some(())
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn advance(&mut self, length: usize) -> &'a str {
        let (read, rest) = self.rest.split_at(length);
        self.rest = rest;
        read
    }
}

/// A power's exponent may have a sign and a power of its own; all others take
/// what is stronger than they are.
fn right_side((_, precedence): (&str, u8)) -> u8 {
    if precedence == POWER { PREFIX } else { precedence + 1 }
}

/// The length of the number at the beginning of a text; an `e` without digits
/// after it does not belong to it.
fn decimal_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let mut end = digits(0);
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    let Some(exponent) = text[end..].strip_prefix(['e', 'E']) else { return end };
    let from = text.len() - exponent.strip_prefix(['+', '-']).unwrap_or(exponent).len();
    if digits(from) > from { digits(from) } else { end }
}

fn combine(operator: &str, left: &Value, right: &Value) -> Value {
    let (a, b) = (left.number(), right.number());
    let number = match operator {
        "+" => a + b,
        "-" => a - b,
        "*" | "∙" | "•" => a * b,
        "/" => a / b,
        "%" => a % b,
        "^" => functions::power(a, b),
        _ => return Value::Bool(compare(operator, left, right)),
    };
    Value::Number(number)
}

fn compare(operator: &str, left: &Value, right: &Value) -> bool {
    let (a, b) = (left.number(), right.number());
    // As in JavaScript's ===, a number is not a boolean and no list another.
    let is_same = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => false,
    };
    match operator {
        "==" => is_same,
        "!=" => !is_same,
        "<" => a < b,
        ">" => a > b,
        "<=" => a <= b,
        ">=" => a >= b,
        "and" => left.is_true() && right.is_true(),
        "or" => left.is_true() || right.is_true(),
        _ => matches!(right, Value::List(items) if items.contains(&a)),
    }
}
