//! x
use crate::spec::NodeSpec;
/// x
pub const NODES: &[&NodeSpec] = &[];
