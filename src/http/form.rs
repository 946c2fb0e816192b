//! Fields of a form as the JSON body that they stand for.
//!
//! As in Flowise (contract 1.2), bracket names nest: `overrideConfig[vars][x]`.
//! Fields whose value is an object or an array may also come as JSON text.

use serde_json::{Map, Value};

use parlor_schemas::{given_json, shown};

use super::error::ApiError;

/// Fields that a form may have.
pub const MAX_FIELDS: usize = 1_000;
/// Longest name of a field in bytes.
pub const MAX_NAME_BYTES: usize = 200;
/// Deepest nesting of a name.
const MAX_DEPTH: usize = 5;
/// Fields that are no texts; a form brings them as JSON text.
const JSON_FIELDS: [&str; 4] = ["overrideConfig", "history", "uploads", "vars"];
/// Fields of a prediction itself; the others become overrides where files come along.
const OWN_FIELDS: [&str; 11] = [
    "question",
    "chatId",
    "sessionId",
    "history",
    "streaming",
    "uploads",
    "leadEmail",
    "action",
    "chatflowId",
    "stopNodeId",
    "overrideConfig",
];

/// The body that a form stands for.
///
/// # Errors
/// 400 naming the field.
pub fn body(fields: Vec<(String, String)>) -> Result<Map<String, Value>, ApiError> {
    check_count(fields.len())?;
    let mut body = Map::new();
    for (name, value) in fields {
        let path = path(&name)?;
        put(&mut body, &path, value);
    }
    let mut body: Map<String, Value> =
        body.into_iter().map(|(name, value)| (name, with_arrays(value))).collect();
    parse_json_fields(&mut body)?;
    Ok(body)
}

/// Whether a form may have so many fields.
///
/// # Errors
/// 400.
pub fn check_count(n_fields: usize) -> Result<(), ApiError> {
    if n_fields > MAX_FIELDS {
        return Err(ApiError::bad(format!("a form may have at most {MAX_FIELDS} fields")));
    }
    Ok(())
}

/// Puts the flat fields of a form with files where overrides are looked for,
/// over those of an `overrideConfig` field.
///
/// # Errors
/// 400 when `overrideConfig` is no object.
pub fn flat_fields_as_overrides(body: &mut Map<String, Value>) -> Result<(), ApiError> {
    let mut overrides = match body.remove("overrideConfig") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(ApiError::bad("overrideConfig must be an object")),
    };
    let flat: Vec<String> =
        body.keys().filter(|key| !OWN_FIELDS.contains(&key.as_str())).cloned().collect();
    for key in flat {
        if let Some(value) = body.remove(&key) {
            overrides.insert(key, value);
        }
    }
    body.insert("overrideConfig".to_owned(), Value::Object(overrides));
    Ok(())
}

/// `a[b][c]` as its three words.
fn path(name: &str) -> Result<Vec<&str>, ApiError> {
    let bad = |why: &str| ApiError::bad(format!("the form field \"{}\" {why}", shown(name, 40)));
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(bad(&format!("needs a name of 1 to {MAX_NAME_BYTES} bytes")));
    }
    let Some((first, mut rest)) = name.split_once('[') else { return Ok(vec![name]) };
    let mut path = vec![first];
    loop {
        let (word, after) = rest.split_once(']').ok_or_else(|| bad("has an open bracket"))?;
        path.push(word);
        if path.len() > MAX_DEPTH {
            return Err(bad(&format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        match after.strip_prefix('[') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(path),
            None => return Err(bad("has text behind its brackets")),
        }
    }
}

fn put(map: &mut Map<String, Value>, path: &[&str], value: String) {
    let [first, rest @ ..] = path else { return };
    // `a[]` counts on, and so does a name that comes twice.
    let key = if first.is_empty() { map.len().to_string() } else { (*first).to_owned() };
    if rest.is_empty() {
        match map.get_mut(&key) {
            None => {
                map.insert(key, Value::String(value));
            }
            Some(Value::Array(items)) => items.push(Value::String(value)),
            Some(other) => *other = Value::Array(vec![other.take(), Value::String(value)]),
        }
        return;
    }
    let inner = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

/// Objects whose keys count from 0 are arrays.
fn with_arrays(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let counts = !map.is_empty() && map.keys().enumerate().all(|(at, key)| *key == at.to_string());
    let inner = map.into_iter().map(|(key, value)| (key, with_arrays(value)));
    if counts {
        Value::Array(inner.map(|(_, value)| value).collect())
    } else {
        Value::Object(inner.collect())
    }
}

fn parse_json_fields(body: &mut Map<String, Value>) -> Result<(), ApiError> {
    for name in JSON_FIELDS {
        let Some(Value::String(text)) = body.get(name) else { continue };
        let parsed = match text.trim() {
            "" => Value::Null,
            text => given_json::parse(text.as_bytes())
                .map_err(|error| ApiError::bad(format!("{name} {error}")))?,
        };
        body.insert(name.to_owned(), parsed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &[(&str, &str)]) -> Result<Value, String> {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        body(fields.collect()).map(Value::Object).map_err(|error| error.0.message)
    }

    #[test]
    fn bracket_names_nest_and_count() {
        let found = read(&[
            ("question", "hi"),
            ("overrideConfig[sessionId]", "s"),
            ("overrideConfig[vars][a]", "1"),
            ("tags[]", "x"),
            ("tags[]", "y"),
            ("list[0][role]", "userMessage"),
        ]);
        let expected = json!({
            "question": "hi",
            "overrideConfig": {"sessionId": "s", "vars": {"a": "1"}},
            "tags": ["x", "y"],
            "list": [{"role": "userMessage"}],
        });
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn trees_may_come_as_json_text() {
        let found = read(&[("history", "[]"), ("vars", "{\"a\": 1}"), ("question", "[1]")]);
        assert_eq!(found.unwrap(), json!({"history": [], "vars": {"a": 1}, "question": "[1]"}));
        assert!(read(&[("history", "nope")]).unwrap_err().contains("history"));
    }

    #[test]
    fn a_name_that_comes_twice_is_a_list_and_a_wild_one_is_refused() {
        assert_eq!(
            read(&[("a", "1"), ("a", "2"), ("a", "3")]).unwrap(),
            json!({"a": ["1", "2", "3"]})
        );
        let deep = "a[b][c][d][e][f]";
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for name in ["", "a[b", "a[b]c", deep, &long] {
            assert!(read(&[(name, "1")]).unwrap_err().contains("field"), "{name}");
        }
        let many = vec![("a", "1"); MAX_FIELDS + 1];
        assert!(read(&many).unwrap_err().contains("at most"));
    }

    #[test]
    fn beside_files_flat_fields_are_overrides_and_win() {
        let Ok(Value::Object(mut body)) = read(&[
            ("question", "q"),
            ("sessionId", "s"),
            ("temperature", "0.1"),
            ("overrideConfig[temperature]", "0.9"),
            ("overrideConfig[topP]", "1"),
        ]) else {
            panic!("a body")
        };
        flat_fields_as_overrides(&mut body).unwrap();
        let expected = json!({
            "question": "q", "sessionId": "s",
            "overrideConfig": {"temperature": "0.1", "topP": "1"},
        });
        assert_eq!(Value::Object(body), expected);
    }
}
