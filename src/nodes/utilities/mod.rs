//! Utilities: what is neither a model nor a chain.

mod sticky_note;

use crate::spec::NodeSpec;

/// The utility nodes.
pub const NODES: &[&NodeSpec] = &[&sticky_note::SPEC];
