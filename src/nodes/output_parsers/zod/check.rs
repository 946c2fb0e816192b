//! Holds a value to a shape.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::schema::{Format, Kind, Length, Range, Schema, plain};

/// So many problems are told of one answer.
const MOST_PROBLEMS: usize = 8;

impl Schema {
    /// The value in this shape: keys that the shape does not know are left
    /// out, defaults are put in.
    ///
    /// # Errors
    /// What is wrong with it, place by place, in a few words each.
    pub(crate) fn check(&self, value: Value) -> Result<Value, String> {
        let mut problems = Problems::default();
        let value = self.fit(value, "", &mut problems);
        if problems.0.is_empty() { Ok(value) } else { Err(problems.0.join("; ")) }
    }

    fn fit(&self, value: Value, path: &str, problems: &mut Problems) -> Value {
        if value.is_null() && self.nullable {
            return value;
        }
        match (&self.kind, value) {
            (Kind::Any, value) => value,
            (Kind::Text(length, format), Value::String(text)) => {
                let n_units = text.encode_utf16().count();
                length.check(n_units, "characters", path, problems);
                if format.is_some_and(|format| !format.fits(&text)) {
                    problems.add(path, format_words(*format));
                }
                Value::String(text)
            }
            (Kind::Number(range), Value::Number(number)) => {
                range.check(number.as_f64().unwrap_or(f64::NAN), path, problems);
                Value::Number(number)
            }
            (Kind::Boolean, value @ Value::Bool(_)) => value,
            (Kind::Date, Value::String(text)) if is_date(&text) => Value::String(text),
            (Kind::Literal(wanted), value) if same(wanted, &value) => value,
            (Kind::Enum(words), Value::String(word)) if words.contains(&word) => {
                Value::String(word)
            }
            (Kind::Array(item, length), Value::Array(items)) => {
                length.check(items.len(), "items", path, problems);
                let fit = |(at, value)| item.fit(value, &format!("{path}[{at}]"), problems);
                Value::Array(items.into_iter().enumerate().map(fit).collect())
            }
            (Kind::Tuple(kinds), Value::Array(items)) if kinds.len() == items.len() => {
                let fit = |(at, (kind, value)): (usize, (&Self, Value))| {
                    kind.fit(value, &format!("{path}[{at}]"), problems)
                };
                Value::Array(kinds.iter().zip(items).enumerate().map(fit).collect())
            }
            (Kind::Object(fields), Value::Object(map)) => object(fields, map, path, problems),
            (Kind::Record(kind), Value::Object(map)) => {
                let fit = |(key, value): (String, Value)| {
                    let value = kind.fit(value, &below(path, &key), problems);
                    (key, value)
                };
                Value::Object(map.into_iter().map(fit).collect())
            }
            (Kind::Union(kinds), value) => union(kinds, value, path, problems),
            (kind, value) => {
                problems.add(path, format!("must be {}", kind.words()));
                value
            }
        }
    }
}

/// What was found, at most a handful.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, path: &str, problem: impl AsRef<str>) {
        if self.0.len() < MOST_PROBLEMS {
            let place = if path.is_empty() { "the answer" } else { path };
            self.0.push(format!("{place} {}", problem.as_ref()));
        }
    }
}

fn object(
    fields: &[(String, Schema)],
    mut map: Map<String, Value>,
    path: &str,
    problems: &mut Problems,
) -> Value {
    let mut shaped = Map::new();
    for (name, schema) in fields {
        let path = below(path, name);
        match (map.remove(name), &schema.default) {
            (Some(value), _) => {
                shaped.insert(name.clone(), schema.fit(value, &path, problems));
            }
            (None, Some(default)) => {
                shaped.insert(name.clone(), default.clone());
            }
            (None, None) if schema.optional => {}
            (None, None) => problems.add(&path, "is missing"),
        }
    }
    Value::Object(shaped)
}

fn union(kinds: &[Schema], value: Value, path: &str, problems: &mut Problems) -> Value {
    for kind in kinds {
        let mut own = Problems::default();
        let fitted = kind.fit(value.clone(), path, &mut own);
        if own.0.is_empty() {
            return fitted;
        }
    }
    problems.add(path, "has none of the allowed shapes");
    value
}

impl Length {
    fn check(self, n: usize, of: &str, path: &str, problems: &mut Problems) {
        let n = n as u64;
        if let Some(min) = self.min.filter(|min| n < *min) {
            problems.add(path, format!("must have at least {min} {of}"));
        }
        if let Some(max) = self.max.filter(|max| n > *max) {
            problems.add(path, format!("must have at most {max} {of}"));
        }
    }
}

impl Range {
    fn check(&self, number: f64, path: &str, problems: &mut Problems) {
        if self.whole && number.fract() != 0.0 {
            problems.add(path, "must be a whole number");
        }
        let limits = [
            (self.min.filter(|limit| number < *limit), "at least"),
            (self.max.filter(|limit| number > *limit), "at most"),
            (self.above.filter(|limit| number <= *limit), "more than"),
            (self.below.filter(|limit| number >= *limit), "less than"),
        ];
        for (limit, words) in limits {
            if let Some(limit) = limit {
                problems.add(path, format!("must be {words} {}", plain(limit)));
            }
        }
    }
}

impl Format {
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Email => {
                let blank = text.contains(char::is_whitespace);
                let (name, host) = text.rsplit_once('@').unwrap_or_default();
                let dotted = host.split('.').count() > 1 && !host.split('.').any(str::is_empty);
                !blank && !name.is_empty() && !name.contains('@') && dotted
            }
            Self::Url => reqwest::Url::parse(text).is_ok(),
            Self::Uuid => text.len() == 36 && Uuid::parse_str(text).is_ok(),
        }
    }
}

fn format_words(format: Option<Format>) -> &'static str {
    match format {
        Some(Format::Email) => "must be an email address",
        Some(Format::Url) => "must be a URL",
        Some(Format::Uuid) | None => "must be a UUID",
    }
}

impl Kind {
    fn words(&self) -> String {
        let words = match self {
            Self::Any => "anything",
            Self::Text(..) => "a text",
            Self::Number(range) if range.whole => "a whole number",
            Self::Number(_) => "a number",
            Self::Boolean => "true or false",
            Self::Date => "a date such as 2024-05-17 or 2024-05-17T08:00:00Z",
            Self::Literal(value) => return value.to_string(),
            Self::Enum(words) => return format!("one of {}", words.join(", ")),
            Self::Array(..) => "a list",
            Self::Tuple(kinds) => return format!("a list of {} items", kinds.len()),
            Self::Object(_) | Self::Record(_) => "an object",
            Self::Union(_) => "one of the allowed shapes",
        };
        words.to_owned()
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Equal as JavaScript sees it: there 1 and 1.0 are one number.
fn same(wanted: &Value, value: &Value) -> bool {
    match (wanted.as_f64(), value.as_f64()) {
        (Some(wanted), Some(value)) => wanted == value,
        _ => wanted == value,
    }
}

fn is_date(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").is_ok()
}
