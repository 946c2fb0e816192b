//! All splitters against what LangChain's own made of the same texts, against any
//! Unicode, and against texts made to take long.

mod any_text;
mod goldens;
mod long_texts;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::registry;
use crate::retrieval::TextSplitter;
use crate::test_support::{TestTurn, build, inputs, json as tree, node, source};

use super::NODES;

/// A splitter node built from inputs as they stand in a flow.
pub(super) fn splitter(node: &str, values: &Value) -> Arc<dyn TextSplitter> {
    let mut inputs: Inputs = inputs([]);
    for (name, value) in values.as_object().unwrap() {
        inputs.values.insert(name.clone(), tree(value.clone()));
    }
    match (registry::find(node).unwrap().build)(&inputs) {
        Ok(Instance::Splitter(splitter)) => splitter,
        Ok(other) => panic!("{}", other.kind()),
        Err(error) => panic!("{node} {values}: {error}"),
    }
}

/// The inputs of both sizes.
pub(super) fn sizes(chunk: usize, overlap: usize) -> Value {
    json!({"chunkSize": chunk, "chunkOverlap": overlap})
}

#[tokio::test]
async fn a_connected_splitter_cuts_what_a_loader_brings() {
    let cuts = Instance::Splitter(splitter("characterTextSplitter", &sizes(5, 0)));
    let values = [("text", source("one\n\ntwo")), ("textSplitter", node(cuts))];

    let Instance::Loader(loader) = build(registry::find("plainText").unwrap(), values) else {
        panic!("a loader")
    };
    let loaded = loader.load(&TestTurn::asking("").ctx()).await.unwrap();

    let expected = json!([
        {"pageContent": "one", "metadata": {"loc": {"lines": {"from": 1, "to": 1}}}},
        {"pageContent": "two", "metadata": {"loc": {"lines": {"from": 3, "to": 3}}}},
    ]);
    assert_eq!(serde_json::to_value(&loaded.documents).unwrap(), expected);
}

#[test]
fn a_request_may_change_sizes_and_separators() {
    for spec in NODES {
        for name in ["chunkSize", "chunkOverlap", "separators", "separator"] {
            assert!(spec.param(name).is_none_or(|param| param.open), "{} {name}", spec.name);
        }
        assert!(spec.param("chunkSize").is_some() && spec.param("chunkOverlap").is_some());
    }
}
