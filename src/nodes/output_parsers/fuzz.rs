//! What models write where JSON was asked for, and the shapes that authors type.

use serde_json::{Value, json};

use super::{lenient_json, zod};

/// Deepest nesting of what is read, by whichever reader.
const MOST_DEPTH: usize = 128;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn json_is_itself_and_what_is_read_of_anything_else_is_read_again() {
    let seeds = [
        r#"{"a": [1, true], "b": "x\n\ud83e\udd8a"}"#,
        "Here you are:\n```json\n{\"a\": [1, true], \"b\": \"x\"}\n```\nAnything else?",
        "Sure! {a: [1, True,], 'b': 'it\\'s',} That is all.",
        "{ // first\n \"a\": [1, /* yes */ None], b: -1.5e3 }",
        "See [below]:\n```\nnothing\n```",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let answer = String::from_utf8_lossy(bytes);
        let found = lenient_json::read(&answer);
        if let Ok(value) = serde_json::from_str::<Value>(answer.trim()) {
            assert_eq!(found.as_ref(), Ok(&value));
        }
        let Ok(value) = found else { return };
        assert!(depth(&value) <= MOST_DEPTH);
        assert!(lenient_json::read(&value.to_string()).is_ok());
    });
}

#[test]
fn any_words_are_a_shape_or_none_and_a_shape_judges_any_value() {
    let seeds = [
        "z.object({ a: z.string().min(1).describe('x'), b: z.array(z.number().int()).optional() })",
        "z.enum([\"a\", 'b']).default('a');",
        "z.union([z.literal(5), z.tuple([z.boolean(), z.null()])]).nullable() // end",
        "z.record(z.string(), z.date().or(z.coerce.number().gt(-1.5).lte(1e3)))",
    ];
    let values = [
        json!(null),
        json!({"a": "x", "b": [1, 2.5, -3]}),
        json!([true, null, "2024-02-30", 1e300, {"": []}]),
        json!("a"),
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Ok(schema) = zod::parse(&String::from_utf8_lossy(bytes)) else { return };
        assert!(schema.to_json().is_object());
        for value in &values {
            // What fits once fits as it was left.
            if let Ok(left) = schema.check(value.clone()) {
                assert_eq!(schema.check(left.clone()), Ok(left));
            }
        }
    });
}
