//! Flowise `promptTemplate`, version 1: a text with variables.

use std::sync::Arc;

use super::TextPrompt;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};
use crate::template::Template;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "promptTemplate",
    category: "Prompts",
    version: 1.0,
    about: "A prompt of one text with variables in single braces.",
    params: &[Param::open("template", Kind::Template), Param::open("promptValues", Kind::Json)],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let text = inputs.rich("template").unwrap_or_default();
    let values = inputs.object("promptValues")?;
    Ok(Instance::Prompt(Arc::new(TextPrompt { template: Template::parse(&text), values })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inputs::InputValue;
    use crate::test_support::{build, build_error, json, source};

    fn prompt(template: &str, values: InputValue) -> Arc<TextPrompt> {
        match build(&SPEC, [("template", source(template)), ("promptValues", values)]) {
            Instance::Prompt(prompt) => prompt,
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn values_are_taken_from_a_tree_from_text_or_not_at_all() {
        for (values, expected) in [
            (json(json!({"product": "socks"})), Some("socks")),
            (source("{\"product\":\"socks\"}"), Some("socks")),
            (source(""), None),
        ] {
            let prompt = prompt("for {product}", values);

            assert_eq!(prompt.template.variables(), ["product"]);
            let value = prompt.values.get("product").and_then(|value| value.as_str());
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn values_that_are_no_object_are_refused_by_name() {
        let error = build_error(&SPEC, [("promptValues", source("[1]"))]);

        assert_eq!(error.to_string(), "Test node (test_0): promptValues must be a JSON object");
    }
}
