//! Flowise `plainText`, version 2: a text typed into the flow.

use serde_json::Map;

use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, output};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Document, Instance};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "plainText",
    category: "Document Loaders",
    version: 2.0,
    about: "A text as a document.",
    params: &[Param::open("text", Kind::Text), TEXT_SPLITTER, METADATA, OMIT_METADATA_KEYS],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let document = |page_content| Document { page_content, metadata: Map::new() };
    // Without a text there is no document: stores drop empty ones anyway.
    output(inputs, inputs.text("text").map(document).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{build, inputs, json, source};

    #[test]
    fn the_text_becomes_one_document_with_the_authors_metadata() {
        let metadata = json(json!({"team": "x"}));

        let Instance::Documents(documents) =
            build(&SPEC, [("text", source("Hello {you}")), ("metadata", metadata)])
        else {
            panic!("documents")
        };

        let shown = serde_json::to_value(&*documents).unwrap();
        let expected = json!([{"pageContent": "Hello {you}", "metadata": {"team": "x"}}]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_output_text_is_the_text_and_a_line_break() {
        for (text, expected) in [("Hello", "Hello\n"), ("", "")] {
            let mut inputs = inputs([("text", source(text))]);
            inputs.output = Some("text".to_owned());

            let instance = (SPEC.build)(&inputs).unwrap();

            assert!(matches!(instance, Instance::Text(text) if &*text == expected));
        }
    }
}
