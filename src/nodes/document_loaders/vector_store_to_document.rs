//! Flowise `vectorStoreToDocument`, version 2: what a vector store finds for a
//! query, or for the question, as documents or as one text.

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrievers::{Nearest, found, percent};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "vectorStoreToDocument",
    category: "Document Loaders",
    version: 2.0,
    about: "What a vector store finds, as documents or text for other nodes.",
    params: &[
        Param::closed("vectorStore", Kind::Node),
        Param::open("query", Kind::Text),
        Param::open("minScore", Kind::Number),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let nearest = Nearest {
        store: inputs.vector_store("vectorStore")?,
        k: None,
        min_score: percent(inputs, "minScore")?,
    };
    Ok(found(inputs, nearest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{FakeStore, TestTurn, build, build_error, node, source};

    async fn found_with(settings: [(&str, &str); 2]) -> (Vec<String>, Vec<String>) {
        let hits = [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.2), ("e", 0.1)];
        let store = FakeStore::holding(hits);
        let [one, two] = settings.map(|(name, text)| (name, source(text)));
        let inputs = [("vectorStore", node(store.clone().into_instance())), one, two];
        let Instance::Loader(loader) = build(&SPEC, inputs) else { panic!("a loader") };

        let loaded = loader.load(&TestTurn::asking("the question").ctx()).await.unwrap();

        let documents = loaded.whole().unwrap();
        (documents.into_iter().map(|found| found.page_content).collect(), store.embedded())
    }

    #[tokio::test]
    async fn the_stores_own_number_of_hits_is_found_for_the_question() {
        let (found, searched) = found_with([("query", ""), ("minScore", "")]).await;
        assert_eq!((found.join(""), searched.join("")), ("abcd".into(), "the question".into()));
    }

    #[tokio::test]
    async fn a_query_and_a_least_score_in_percent_are_honoured() {
        let (found, searched) = found_with([("query", "bread"), ("minScore", "80")]).await;
        assert_eq!((found.join(""), searched.join("")), ("ab".into(), "bread".into()));
    }

    #[test]
    fn a_score_that_is_no_percentage_is_named() {
        let store = FakeStore::holding([]).into_instance();

        let error = build_error(&SPEC, [("vectorStore", node(store)), ("minScore", source("200"))]);

        assert!(error.to_string().contains("minScore must be a percentage"), "{error}");
    }
}
