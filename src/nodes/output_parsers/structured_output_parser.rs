//! Flowise `structuredOutputParser`, version 1: an object whose keys stand in
//! the rows of a table.

use std::sync::Arc;

use serde_json::Value;

use super::AUTOFIX;
use super::shaped::Shaped;
use super::zod::{Kind as ShapeKind, Length, Range, Schema};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "structuredOutputParser",
    category: "Output Parsers",
    version: 1.0,
    about: "Makes an object of an answer, with the keys of a table.",
    params: &[AUTOFIX, Param::open("jsonStructure", Kind::Json)],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let rows = match inputs.json("jsonStructure")? {
        None => Vec::new(),
        Some(Value::Array(rows)) => rows,
        Some(_) => return Err(inputs.bad("jsonStructure", "must be a list of rows")),
    };
    let fields = rows.iter().map(|row| field(row).map_err(|why| inputs.bad("jsonStructure", why)));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let schema = Schema::new(ShapeKind::Object(fields));
    let mends = inputs.boolean("autofixParser")? == Some(true);
    Ok(Instance::OutputParser(Arc::new(Shaped { schema, mends })))
}

/// A row as a key of the object. As in Flowise 2.2.8 only a row that says so
/// is required.
fn field(row: &Value) -> Result<(String, Schema), String> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("property").ok_or("has a row without a property; name it or remove the row")?;
    let kind = match text("type") {
        Some("string") => ShapeKind::Text(Length::default(), None),
        Some("number") => ShapeKind::Number(Range::default()),
        Some("boolean") => ShapeKind::Boolean,
        Some("date") => ShapeKind::Date,
        _ => return Err(format!("needs string, number, boolean or date as the type of {name}")),
    };
    let is_required = match row.get("required") {
        Some(Value::Bool(required)) => *required,
        Some(Value::String(word)) => word == "true",
        _ => false,
    };
    let description = text("description").map(str::to_owned);
    Ok((name.to_owned(), Schema { description, optional: !is_required, ..Schema::new(kind) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::instance::OutputParser;
    use crate::test_support::{build, build_error, json as tree, source};

    fn parser(rows: Value) -> Arc<dyn OutputParser> {
        match build(&SPEC, [("jsonStructure", tree(rows))]) {
            Instance::OutputParser(parser) => parser,
            other => panic!("{}", other.kind()),
        }
    }

    fn rows() -> Value {
        json!([
            {"property": "answer", "type": "string", "description": "the answer", "required": true},
            {"property": "sure", "type": "boolean", "description": ""},
            {"property": "pages", "type": "number"},
            {"property": "on", "type": "date"},
        ])
    }

    #[test]
    fn answers_are_held_to_the_rows() {
        for (answer, expected) in [
            (r#"{"answer": "42", "sure": true, "pages": 3.5, "on": "2024-05-17"}"#, Ok(())),
            (r#"{"answer": "42"}"#, Ok(())),
            (r#"{"sure": true}"#, Err("answer is missing")),
            (
                r#"{"answer": 42, "sure": "yes"}"#,
                Err("answer must be a text; sure must be true or false"),
            ),
            (
                r#"{"answer": "x", "on": "tomorrow"}"#,
                Err("on must be a date such as 2024-05-17 or 2024-05-17T08:00:00Z"),
            ),
            (r#"["answer"]"#, Err("the answer must be an object")),
        ] {
            let parsed = parser(rows()).parse(answer).map(|_| ());
            assert_eq!(parsed, expected.map_err(str::to_owned), "{answer}");
        }
    }

    #[test]
    fn keys_that_nobody_asked_for_are_left_out_and_the_order_is_the_tables() {
        let answer = r#"{"pages": 1, "thoughts": "hm", "answer": "x"}"#;
        let parsed = parser(rows()).parse(answer).unwrap();
        assert_eq!(parsed.to_string(), r#"{"answer":"x","pages":1}"#);
    }

    #[test]
    fn the_model_is_told_types_meanings_and_what_is_required() {
        let told = parser(rows()).instructions();
        let schema = told.split("```").nth(1).unwrap().trim_start_matches("json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let answer = json!({"type": "string", "description": "the answer"});
        assert_eq!(schema["properties"]["answer"], answer);
        assert_eq!(schema["properties"]["on"]["format"], "date-time");
        assert_eq!(schema["required"], json!(["answer"]));
    }

    #[test]
    fn a_table_typed_as_text_is_read_and_a_bad_row_is_named() {
        build(&SPEC, [("jsonStructure", source(&rows().to_string()))]);
        for (rows, why) in [
            (json!([{"property": "a", "type": "array"}]), "as the type of a"),
            (json!([{"type": "string"}]), "a row without a property"),
            (json!({"a": 1}), "must be a list of rows"),
        ] {
            let error = build_error(&SPEC, [("jsonStructure", tree(rows))]).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
