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
use crate::test_support::{inputs, json as tree};

/// A splitter node built from inputs as they stand in a flow.
fn splitter(node: &str, values: &Value) -> Arc<dyn TextSplitter> {
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
fn sizes(chunk: usize, overlap: usize) -> Value {
    json!({"chunkSize": chunk, "chunkOverlap": overlap})
}
