//! Embeddings: texts into vectors, by a provider or offline.

use crate::spec::NodeSpec;

/// The embedding nodes.
pub const NODES: &[&NodeSpec] = &[];
