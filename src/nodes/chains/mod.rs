//! Chains: a prompt, a model, and perhaps a memory or documents. They can end
//! a flow.

mod conversation_chain;
mod conversational_retrieval_qa_chain;
mod grounding;
mod llm_chain;
mod multi_retrieval_qa_chain;
mod retrieval_qa_chain;
pub mod vision;

use crate::spec::NodeSpec;

/// The chain nodes.
pub const NODES: &[&NodeSpec] = &[
    &llm_chain::SPEC,
    &conversation_chain::SPEC,
    &conversational_retrieval_qa_chain::SPEC,
    &retrieval_qa_chain::SPEC,
    &multi_retrieval_qa_chain::SPEC,
];
