//! One upsert: documents are loaded, cut, compared with what is there,
//! embedded in batches and written; what is stale goes last.

use serde::Serialize;

use super::VectorStore;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, LoadFailure};

/// How an upsert is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpsertOptions {
    /// Files that cannot be read are reported, and the rest goes on.
    pub keep_going: bool,
}

/// How far an upsert is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpsertCounts {
    /// Files and pages read.
    pub files: usize,
    /// Chunks that they were cut into; 0 until all are read.
    pub chunks: usize,
    /// Of them, those that are there already.
    pub skipped: usize,
    /// Of them, those that have their vector.
    pub embedded: usize,
    /// Of them, those that are written.
    pub written: usize,
}

/// Who watches an upsert.
pub trait UpsertWatch: Send + Sync {
    /// Called often; must be cheap and must not block.
    fn progress(&self, counts: UpsertCounts);
}

/// What an upsert did.
#[derive(Debug, Clone, Default)]
pub struct UpsertReport {
    /// Chunks that are new.
    pub num_added: usize,
    /// Chunks that were there and were written again.
    pub num_updated: usize,
    /// Chunks that were there and were left alone.
    pub num_skipped: usize,
    /// Stale chunks taken out.
    pub num_deleted: usize,
    /// Different chunks of this upsert.
    pub total_keys: usize,
    /// Whether a record manager is connected, whose counts a client expects.
    pub has_records: bool,
    /// The documents that were added.
    pub added: Vec<Document>,
    /// Files that could not be read.
    pub failures: Vec<LoadFailure>,
}

impl VectorStore {
    /// Fills the store from its loaders.
    ///
    /// # Errors
    /// The loaders', the embeddings' and the store's. What was there before
    /// stays as it was.
    pub async fn upsert(
        &self,
        _options: UpsertOptions,
        _watch: &dyn UpsertWatch,
        _ctx: &TurnCtx,
    ) -> Result<UpsertReport, NodeError> {
        Err(NodeError::Unsupported(format!("{} cannot be filled yet", self.title)))
    }
}
