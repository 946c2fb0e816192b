//! Metadata without trees, for stores that take none: `a.b` for a key in an
//! object, `a.0` for a place in a list, nothing for null and for what is empty
//! (as LangChain's Pinecone store, which uses npm's `flat`).

use serde_json::{Map, Value};

/// The metadata with one level. A list of texts stays one at the top, where
/// the store takes such.
pub(super) fn flatten(metadata: &Map<String, Value>, keeps_texts: bool) -> Map<String, Value> {
    let mut flat = Map::new();
    for (key, value) in metadata {
        match value {
            Value::Array(items) if keeps_texts && items.iter().all(Value::is_string) => {
                if !items.is_empty() {
                    flat.insert(key.clone(), value.clone());
                }
            }
            value => add(&mut flat, key.clone(), value),
        }
    }
    flat
}

fn add(flat: &mut Map<String, Value>, key: String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                add(flat, format!("{key}.{at}"), item);
            }
        }
        Value::Object(map) => {
            for (name, item) in map {
                add(flat, format!("{key}.{name}"), item);
            }
        }
        plain => {
            flat.insert(key, plain.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trees_become_dotted_keys_and_lists_of_texts_may_stay() {
        let metadata = json!({
            "source": "a.pdf", "loc": {"lines": {"from": 1, "to": 2}}, "tags": ["x", "y"],
            "mixed": [1, {"a": true}], "none": null, "empty": {}, "bare": []
        });
        let metadata = metadata.as_object().unwrap();

        let kept = json!({
            "source": "a.pdf", "loc.lines.from": 1, "loc.lines.to": 2, "tags": ["x", "y"],
            "mixed.0": 1, "mixed.1.a": true
        });
        assert_eq!(Value::Object(flatten(metadata, true)), kept);

        let taken_apart = Value::Object(flatten(metadata, false));
        assert_eq!(taken_apart["tags.1"], "y");
        assert_eq!(taken_apart.get("tags"), None);
    }
}
