//! Record managers: which chunks of which source are in a vector store already.

mod settings;

pub mod postgres_record_manager;
mod sqlite_record_manager;

use crate::spec::NodeSpec;

/// The record manager nodes.
pub const NODES: &[&NodeSpec] = &[&postgres_record_manager::SPEC, &sqlite_record_manager::SPEC];
