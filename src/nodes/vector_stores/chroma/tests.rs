//! Metadata there and back; the collection is tested against a real server.

use serde_json::{Map, Value, json};

use super::metadata::{read, stored};

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn what_a_loader_and_a_splitter_say_comes_back_as_it_was() {
    for metadata in [
        json!({}),
        json!({"source": "a.txt", "n": 1, "share": 0.5, "is": true}),
        json!({"source": "a", "loc": {"lines": {"from": 1, "to": 2}}}),
        json!({"source": "a", "loc": {"lines": {"from": 1, "to": 2}, "pageNumber": 3}}),
        json!({"loc": {"pageNumber": 3}}),
    ] {
        let there = stored(&map(&metadata));
        assert!(there.iter().flatten().all(|(_, value)| !value.is_object()), "{there:?}");

        assert_eq!(Value::Object(read(there.unwrap_or_default())), metadata);
    }
}

#[test]
fn an_empty_object_is_not_sent() {
    assert_eq!(stored(&map(&json!({"none": null, "bare": {}}))), None);
}
