//! Chat models: one node per provider, over the protocols of [`crate::wire`].

pub(crate) mod compatible;
mod passages;
mod provider;

mod aws_chat_bedrock;
pub(crate) mod azure_chat_open_ai;
mod chat_anthropic;
mod chat_deepseek;
mod chat_fireworks;
mod chat_google_generative_ai;
pub(crate) mod chat_local_ai;
pub(crate) mod chat_mistral_ai;
mod chat_nvidia_nim;
mod chat_ollama;
pub(crate) mod chat_open_ai;
mod chat_open_ai_custom;
mod chat_open_router;
mod chat_together_ai;
mod chat_xai;
mod extractive_chat_model;
mod groq_chat;

use crate::spec::NodeSpec;

/// The chat model nodes.
pub const NODES: &[&NodeSpec] = &[
    &chat_open_ai::SPEC,
    &chat_open_ai_custom::SPEC,
    &azure_chat_open_ai::SPEC,
    &chat_anthropic::SPEC,
    &chat_google_generative_ai::SPEC,
    &aws_chat_bedrock::SPEC,
    &chat_ollama::SPEC,
    &chat_mistral_ai::SPEC,
    &groq_chat::SPEC,
    &chat_deepseek::SPEC,
    &chat_open_router::SPEC,
    &chat_together_ai::SPEC,
    &chat_fireworks::SPEC,
    &chat_xai::SPEC,
    &chat_nvidia_nim::SPEC,
    &chat_nvidia_nim::OLDER_SPEC,
    &chat_local_ai::SPEC,
    &extractive_chat_model::SPEC,
];
