//! The schemas of simple tools, and how their arguments are read.
//!
//! Source of the schemas: recorded with Flowise 2.2.8.

use serde_json::{Value, json};

use crate::error::NodeError;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of a tool that takes one text.
pub(super) fn one_text() -> Value {
    json!({
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": false,
        "$schema": DRAFT,
    })
}

/// The schema of a tool that takes nothing.
pub(super) fn nothing() -> Value {
    json!({
        "type": "object",
        "properties": {},
        "additionalProperties": false,
        "$schema": DRAFT,
    })
}

/// The text that the model gave.
///
/// # Errors
/// [`NodeError::BadRequest`] for the model to read.
pub(super) fn text(arguments: &Value) -> Result<&str, NodeError> {
    arguments["input"].as_str().ok_or_else(|| {
        NodeError::BadRequest("the arguments must be {\"input\": a text}; try again".to_owned())
    })
}
