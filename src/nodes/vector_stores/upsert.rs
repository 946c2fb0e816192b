//! One upsert: documents are loaded, cut, compared with what is there,
//! embedded in batches and written; what is stale goes last.

mod book;
mod gather;
mod ids;
mod lane;
mod models;
mod plan;
mod progress;
mod records;
mod report;
mod write;

use serde::Serialize;

pub(super) use book::{AT_ONCE, Book, delete};
pub(super) use gather::Gathered;
pub use lane::{Settled, all_settled};
pub(super) use lane::{enter, settling};
pub use models::PAGES_OF;
pub(super) use records::Records;
pub use report::UpsertReport;

use self::plan::Plan;
use self::progress::Progress;
use self::write::{Work, calm};
use super::VectorStore;
use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// How an upsert is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpsertOptions {
    /// Files that cannot be read are reported, and the rest goes on.
    pub keep_going: bool,
    /// Loaders without a file bring nothing; otherwise they say so, unless the
    /// request brings files for others.
    pub may_lack: bool,
}

/// How far an upsert is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpsertCounts {
    /// Files and pages read.
    pub files: usize,
    /// Different chunks that they were cut into; 0 until all are read.
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

/// Nobody watches.
impl UpsertWatch for () {
    fn progress(&self, _counts: UpsertCounts) {}
}

/// All that the loaders of a store bring, as an upsert would take it.
///
/// # Errors
/// The loaders'; the first file that cannot be read.
pub(super) async fn gather(store: &VectorStore, ctx: &TurnCtx) -> Result<Gathered, NodeError> {
    Gathered::load(store, UpsertOptions::default(), &Progress::new(&()), ctx).await
}

impl VectorStore {
    /// Takes out what an upsert announced that a crash ended; how many chunks
    /// there were.
    ///
    /// # Errors
    /// The store's and the ledger's.
    pub async fn recover(&self, ctx: &TurnCtx) -> Result<u64, NodeError> {
        let book = Book::open(self, ctx)?;
        let _lane = lane::enter(&book.identity, ctx).await?;
        book.recover(self.index.as_ref(), ctx).await
    }

    /// Fills the store from its loaders.
    ///
    /// # Errors
    /// The loaders', the embeddings' and the store's. What was there before
    /// stays as it was, unless taking out what is stale failed: then both are
    /// there, and the next upsert takes it out.
    pub async fn upsert(
        &self,
        options: UpsertOptions,
        watch: &dyn UpsertWatch,
        ctx: &TurnCtx,
    ) -> Result<UpsertReport, NodeError> {
        let book = Book::open(self, ctx)?;
        let progress = Progress::new(watch);
        let gathered = Gathered::load(self, options, &progress, ctx).await?;
        let records = Records::of(self, ctx);
        let _lane = lane::enter(&book.identity, ctx).await?;
        book.recover(self.index.as_ref(), ctx).await?;
        let plan = Plan::make(self, &gathered, &book, records.as_ref(), ctx).await?;
        progress.note(|counts| {
            counts.chunks = gathered.ids.len();
            counts.skipped = gathered.ids.len() - plan.to_write.len();
        });
        let work = Work::new(self, &gathered, &plan, &book, &progress, ctx);
        work.run(records.as_ref()).await?;
        // Counted when all is done: an answer without it would be no reason to begin again.
        let total_keys = match &records {
            Some(records) => records.all(&calm(ctx)).await?.len(),
            None => gathered.ids.len(),
        };
        Ok(report(gathered, &plan, records.is_some(), total_keys))
    }
}

fn report(gathered: Gathered, plan: &Plan, has_records: bool, total_keys: usize) -> UpsertReport {
    let n_documents = gathered.documents.len();
    // Flowise knows no other count and so shows all; a record manager tells them apart.
    let added = if has_records {
        let mut documents: Vec<_> = gathered.documents.into_iter().map(Some).collect();
        plan.to_write.iter().filter_map(|at| documents[*at].take()).collect()
    } else {
        gathered.documents
    };
    UpsertReport {
        num_added: plan.n_added,
        num_updated: plan.n_updated,
        num_skipped: n_documents - plan.to_write.len(),
        num_deleted: plan.stale.len(),
        total_keys,
        has_records,
        added,
        failures: gathered.failures,
    }
}

#[cfg(test)]
mod tests;
