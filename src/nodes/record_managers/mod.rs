//! Record managers: which chunks of which source are in a vector store already.

#[cfg_attr(not(test), expect(dead_code, reason = "the nodes that read them follow"))]
mod settings;

use crate::spec::NodeSpec;

/// The record manager nodes.
pub const NODES: &[&NodeSpec] = &[];
