//! Schemas as tools and parsers write them.

use proptest::prelude::*;

use super::*;

#[test]
fn a_schema_keeps_what_gemini_knows_and_loses_the_rest() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
        "additionalProperties": false, "title": "Args",
        "properties": {
            "city": { "type": "string", "description": "Where", "minLength": 1, "format": "uri" },
            "days": { "type": ["integer", "null"], "exclusiveMinimum": 0, "format": "int32" },
            "unit": { "enum": ["C", "F"], "default": "C" },
            "tags": { "type": "array" },
        },
        "required": ["city", "gone"],
    });

    let expected = json!({
        "type": "object",
        "properties": {
            "city": { "type": "string", "description": "Where", "minLength": 1 },
            "days": { "nullable": true, "type": "integer", "format": "int32" },
            "unit": { "type": "string", "enum": ["C", "F"] },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["city"],
    });
    assert_eq!(of_arguments(&schema), Some(expected));
}

#[test]
fn alternatives_are_written_in_geminis_one_way() {
    for (schema, expected) in [
        (
            json!({ "oneOf": [{ "type": "string" }, { "type": "number" }, { "type": "null" }] }),
            json!({ "anyOf": [
                { "type": "string", "nullable": true }, { "type": "number", "nullable": true },
            ] }),
        ),
        (
            json!({ "description": "d", "anyOf": [
                { "type": "string" }, { "type": "number", "description": "own" },
            ] }),
            json!({ "anyOf": [
                { "type": "string", "description": "d" },
                { "type": "number", "description": "own" },
            ] }),
        ),
        (
            json!({
                "properties": { "a": { "type": "string" } },
                "anyOf": [{ "required": ["a"] }, { "required": ["b"] }],
            }),
            json!({ "properties": { "a": { "type": "string" } }, "type": "object" }),
        ),
        (
            json!({ "allOf": [{ "description": "d" }, { "type": "number" }] }),
            json!({ "description": "d", "type": "number" }),
        ),
        (
            json!({ "anyOf": [{ "type": "string" }, { "type": "null" }], "description": "d" }),
            json!({ "type": "string", "nullable": true, "description": "d" }),
        ),
        (
            json!({ "type": ["string", "number"] }),
            json!({ "anyOf": [{ "type": "string" }, { "type": "number" }] }),
        ),
        (
            json!({ "allOf": [
                { "properties": { "a": { "type": "string" } }, "required": ["a"] },
                { "properties": { "b": { "type": "string" } }, "required": ["b"] },
            ] }),
            json!({
                "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
                "required": ["a", "b"], "type": "object",
            }),
        ),
        (
            json!({ "type": "integer", "enum": [1, 2], "description": "How many." }),
            json!({ "type": "integer", "description": "How many. One of 1, 2." }),
        ),
        (json!({ "const": "x" }), json!({ "type": "string", "enum": ["x"] })),
        (
            json!({ "type": ["string", "number"], "enum": ["x", "y", null] }),
            json!({ "nullable": true, "type": "string", "enum": ["x", "y"] }),
        ),
        (
            json!({ "enum": ["", "y"] }),
            json!({ "description": "One of \"\", \"y\".", "type": "string" }),
        ),
        (
            json!({ "type": "array", "items": [{ "type": "number" }, {}] }),
            json!({ "type": "array", "items": { "type": "number" } }),
        ),
        (json!(true), json!({ "type": "string" })),
    ] {
        assert_eq!(of_answer(&schema), expected, "{schema}");
    }
}

#[test]
fn a_tool_without_arguments_has_no_schema() {
    assert_eq!(of_arguments(&json!({ "type": "object", "properties": {} })), None);
    assert_eq!(of_arguments(&json!({})), None);
}

#[test]
fn arguments_of_several_shapes_are_one_object() {
    let schema = json!({ "oneOf": [
        { "properties": { "a": { "type": "string" } }, "required": ["a"] },
        { "properties": { "b": { "type": "number" } }, "required": ["b"] },
        { "anyOf": [{ "type": "string" }, { "type": "number" }] },
    ] });

    let properties = json!({ "a": { "type": "string" }, "b": { "type": "number" } });
    let expected = json!({ "properties": properties, "type": "object" });
    assert_eq!(of_arguments(&schema), Some(expected));
}

#[test]
fn references_are_written_out_and_end_somewhere() {
    let schema = json!({
        "$defs": { "Name": { "type": "string", "description": "A name" } },
        "type": "object",
        "properties": { "who": { "$ref": "#/$defs/Name", "description": "Whose" } },
    });
    let expected = json!({ "type": "string", "description": "Whose" });
    assert_eq!(of_answer(&schema)["properties"]["who"], expected);

    // Each level holds the whole schema twice: written out, it has no end.
    let endless = json!({
        "type": "object",
        "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } },
    });
    assert!(of_answer(&endless).to_string().len() < 200_000);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("type"),
        Just("properties"),
        Just("items"),
        Just("anyOf"),
        Just("allOf"),
        Just("enum"),
        Just("required"),
        Just("$ref"),
        Just("description"),
        Just("additionalProperties"),
        Just("$schema"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(json!("#")),
        Just(json!("array")),
        Just(json!("null")),
        Just(json!("#/properties")),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_schema_keeps_a_word_that_gemini_refuses(schema in any_json()) {
        fn check(schema: &Value) {
            let n_words = schema.as_object().unwrap().len();
            assert!(schema.get("anyOf").is_none() || n_words == 1, "{schema}");
            for name in schema.as_object().unwrap().keys() {
                let known = ["type", "enum", "format", "anyOf", "items", "properties", "required"];
                assert!(KEPT.contains(&&**name) || known.contains(&&**name), "{name}");
            }
            for inner in schema["properties"].as_object().into_iter().flat_map(Map::values) {
                check(inner);
            }
            schema["anyOf"].as_array().into_iter().flatten().for_each(check);
            schema.get("items").into_iter().for_each(check);
        }
        check(&of_answer(&schema));
        of_arguments(&schema).iter().for_each(check);
    }
}
