//! Output parsers: the shape that a model's answer must have.

use crate::spec::NodeSpec;

/// The output parser nodes.
pub const NODES: &[&NodeSpec] = &[];
