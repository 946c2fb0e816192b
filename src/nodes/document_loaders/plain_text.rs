//! Flowise `plainText`, version 2: a text typed into the flow.

use std::future::ready;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Map;

use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Document, DocumentLoader, Loaded};
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

/// The typed text.
struct PlainText(Option<String>);

impl DocumentLoader for PlainText {
    fn load<'a>(&'a self, _ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        // Without a text there is no document: stores drop empty ones anyway.
        let document = |text: &String| Document::new(text, Map::new());
        let documents = self.0.iter().map(document).collect();
        ready(Ok(Loaded { documents, ..Loaded::default() })).boxed()
    }
}

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    loader(inputs, PlainText(inputs.text("text")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{TestTurn, build, json, source};

    #[tokio::test]
    async fn the_text_becomes_one_document_with_the_authors_metadata() {
        let metadata = json(json!({"team": "x"}));

        let Instance::Loader(loader) =
            build(&SPEC, [("text", source("Hello {you}")), ("metadata", metadata)])
        else {
            panic!("a loader")
        };
        let loaded = loader.load(&TestTurn::asking("").ctx()).await.unwrap();

        let shown = serde_json::to_value(&loaded.documents).unwrap();
        let expected = json!([{"pageContent": "Hello {you}", "metadata": {"team": "x"}}]);
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn no_text_is_no_document() {
        let Instance::Loader(loader) = build(&SPEC, [("text", source(""))]) else {
            panic!("a loader")
        };

        assert!(loader.load(&TestTurn::asking("").ctx()).await.unwrap().documents.is_empty());
    }
}
