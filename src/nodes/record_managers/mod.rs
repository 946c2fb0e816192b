//! Record managers: which chunks of which source are in a vector store already.

mod settings;

mod sqlite_record_manager;

use crate::spec::NodeSpec;

/// The record manager nodes.
pub const NODES: &[&NodeSpec] = &[&sqlite_record_manager::SPEC];
