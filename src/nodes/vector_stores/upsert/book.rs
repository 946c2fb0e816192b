//! What the ledger holds of one index, seen from one chatflow: its origins are
//! noted with the chatflow's id, since two chatflows may fill one index from
//! loaders of the same name.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::models::Models;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{LedgerEntry, Origin, UpsertLedger, VectorIndex};
use crate::vector_stores::VectorStore;

/// Most ids that an index or a record manager is told at once.
pub(in crate::vector_stores) const AT_ONCE: usize = 1_000;

/// The ledger's pages of one index.
pub(in crate::vector_stores) struct Book {
    ledger: Arc<dyn UpsertLedger>,
    /// Of the index.
    pub(in crate::vector_stores) identity: String,
    /// Before the names of this chatflow's origins.
    prefix: String,
}

impl Book {
    /// Opens the pages of a store's index.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where the server keeps no ledger.
    pub(in crate::vector_stores) fn open(
        store: &VectorStore,
        ctx: &TurnCtx,
    ) -> Result<Self, NodeError> {
        Ok(Self {
            ledger: ctx.services.ledger()?,
            identity: store.index.identity(ctx),
            prefix: format!("{}/", ctx.chatflow),
        })
    }

    /// The name under which the ledger knows an origin of this chatflow.
    pub(super) fn scoped(&self, origin: &Origin) -> Origin {
        match origin {
            Origin::Chatflow(name) => Origin::Chatflow(self.scoped_name(name).into()),
            Origin::Request(name) => Origin::Request(self.scoped_name(name).into()),
        }
    }

    /// The name alone.
    pub(in crate::vector_stores) fn scoped_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether an entry belongs to this chatflow.
    pub(in crate::vector_stores) fn is_own(&self, entry: &LedgerEntry) -> bool {
        self.owns(&entry.origin)
    }

    /// Whether an origin of an entry does.
    pub(super) fn owns(&self, origin: &Origin) -> bool {
        let (Origin::Chatflow(name) | Origin::Request(name)) = origin;
        name.starts_with(&self.prefix)
    }

    /// The chunks of a scoped origin.
    pub(super) async fn chunks(&self, scoped: &Origin) -> Result<Vec<Uuid>, NodeError> {
        self.ledger.chunks(&self.identity, scoped).await
    }

    /// The chunks of all origins, of other chatflows too.
    pub(in crate::vector_stores) async fn entries(&self) -> Result<Vec<LedgerEntry>, NodeError> {
        self.ledger.entries(&self.identity).await
    }

    /// Whether it knows chunks that requests of this chatflow brought.
    pub(in crate::vector_stores) async fn knows_of_requests(&self) -> Result<bool, NodeError> {
        let is_theirs =
            |entry: &LedgerEntry| matches!(entry.origin, Origin::Request(_)) && self.is_own(entry);
        Ok(self.entries().await?.iter().any(|entry| is_theirs(entry) && !entry.chunks.is_empty()))
    }

    /// Takes out what a crashed upsert left behind; how many chunks there were.
    pub(in crate::vector_stores) async fn recover(
        &self,
        index: &dyn VectorIndex,
        ctx: &TurnCtx,
    ) -> Result<u64, NodeError> {
        let announced = self.ledger.announced(&self.identity).await?;
        if announced.is_empty() {
            return Ok(0);
        }
        let entries = self.entries().await?;
        let settled: HashSet<Uuid> = entries.into_iter().flat_map(|entry| entry.chunks).collect();
        let left: Vec<Uuid> = announced.into_iter().filter(|id| !settled.contains(id)).collect();
        tracing::info!("{} chunks of an upsert that broke off are taken out", left.len());
        let n_deleted = delete(index, &left, ctx).await?;
        self.settle(Vec::new()).await?;
        Ok(n_deleted)
    }

    /// Notes ids before they are written.
    pub(super) async fn announce(&self, ids: &[Uuid]) -> Result<(), NodeError> {
        self.ledger.announce(&self.identity, ids).await
    }

    /// Notes that the change is done, or undone.
    pub(in crate::vector_stores) async fn settle(
        &self,
        entries: Vec<LedgerEntry>,
    ) -> Result<(), NodeError> {
        self.ledger.settle(&self.identity, entries).await
    }

    /// Which embeddings made the index's chunks.
    pub(in crate::vector_stores) fn models(&self) -> Models {
        Models::new(Arc::clone(&self.ledger), &self.identity)
    }
}

/// Takes chunks out of an index, some at a time. Gives the number taken.
///
/// # Errors
/// The index's.
pub(in crate::vector_stores) async fn delete(
    index: &dyn VectorIndex,
    ids: &[Uuid],
    ctx: &TurnCtx,
) -> Result<u64, NodeError> {
    let mut n_deleted = 0;
    for ids in ids.chunks(AT_ONCE) {
        // Not every store says how many it took.
        n_deleted += index.known(ids, ctx).await?.len() as u64;
        index.delete(ids, ctx).await?;
    }
    Ok(n_deleted)
}
