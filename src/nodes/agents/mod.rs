//! Agents.

use crate::spec::NodeSpec;

/// The agent nodes.
pub const NODES: &[&NodeSpec] = &[];
