//! Flowise's `ollamaEmbedding`, version 1: a model on a server of one's own.

use std::sync::Arc;

use serde_json::Map;

use super::compatible::MODEL;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};
use crate::wire::ollama::embeddings::OllamaEmbeddings;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "ollamaEmbedding",
    category: "Embeddings",
    version: 1.0,
    about: "Vectors by a model that Ollama runs.",
    params: &[
        Param::closed("baseUrl", Kind::Text),
        MODEL,
        Param::closed("numGpu", Kind::Integer),
        Param::closed("numThread", Kind::Integer),
        Param::closed("useMMap", Kind::Boolean),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let mut options = Map::new();
    if let Some(n_threads) = inputs.integer("numThread", 0)? {
        options.insert("num_thread".to_owned(), n_threads.into());
    }
    if let Some(n_layers) = inputs.integer("numGpu", -1)? {
        options.insert("num_gpu".to_owned(), n_layers.into());
    }
    let maps = inputs.boolean("useMMap")?.unwrap_or(true);
    options.insert("use_mmap".to_owned(), maps.into());
    Ok(Instance::Embeddings(Arc::new(OllamaEmbeddings {
        base: inputs.text("baseUrl"),
        model: inputs.required_text("modelName")?,
        options,
    })))
}
