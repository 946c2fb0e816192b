//! Flowise `similarityThresholdRetriever`, version 2: as many documents as are
//! near enough, up to a number.
//!
//! Flowise asks the store again and again with a growing k, until a hit is too
//! far away; hits come best first, so that one search for the most of them
//! finds the same, and embeds the question once.

use std::sync::Arc;

use super::{Nearest, found, percent};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "similarityThresholdRetriever",
    category: "Retrievers",
    version: 2.0,
    about: "Finds the documents of a vector store that are near enough.",
    params: &[
        Param::closed("vectorStore", Kind::Node),
        Param::open("query", Kind::Text),
        Param::open("minSimilarityScore", Kind::Number),
        Param::open("maxK", Kind::Integer),
        // The step of the growing k: read, so that a bad one is told.
        Param::open("kIncrement", Kind::Integer),
    ],
    credential: None,
    build,
};

/// The least similarity where the author says nothing, or 0.
const DEFAULT_MIN_SCORE: f32 = 0.9;
/// Hits at most, where the author says nothing (LangChain's number, which
/// Flowise falls back to).
const DEFAULT_MAX_K: i64 = 100;
/// Hits at most, whatever the author says.
const MOST_K: i64 = 1_000;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    inputs.integer("kIncrement", 0)?;
    let nearest = Nearest {
        store: inputs.vector_store("vectorStore")?,
        k: Some(max_k(inputs)?),
        min_score: Some(percent(inputs, "minSimilarityScore")?.unwrap_or(DEFAULT_MIN_SCORE)),
    };
    Ok(match inputs.output.as_deref() {
        Some("document" | "text") => found(inputs, nearest),
        _ => Instance::Retriever(Arc::new(nearest)),
    })
}

fn max_k(inputs: &Inputs) -> Result<usize, NodeError> {
    let max_k = inputs.integer("maxK", 0)?.filter(|max_k| *max_k > 0).unwrap_or(DEFAULT_MAX_K);
    match usize::try_from(max_k) {
        Ok(count) if max_k <= MOST_K => Ok(count),
        _ => Err(inputs.bad("maxK", format!("may be {MOST_K} at most"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::InputValue;
    use crate::test_support::{FakeStore, TestTurn, inputs, node, source};

    const HITS: [(&str, f32); 4] = [("a", 0.95), ("b", 0.8), ("c", 0.7), ("d", 0.1)];

    fn with(settings: &[(&str, &str)], output: &str) -> (FakeStore, Result<Instance, NodeError>) {
        let store = FakeStore::holding(HITS);
        let mut inputs = inputs([("vectorStore", node(store.clone().into_instance()))]);
        inputs.output = Some(output.to_owned());
        let settings = settings.iter().map(|(name, text)| ((*name).to_owned(), source(text)));
        inputs.values.extend(settings.collect::<Vec<(String, InputValue)>>());
        (store, (SPEC.build)(&inputs))
    }

    #[tokio::test]
    async fn documents_that_are_near_enough_are_found_up_to_a_number_with_one_search() {
        for (settings, expected) in [
            (&[][..], &["a"][..]),
            (&[("minSimilarityScore", "0")], &["a"]),
            (&[("minSimilarityScore", "80"), ("kIncrement", "1")], &["a", "b"]),
            (&[("minSimilarityScore", "1"), ("maxK", "0")], &["a", "b", "c", "d"]),
            (&[("minSimilarityScore", "50"), ("maxK", "2")], &["a", "b"]),
            (&[("minSimilarityScore", "99")], &[]),
        ] {
            let (store, built) = with(settings, "retriever");
            let Ok(Instance::Retriever(retriever)) = built else { panic!("a retriever") };

            let found = retriever.retrieve("q", &TestTurn::asking("").ctx()).await.unwrap();

            let found: Vec<_> = found.iter().map(|found| found.page_content.as_str()).collect();
            assert_eq!(found, expected, "{settings:?}");
            assert_eq!((store.embedded(), store.n_searches()), (vec!["q".to_owned()], 1));
        }
    }

    #[tokio::test]
    async fn as_documents_it_searches_for_its_query_or_for_the_question() {
        for (query, output, searched) in [
            ("bread", "document", "bread"),
            ("", "document", "the question"),
            (" ", "text", "the question"),
        ] {
            let (store, built) = with(&[("query", query), ("minSimilarityScore", "75")], output);
            let Ok(Instance::Loader(loader)) = built else { panic!("a loader") };

            let loaded = loader.load(&TestTurn::asking("the question").ctx()).await.unwrap();

            assert_eq!((loaded.documents.len(), loaded.n_files), (2, 0));
            assert_eq!(store.embedded(), [searched]);
        }
    }

    #[tokio::test]
    async fn without_a_word_nothing_is_searched() {
        let (store, built) = with(&[], "text");
        let Ok(Instance::Loader(loader)) = built else { panic!("a loader") };

        let loaded = loader.load(&TestTurn::asking("").ctx()).await.unwrap();

        assert!(loaded.documents.is_empty() && store.embedded().is_empty());
    }

    #[test]
    fn numbers_out_of_their_range_are_named() {
        for (name, value) in [
            ("minSimilarityScore", "101"),
            ("minSimilarityScore", "-1"),
            ("maxK", "1001"),
            ("maxK", "2.5"),
            ("kIncrement", "two"),
        ] {
            let Err(error) = with(&[(name, value)], "retriever").1 else { panic!("{name}") };
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
