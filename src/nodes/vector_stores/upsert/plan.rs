//! What an upsert will do, decided before anything is changed: which chunks
//! are embedded and written, which are stale, and what the ledger says after.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::book::{AT_ONCE, Book};
use super::gather::Gathered;
use super::records::Records;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{LedgerEntry, Origin};
use crate::vector_stores::VectorStore;

/// What an upsert will do.
#[derive(Default)]
pub(super) struct Plan {
    /// Places of the chunks that are embedded and written.
    pub(super) to_write: Vec<usize>,
    /// Of them, the ids that are not in the index now.
    pub(super) fresh: Vec<Uuid>,
    /// Ids that are taken out at last.
    pub(super) stale: Vec<Uuid>,
    /// What the ledger holds while stale ids may still be in the index.
    pub(super) listed: Vec<LedgerEntry>,
    /// What the ledger holds afterwards.
    pub(super) entries: Vec<LedgerEntry>,
    /// Sources of the chunks, for the record manager.
    pub(super) sources: Vec<Option<String>>,
    /// Chunks to write that nobody knew.
    pub(super) n_added: usize,
    /// Chunks to write that the index or the record manager knew.
    pub(super) n_updated: usize,
}

impl Plan {
    /// Compares what an upsert brings with what is there.
    pub(super) async fn make(
        store: &VectorStore,
        gathered: &Gathered,
        book: &Book,
        records: Option<&Records<'_>>,
        ctx: &TurnCtx,
    ) -> Result<Self, NodeError> {
        let mut plan = Self::default();
        if let Some(records) = records {
            plan.sources = records.sources(&gathered.documents)?;
        }
        plan.compare(store, gathered, book, records, ctx).await?;
        let mut pages = Pages::open(gathered, book).await?;
        let outdated = match records {
            None => {
                let mut outdated = pages.replace(gathered, book);
                if store.fills_itself {
                    outdated.extend(pages.drop_removed(store, book).await?);
                }
                outdated
            }
            Some(_) if !gathered.failures.is_empty() => Vec::new(),
            Some(records) => records.outdated(&plan.sources, ctx).await?,
        };
        let outdated: HashSet<Uuid> =
            outdated.into_iter().filter(|id| !gathered.brings(id)).collect();
        plan.stale = pages.close(outdated, book, records.is_some()).await?;
        (plan.listed, plan.entries) = pages.entries(&plan.stale);
        Ok(plan)
    }

    /// A chunk is left alone where the index has it: a record manager that
    /// knows a chunk which the store has lost is not believed, as otherwise an
    /// emptied store could never be filled again.
    async fn compare(
        &mut self,
        store: &VectorStore,
        gathered: &Gathered,
        book: &Book,
        records: Option<&Records<'_>>,
        ctx: &TurnCtx,
    ) -> Result<(), NodeError> {
        let mut known = HashSet::new();
        for ids in gathered.ids.chunks(AT_ONCE) {
            known.extend(store.index.known(ids, ctx).await?);
        }
        let recorded = match records {
            None => HashSet::new(),
            Some(records) => records.exist(&gathered.ids, ctx).await?,
        };
        let embeddings = store.embeddings.identity();
        let foreign = book.models().embedded_otherwise(&embeddings, known.clone()).await?;
        for (place, id) in gathered.ids.iter().enumerate() {
            let is_known = known.contains(id);
            if is_known && !foreign.contains(id) {
                continue;
            }
            self.to_write.push(place);
            if !is_known {
                self.fresh.push(*id);
            }
            match is_known || recorded.contains(id) {
                true => self.n_updated += 1,
                false => self.n_added += 1,
            }
        }
        Ok(())
    }
}

/// The chunks of this upsert's origins, before and after.
struct Pages {
    before: BTreeMap<Origin, Vec<Uuid>>,
    after: BTreeMap<Origin, Vec<Uuid>>,
}

impl Pages {
    /// Every origin with what it has and what the upsert brings of it.
    async fn open(gathered: &Gathered, book: &Book) -> Result<Self, NodeError> {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        for (origin, brought) in &gathered.origins {
            let scoped = book.scoped(origin);
            let old = book.chunks(&scoped).await?;
            after.insert(scoped.clone(), union(&old, &brought.ids));
            before.insert(scoped, old);
        }
        Ok(Self { before, after })
    }

    /// Puts what the chatflow itself holds in place of its older version.
    /// Gives what may be stale now.
    fn replace(&mut self, gathered: &Gathered, book: &Book) -> Vec<Uuid> {
        let mut outdated = Vec::new();
        for (origin, brought) in &gathered.origins {
            // What could not be read today may still be there tomorrow.
            if brought.is_partial || matches!(origin, Origin::Request(_)) {
                continue;
            }
            let scoped = book.scoped(origin);
            outdated.extend(self.before.get(&scoped).into_iter().flatten());
            self.after.insert(scoped, union(&[], &brought.ids));
        }
        outdated
    }

    /// Lets go of loaders that the chatflow has no more: nobody fills the store
    /// again when one is removed. Gives what may be stale now.
    async fn drop_removed(
        &mut self,
        store: &VectorStore,
        book: &Book,
    ) -> Result<Vec<Uuid>, NodeError> {
        let mut connected = HashSet::new();
        for loader in &store.loaders {
            match loader.origin() {
                Some(Origin::Chatflow(id) | Origin::Request(id)) => {
                    connected.insert(Origin::Chatflow(book.scoped_name(id).into()));
                }
                // It tells of no id, so that nobody knows which is its own.
                None => return Ok(Vec::new()),
            }
        }
        let mut outdated = Vec::new();
        for LedgerEntry { origin, chunks } in book.entries().await? {
            let is_kept = matches!(origin, Origin::Request(_)) || connected.contains(&origin);
            if !is_kept && book.owns(&origin) && !self.after.contains_key(&origin) {
                outdated.extend(&chunks);
                self.after.insert(origin.clone(), Vec::new());
                self.before.insert(origin, chunks);
            }
        }
        Ok(outdated)
    }

    /// The stale ids. A chunk stays while another origin has it; where a
    /// record manager decides, while another chatflow has.
    async fn close(
        &mut self,
        mut outdated: HashSet<Uuid>,
        book: &Book,
        by_records: bool,
    ) -> Result<Vec<Uuid>, NodeError> {
        if !outdated.is_empty() {
            for entry in book.entries().await? {
                if by_records && book.is_own(&entry) {
                    self.after.entry(entry.origin).or_insert(entry.chunks);
                } else if !self.after.contains_key(&entry.origin) {
                    entry.chunks.iter().for_each(|id| _ = outdated.remove(id));
                }
            }
        }
        if !by_records {
            self.after.values().flatten().for_each(|id| _ = outdated.remove(id));
        }
        Ok(outdated.into_iter().collect())
    }

    /// The changed entries: with all that was there before, and without what
    /// is stale.
    fn entries(self, stale: &[Uuid]) -> (Vec<LedgerEntry>, Vec<LedgerEntry>) {
        let stale: HashSet<&Uuid> = stale.iter().collect();
        let (mut listed, mut entries) = (Vec::new(), Vec::new());
        for (origin, mut chunks) in self.after {
            let before = self.before.get(&origin).map_or(&[][..], |before| before);
            listed.push(LedgerEntry { origin: origin.clone(), chunks: union(&chunks, before) });
            chunks.retain(|id| !stale.contains(id));
            entries.push(LedgerEntry { origin, chunks });
        }
        (listed, entries)
    }
}

/// The different ids of both, in order.
fn union(old: &[Uuid], new: &[Uuid]) -> Vec<Uuid> {
    let mut seen = HashSet::new();
    old.iter().chain(new).filter(|id| seen.insert(**id)).copied().collect()
}
