//! Tools: what an agent may call. An error of a tool is told to the model.

mod arguments;
mod calculator;
mod chain_tool;
mod current_date_time;

use crate::spec::NodeSpec;

/// The tool nodes.
pub const NODES: &[&NodeSpec] = &[&calculator::SPEC, &chain_tool::SPEC, &current_date_time::SPEC];
