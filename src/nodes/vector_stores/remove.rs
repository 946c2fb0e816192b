//! Taking chunks out of a vector store, with the ledger and the record manager
//! kept in step.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use super::VectorStore;
use super::upsert::{AT_ONCE, Book, Records, delete, enter, settling};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{LedgerEntry, Origin};

/// Rounds of a removal by filter, each of [`AT_ONCE`] chunks.
const MAX_ROUNDS: usize = 10_000;

/// Which chunks.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// These.
    Ids(Vec<Uuid>),
    /// Those whose metadata match a filter in the store's own language.
    Filter(Value),
    /// Those of one origin of this chatflow: a file's name, an address, a loader's id.
    Origin(String),
    /// All that this chatflow put there.
    Everything,
}

impl VectorStore {
    /// Takes chunks out. A chunk that belongs to another origin too stays,
    /// unless it is selected by its id or its metadata. Gives the number taken.
    ///
    /// # Errors
    /// The store's and the ledger's; [`NodeError::BadRequest`] for a filter
    /// that cannot be read.
    pub async fn remove(&self, selection: &Selection, ctx: &TurnCtx) -> Result<u64, NodeError> {
        let book = Book::open(self, ctx)?;
        let _lane = enter(&book.identity, ctx).await?;
        book.recover(self.index.as_ref(), ctx).await?;
        match selection {
            Selection::Ids(ids) => self.remove_ids(ids, &book, ctx).await,
            Selection::Filter(filter) => self.remove_matching(filter, &book, ctx).await,
            Selection::Origin(name) => {
                let name = book.scoped_name(name);
                self.remove_origins(|entry| name_of(entry) == name, &book, ctx).await
            }
            Selection::Everything => {
                self.remove_origins(|entry| book.is_own(entry), &book, ctx).await
            }
        }
    }

    async fn remove_matching(
        &self,
        filter: &Value,
        book: &Book,
        ctx: &TurnCtx,
    ) -> Result<u64, NodeError> {
        let mut n_removed = 0;
        for _ in 0..MAX_ROUNDS {
            let ids = self.index.matching(filter, AT_ONCE, ctx).await?;
            let n_now = self.remove_ids(&ids, book, ctx).await?;
            n_removed += n_now;
            // A store that still shows what it has deleted would never end.
            if ids.len() < AT_ONCE || n_now == 0 {
                break;
            }
        }
        Ok(n_removed)
    }

    async fn remove_ids(&self, ids: &[Uuid], book: &Book, ctx: &TurnCtx) -> Result<u64, NodeError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let removed: HashSet<Uuid> = ids.iter().copied().collect();
        let mut entries = book.entries().await?;
        entries.retain(|entry| entry.chunks.iter().any(|id| removed.contains(id)));
        for entry in &mut entries {
            entry.chunks.retain(|id| !removed.contains(id));
        }
        self.take_out(ids, entries, book, ctx).await
    }

    async fn remove_origins(
        &self,
        is_meant: impl Fn(&LedgerEntry) -> bool,
        book: &Book,
        ctx: &TurnCtx,
    ) -> Result<u64, NodeError> {
        let (mut meant, others): (Vec<_>, Vec<_>) =
            book.entries().await?.into_iter().partition(is_meant);
        let kept: HashSet<Uuid> = others.into_iter().flat_map(|entry| entry.chunks).collect();
        let chunks = meant.iter_mut().flat_map(|entry| std::mem::take(&mut entry.chunks));
        let removed: HashSet<Uuid> = chunks.filter(|id| !kept.contains(id)).collect();
        let removed: Vec<Uuid> = removed.into_iter().collect();
        self.take_out(&removed, meant, book, ctx).await
    }

    /// The index first: what the ledger holds too much does no harm.
    async fn take_out(
        &self,
        ids: &[Uuid],
        entries: Vec<LedgerEntry>,
        book: &Book,
        ctx: &TurnCtx,
    ) -> Result<u64, NodeError> {
        let _settling = settling().await;
        let n_removed = delete(self.index.as_ref(), ids, ctx).await?;
        if let Some(records) = Records::of(self, ctx) {
            records.forget(ids, ctx).await?;
        }
        book.models().forget(ids).await?;
        book.settle(entries).await?;
        Ok(n_removed)
    }
}

fn name_of(entry: &LedgerEntry) -> &str {
    let (Origin::Chatflow(name) | Origin::Request(name)) = &entry.origin;
    name
}
