//! Flowise `faiss`, version 1: an index that chatflows share by its name.
//!
//! In Flowise `basePath` is a folder of the server. Here it is the name of a
//! collection in the data folder, whatever is typed, and never a path: an
//! index that Flowise wrote is not read. It is filled by upserts. Scores are
//! cosines, where Flowise gives distances: greater is better.

use super::VectorStore;
use super::embedded::{
    DOCUMENT, EMBEDDINGS, Embedded, FETCH_K, LAMBDA, METADATA_FILTER, Name, SEARCH_TYPE, TOP_K,
};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "faiss",
    category: "Vector Stores",
    version: 1.0,
    about: "An index in the data folder that chatflows share by its name.",
    params: &[
        DOCUMENT,
        EMBEDDINGS,
        BASE_PATH,
        TOP_K,
        SEARCH_TYPE,
        FETCH_K,
        LAMBDA,
        METADATA_FILTER,
    ],
    credential: None,
    build,
};

/// Which collection is read is the operator's to say.
const BASE_PATH: Param = Param::closed("basePath", Kind::Text);
/// Longest name in bytes; longer than any path that Flowise could open.
const MAX_NAME_BYTES: usize = 4_096;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text(BASE_PATH.name)?;
    if name.len() > MAX_NAME_BYTES {
        return Err(inputs.bad(BASE_PATH.name, format!("is longer than {MAX_NAME_BYTES} bytes")));
    }
    let index = Embedded::new(inputs, Name::Shared(name));
    let store = VectorStore::assemble(inputs, SPEC.name, index, METADATA_FILTER.name)?;
    Ok(store.into_instance())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestTurn, node, source};
    use crate::vector_stores::embedded::tests::{embeddings, store, store_error};

    #[test]
    fn every_chatflow_that_types_the_same_text_has_the_same_collection() {
        for name in ["docs", "/var/lib/faiss/../docs", "名前 \u{0}"] {
            let faiss = || {
                let values = [("embeddings", node(embeddings("m1"))), ("basePath", source(name))];
                store(&SPEC, values)
            };
            let turns = [TestTurn::asking("").ctx(), TestTurn::asking("").ctx()];

            assert!(!faiss().fills_itself);
            for turn in turns {
                assert_eq!(faiss().index.identity(&turn), format!("faiss/{name}"));
            }
        }
    }

    #[test]
    fn a_collection_must_have_a_name_of_a_sound_length() {
        for (name, part) in [(String::new(), "is empty"), ("x".repeat(5_000), "longer than 4096")] {
            let values = [("embeddings", node(embeddings("m1"))), ("basePath", source(&name))];
            let error = store_error(&SPEC, values);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
