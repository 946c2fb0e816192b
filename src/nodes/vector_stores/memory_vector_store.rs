//! Flowise `memoryVectorStore`, version 1: an index of the chatflow's own,
//! filled from its loaders before the first search.
//!
//! In Flowise it is made anew for each question; here it is kept in the data
//! folder, and what is there already is not embedded again. Scores are
//! cosines, as in Flowise.

use super::VectorStore;
use super::embedded::{
    DOCUMENT, EMBEDDINGS, Embedded, FETCH_K, LAMBDA, METADATA_FILTER, Name, SEARCH_TYPE, TOP_K,
};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::NodeSpec;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "memoryVectorStore",
    category: "Vector Stores",
    version: 1.0,
    about: "The chatflow's own index in the data folder, filled from its documents by itself.",
    params: &[DOCUMENT, EMBEDDINGS, TOP_K, SEARCH_TYPE, FETCH_K, LAMBDA, METADATA_FILTER],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let embeddings = inputs.embeddings("embeddings")?.identity();
    let name = Name::Own { node: inputs.id.clone(), embeddings };
    let index = Embedded::new(inputs, name);
    let store = VectorStore::assemble(inputs, SPEC.name, index, METADATA_FILTER.name)?;
    Ok(VectorStore { fills_itself: true, ..store }.into_instance())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{TestTurn, json, node, source};
    use crate::vector_stores::embedded::tests::{embeddings, store, store_error};
    use crate::vector_stores::{SearchKind, own_collections, owner};

    #[test]
    fn it_fills_itself_and_belongs_to_its_chatflow_node_and_embeddings() {
        let store = store(&SPEC, [("embeddings", node(embeddings("m1")))]);
        let turn = TestTurn::asking("").ctx();

        assert!(store.fills_itself);
        let expected = format!("memory/{}/test_0/m1", turn.chatflow);
        assert_eq!(store.index.identity(&turn), expected);
        assert!(expected.starts_with(&own_collections(turn.chatflow)));
        assert_eq!(owner(&expected), Some(turn.chatflow));
        assert_eq!(owner("faiss/memory/x/y"), None);
    }

    #[test]
    fn the_search_is_set_as_its_author_typed_it() {
        let values = [
            ("embeddings", node(embeddings("m1"))),
            ("topK", source("7")),
            ("searchType", source("mmr")),
            ("fetchK", source("30")),
            ("lambda", source("0.25")),
            ("metadataFilter", json(json!({"team": "x"}))),
        ];
        let search = store(&SPEC, values).search;
        assert_eq!(search.top_k, 7);
        assert_eq!(search.kind, SearchKind::Mmr { fetch_k: 30, lambda: 0.25 });
        assert_eq!(search.filter, Some(json!({"team": "x"})));
    }

    #[test]
    fn without_embeddings_it_says_so() {
        let error = store_error(&SPEC, []);
        assert!(error.to_string().contains("embeddings"), "{error}");
    }
}
