//! Chains: a prompt, a model, and perhaps a memory. They can end a flow.

mod conversation_chain;
mod llm_chain;
pub mod vision;

use crate::spec::NodeSpec;

/// The chain nodes.
pub const NODES: &[&NodeSpec] = &[&llm_chain::SPEC, &conversation_chain::SPEC];
