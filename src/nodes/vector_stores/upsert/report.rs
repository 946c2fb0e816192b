//! What an upsert did.

use crate::retrieval::{Document, LoadFailure};

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
    /// Chunks that the record manager holds now; without one, the different
    /// chunks of this upsert.
    pub total_keys: usize,
    /// Whether a record manager is connected, whose counts a client expects.
    pub has_records: bool,
    /// The documents that were written; without a record manager all that came.
    pub added: Vec<Document>,
    /// Files that could not be read.
    pub failures: Vec<LoadFailure>,
}
