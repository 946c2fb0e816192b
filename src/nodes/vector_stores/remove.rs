//! Taking chunks out of a store.

use serde_json::Value;
use uuid::Uuid;

use super::VectorStore;
use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// Which chunks.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// Those with these ids.
    Ids(Vec<Uuid>),
    /// Those whose metadata match a filter in the store's own language.
    Filter(Value),
    /// Those of a file, an address or a loader.
    Origin(String),
    /// All that this chatflow put there.
    Everything,
}

impl VectorStore {
    /// Takes chunks out; gives their number.
    ///
    /// # Errors
    /// The store's, and [`NodeError::BadRequest`] for a filter that cannot be read.
    pub async fn remove(&self, _selection: &Selection, _ctx: &TurnCtx) -> Result<u64, NodeError> {
        Err(NodeError::Unsupported(format!("{} cannot be emptied yet", self.title)))
    }
}
