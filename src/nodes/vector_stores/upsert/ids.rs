//! The id of a chunk: LangChain's indexing hash of content and metadata
//! (langchain-core, `indexing/base.ts`, and Flowise 2.2.8, `indexing.ts`), so
//! that stores and record managers which Flowise filled are known again.

use std::fmt::Write;

use ring::digest::{Digest, SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Map, Number, Value};
use uuid::{Builder, Uuid, uuid};

use crate::retrieval::Document;

/// LangChain's namespace of all its hashes.
const NAMESPACE: Uuid = uuid!("10f90ea3-90a4-4962-bf75-83a0f3c1c62a");

/// The id of a document's chunk.
pub(super) fn chunk_id(document: &Document) -> Uuid {
    let content = hashed(&document.page_content);
    let metadata = hashed(&canonical(&document.metadata));
    hashed(&format!("{content}{metadata}"))
}

/// UUID version 5 of the text's SHA-1 in hexadecimal.
pub(super) fn hashed(text: &str) -> Uuid {
    let name = hex(&sha1(text.as_bytes()));
    let named = sha1(&[NAMESPACE.as_bytes(), name.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&named.as_ref()[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid()
}

fn sha1(bytes: &[u8]) -> Digest {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes)
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::with_capacity(40), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `JSON.stringify(metadata, Object.keys(metadata).sort())`: the list of keys
/// orders and filters objects at every depth, so that of `loc` nothing is left
/// unless its keys are also at the top.
fn canonical(metadata: &Map<String, Value>) -> String {
    let mut keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
    keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    let mut json = String::new();
    write_object(&mut json, metadata, &keys);
    json
}

fn write_value(json: &mut String, value: &Value, keys: &[&str]) {
    match value {
        Value::Object(map) => write_object(json, map, keys),
        Value::Array(items) => write_list(json, items, keys),
        Value::Number(number) => json.push_str(&javascript(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => json.push_str(&value.to_string()),
    }
}

fn write_object(json: &mut String, map: &Map<String, Value>, keys: &[&str]) {
    json.push('{');
    let members = keys.iter().filter_map(|key| Some((*key, map.get(*key)?)));
    for (at, (key, value)) in members.enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(&Value::from(key).to_string());
        json.push(':');
        write_value(json, value, keys);
    }
    json.push('}');
}

fn write_list(json: &mut String, items: &[Value], keys: &[&str]) {
    json.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_value(json, item, keys);
    }
    json.push(']');
}

/// A number as JavaScript writes it: `1`, not `1.0`, and `1e+21`.
fn javascript(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float == 0.0 => "0".to_owned(),
        Some(float) if number.is_f64() && !(1e-6..1e21).contains(&float.abs()) => {
            let text = format!("{float:e}");
            if float.abs() < 1.0 { text } else { text.replace('e', "e+") }
        }
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(text: &str, metadata: Value) -> String {
        let Value::Object(metadata) = metadata else { panic!("an object") };
        chunk_id(&Document::new(text, metadata)).to_string()
    }

    /// Made with Node's own SHA-1 and `JSON.stringify`.
    #[test]
    fn ids_are_those_that_langchain_makes() {
        let blob =
            json!({"source": "blob", "blobType": "", "loc": {"lines": {"from": 3, "to": 3}}});
        let odd = json!({
            "line": 1.0, "ratio": 0.5, "tags": ["b", {"source": 1, "x": 2}],
            "source": "a\u{7}\t/x", "loc": {"source": "in", "other": 1}, "n": null, "ok": true,
            "big": 1e21, "small": 1e-7, "i": 123_456_789_012_u64,
        });

        assert_eq!(
            id("The bakery is at 12 Mill Lane.", blob),
            "7da96e74-c43f-5a8c-8eeb-096f2ab7416b"
        );
        assert_eq!(id("héllo 猫\n\"q\"", odd), "66efa5c3-4f43-5e2b-8dbb-67b99db8796f");
        assert_eq!(id("", json!({})), "c49bf7a2-c152-52f7-89eb-e0d31b4a0603");
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_their_values_do() {
        let one = id("a", json!({"x": 1, "y": 2}));
        assert_eq!(one, id("a", json!({"y": 2, "x": 1})));
        assert_ne!(one, id("a", json!({"y": 2, "x": 2})));
        assert_ne!(one, id("b", json!({"y": 2, "x": 1})));
    }

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (number, expected) in [
            (json!(-0.0), "0"),
            (json!(1e20), "100000000000000000000"),
            (json!(-1.5e300), "-1.5e+300"),
            (json!(0.000_001), "0.000001"),
            (json!(1.25e-9), "1.25e-9"),
            (json!(u64::MAX), "18446744073709551615"),
        ] {
            let Value::Number(number) = number else { panic!("a number") };
            assert_eq!(javascript(&number), expected);
        }
    }
}
