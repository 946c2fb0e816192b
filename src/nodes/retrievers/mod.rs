//! Retrievers: what finds documents for a question, beside the vector stores themselves.

mod find;
mod found;
mod nearest;

mod similarity_threshold_retriever;
mod vector_store_retriever;

pub use find::find;
pub use found::found;
pub use nearest::{Nearest, percent};

use crate::spec::NodeSpec;

/// The retriever nodes.
pub const NODES: &[&NodeSpec] =
    &[&vector_store_retriever::SPEC, &similarity_threshold_retriever::SPEC];
