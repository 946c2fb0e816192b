//! Embeddings: texts into vectors, by a provider or offline.

mod compatible;

mod azure_open_ai_embeddings;
mod google_generative_ai_embeddings;
mod hashing_embeddings;
mod local_ai_embeddings;
mod mistral_ai_embeddings;
mod ollama_embedding;
mod open_ai_embeddings;
mod open_ai_embeddings_custom;

use crate::spec::NodeSpec;

/// The embedding nodes.
pub const NODES: &[&NodeSpec] = &[
    &open_ai_embeddings::SPEC,
    &open_ai_embeddings_custom::SPEC,
    &azure_open_ai_embeddings::SPEC,
    &ollama_embedding::SPEC,
    &local_ai_embeddings::SPEC,
    &mistral_ai_embeddings::SPEC,
    &google_generative_ai_embeddings::SPEC,
    &hashing_embeddings::SPEC,
];

#[cfg(test)]
mod tests;
