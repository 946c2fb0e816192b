//! Retrievers: what finds documents for a question, beside the vector stores themselves.

use crate::spec::NodeSpec;

/// The retriever nodes.
pub const NODES: &[&NodeSpec] = &[];
