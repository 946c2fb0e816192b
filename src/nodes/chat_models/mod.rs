//! Chat models: one node per provider, over the protocols of [`crate::wire`].

mod bm25;
mod passages;
mod provider;

mod aws_chat_bedrock;
mod chat_anthropic;
mod chat_google_generative_ai;
mod chat_ollama;
mod chat_open_ai;
mod extractive_chat_model;

use crate::spec::NodeSpec;

/// The chat model nodes.
pub const NODES: &[&NodeSpec] = &[
    &chat_open_ai::SPEC,
    &chat_anthropic::SPEC,
    &chat_google_generative_ai::SPEC,
    &aws_chat_bedrock::SPEC,
    &chat_ollama::SPEC,
    &extractive_chat_model::SPEC,
];
