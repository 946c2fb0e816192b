//! Agents: a model that may call tools until it has an answer. They can end a
//! flow. Rounds, calls, arguments and what tools return are bounded.

mod clean;
mod conversational_agent;
mod findings;
mod rounds;
mod tool_agent;
mod toolbox;
mod trace;

use crate::spec::NodeSpec;

/// The agent nodes.
pub const NODES: &[&NodeSpec] = &[&conversational_agent::SPEC, &tool_agent::SPEC];
