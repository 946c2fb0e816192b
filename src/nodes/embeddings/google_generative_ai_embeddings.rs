//! Flowise's `googleGenerativeAiEmbeddings`, version 2: the Gemini API of Google.

use std::sync::Arc;

use super::compatible::MODEL;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::gemini::embeddings::GeminiEmbeddings;
use crate::wire::{Endpoint, Key};

const TASK_TYPES: &[&str] = &[
    UNSPECIFIED,
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
];
const UNSPECIFIED: &str = "TASK_TYPE_UNSPECIFIED";
const DEFAULT_MODEL: &str = "embedding-001";
const KEY: &str = "googleGenerativeAPIKey";

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "googleGenerativeAiEmbeddings",
    category: "Embeddings",
    version: 2.0,
    about: "Vectors by a Gemini model of Google.",
    params: &[MODEL, Param::listed("tasktype", Kind::Choice(TASK_TYPES))],
    credential: Some(&CredentialSpec {
        kind: "googleGenerativeAI",
        fields: &[(KEY, Some("GOOGLE_API_KEY"))],
    }),
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let task = inputs.text("tasktype").unwrap_or_else(|| UNSPECIFIED.to_owned());
    if !TASK_TYPES.contains(&task.as_str()) {
        return Err(inputs.bad("tasktype", format!("must be one of {}", TASK_TYPES.join(", "))));
    }
    Ok(Instance::Embeddings(Arc::new(GeminiEmbeddings {
        endpoint: Endpoint {
            provider: "gemini",
            public: "https://generativelanguage.googleapis.com".into(),
            typed: None,
            key: Key::of(inputs, KEY, KEY),
        },
        model: model.strip_prefix("models/").unwrap_or(&model).to_owned(),
        task_type: task,
    })))
}
