//! JSON that a request brings. A value of two bytes takes a hundred in memory,
//! so that the number of values has a limit beside that of the bytes.

use serde_json::Value;

/// Values of one text. Bodies that are meant well hold few and long ones.
pub const MAX_VALUES: usize = 100_000;

/// Why a text gives no value.
#[derive(Debug, thiserror::Error)]
pub enum GivenJsonError {
    /// It is no JSON, or nests too deeply.
    #[error("is no valid JSON: {0}")]
    Invalid(#[from] serde_json::Error),
    /// It holds too many values.
    #[error("holds more than {MAX_VALUES} JSON values")]
    TooMany,
}

/// The value of a text.
///
/// # Errors
/// [`GivenJsonError`], whose words follow the name of what was read.
pub fn parse(text: &[u8]) -> Result<Value, GivenJsonError> {
    if text.len() > MAX_VALUES && has_more_than(text, MAX_VALUES) {
        return Err(GivenJsonError::TooMany);
    }
    Ok(serde_json::from_slice(text)?)
}

/// Counts what opens or separates values, outside of the texts among them.
fn has_more_than(text: &[u8], most: usize) -> bool {
    let mut n_values = 0;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b',' | b'[' | b'{')) {
        let byte = rest[at];
        rest = &rest[at + 1..];
        if byte == b'"' {
            rest = behind_text(rest);
            continue;
        }
        n_values += 1;
        if n_values > most {
            return true;
        }
    }
    false
}

/// What follows the text that this begins with.
fn behind_text(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a17_values_are_counted_and_their_texts_are_not() {
        for (text, n_values) in [
            (r#"{"a": 1}"#, 1),
            (r#"[0, "x,y[{\",", {"b,": []}]"#, 5),
            (r#"["\\", "\\\"", ","]"#, 3),
            (r#"["open, [[["#, 1),
            ("", 0),
        ] {
            assert!(!has_more_than(text.as_bytes(), n_values), "{text}");
            assert!(n_values == 0 || has_more_than(text.as_bytes(), n_values - 1), "{text}");
        }
    }

    #[test]
    fn a17_a_text_of_very_many_values_is_refused_unread_and_a_long_one_is_not() {
        let many = format!("[{}0]", "{},".repeat(MAX_VALUES));
        assert!(matches!(parse(many.as_bytes()), Err(GivenJsonError::TooMany)));
        let long = format!("[\"{}\"]", ",".repeat(2 * MAX_VALUES));
        assert!(parse(long.as_bytes()).is_ok());
    }

    fn n_values(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(n_values).sum(),
            Value::Object(map) => map.values().map(n_values).sum(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn no_value_is_overlooked(text in r#"[\[\]{}",:\\0 a]{0,40}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let n_values = n_values(&value);
                prop_assert!(n_values < 2 || has_more_than(text.as_bytes(), n_values - 2));
            }
        }
    }
}
