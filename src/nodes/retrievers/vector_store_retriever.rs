//! Flowise `vectorStoreRetriever`, version 1: a vector store with a name, for
//! a chain that chooses between several.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Document, Retriever};
use crate::spec::{Kind, NodeSpec, Param};
use crate::vector_stores::VectorStore;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "vectorStoreRetriever",
    category: "Retrievers",
    version: 1.0,
    about: "Gives a vector store a name to be chosen by.",
    params: &[
        Param::closed("vectorStore", Kind::Node),
        // A request's `name` or `description` is rarely meant for a retriever.
        Param::closed("name", Kind::Text),
        Param::closed("description", Kind::Text),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Retriever(Arc::new(VectorStoreRetriever {
        name: inputs.required_text("name")?,
        description: inputs.text("description").unwrap_or_default(),
        store: inputs.vector_store("vectorStore")?,
    })))
}

struct VectorStoreRetriever {
    name: String,
    description: String,
    store: Arc<VectorStore>,
}

impl Retriever for VectorStoreRetriever {
    fn retrieve<'a>(
        &'a self,
        query: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Document>, NodeError>> {
        self.store.retrieve(query, ctx)
    }

    fn title(&self) -> Option<(&str, &str)> {
        Some((&self.name, &self.description))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{FakeStore, TestTurn, build, build_error, node, source};

    #[tokio::test]
    async fn it_is_the_store_with_a_name() {
        let store = FakeStore::holding([("near", 0.9), ("far", 0.1)]).into_instance();
        let inputs = [
            ("vectorStore", node(store)),
            ("name", source("staff")),
            ("description", source("who works here")),
        ];
        let Instance::Retriever(retriever) = build(&SPEC, inputs) else { panic!("a retriever") };

        let found = retriever.retrieve("q", &TestTurn::asking("").ctx()).await.unwrap();

        assert_eq!(retriever.title(), Some(("staff", "who works here")));
        let texts: Vec<_> = found.iter().map(|document| document.page_content.as_str()).collect();
        assert_eq!(texts, ["near", "far"]);
    }

    #[test]
    fn a_name_is_needed_to_be_chosen_by() {
        let store = FakeStore::holding([]).into_instance();

        let error = build_error(&SPEC, [("vectorStore", node(store)), ("name", source(""))]);

        assert!(error.to_string().contains("name is empty"), "{error}");
    }
}
