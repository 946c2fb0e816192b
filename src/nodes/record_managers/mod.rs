//! Record managers: which chunks of which source are in a vector store already.

use crate::spec::NodeSpec;

/// The record manager nodes.
pub const NODES: &[&NodeSpec] = &[];
