//! Which chunks of an index which embeddings made, in the ledger: one page for
//! each embeddings, and one for chunks of which nobody knows, because an
//! upsert was about to write them and did not end.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::ids::hashed;
use crate::error::NodeError;
use crate::retrieval::{LedgerEntry, Origin, UpsertLedger};

/// What the origins of all pages begin with, before the identity of their index.
pub const PAGES_OF: &str = "vectors of ";
/// The page of older ledgers: one mark for all chunks that no other page has.
const MARK: &str = "model";

/// The pages of one index, as embeddings see them that are to fill it.
pub(in crate::vector_stores) struct Models {
    ledger: Arc<dyn UpsertLedger>,
    /// Not the index's own, so that no page is an origin of the index.
    identity: String,
    /// Of the index.
    of: String,
}

impl Models {
    pub(super) fn new(ledger: Arc<dyn UpsertLedger>, identity: &str) -> Self {
        let of = identity.to_owned();
        Self { ledger, identity: format!("embeddings of {identity}"), of }
    }

    /// Those of these chunks whose vectors other embeddings made: they are not
    /// comparable. What is on no page is trusted, unless an older ledger says
    /// that others made it.
    pub(super) async fn embedded_otherwise(
        &self,
        embeddings: &str,
        mut chunks: HashSet<Uuid>,
    ) -> Result<HashSet<Uuid>, NodeError> {
        let (own, mark) = (self.page(embeddings), Origin::Chatflow(MARK.into()));
        let (mut ours, mut others, mut is_marked) = (HashSet::new(), HashSet::new(), false);
        for page in self.ledger.entries(&self.identity).await? {
            match &page.origin {
                origin if *origin == mark => {
                    is_marked = page.chunks.first().is_some_and(|by| *by != hashed(embeddings));
                }
                origin if *origin == own => ours.extend(page.chunks),
                _ => others.extend(page.chunks),
            }
        }
        chunks.retain(|id| others.contains(id) || is_marked && !ours.contains(id));
        Ok(chunks)
    }

    /// Notes that these are about to be written: until [`Self::note`] nobody
    /// can say what made their vectors.
    pub(super) async fn doubt(&self, chunks: &[Uuid]) -> Result<(), NodeError> {
        self.shift(chunks, Some(self.named("nobody"))).await
    }

    /// Notes that these embeddings made them.
    pub(super) async fn note(&self, embeddings: &str, chunks: &[Uuid]) -> Result<(), NodeError> {
        self.shift(chunks, Some(self.page(embeddings))).await
    }

    /// Forgets chunks that are gone.
    pub(in crate::vector_stores) async fn forget(&self, chunks: &[Uuid]) -> Result<(), NodeError> {
        self.shift(chunks, None).await
    }

    async fn shift(&self, chunks: &[Uuid], to: Option<Origin>) -> Result<(), NodeError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let moved: HashSet<&Uuid> = chunks.iter().collect();
        let (mut changed, mut kept) = (Vec::new(), Vec::new());
        for mut page in self.ledger.entries(&self.identity).await? {
            let n_before = page.chunks.len();
            page.chunks.retain(|id| !moved.contains(id));
            if Some(&page.origin) == to.as_ref() {
                kept = page.chunks;
            } else if page.chunks.len() != n_before {
                changed.push(page);
            }
        }
        if let Some(origin) = to {
            kept.extend(chunks);
            changed.push(LedgerEntry { origin, chunks: kept });
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.ledger.settle(&self.identity, changed).await
    }

    fn page(&self, embeddings: &str) -> Origin {
        self.named(&hashed(embeddings).to_string())
    }

    /// With the index, so that the pages of a chatflow's own can be found.
    fn named(&self, by: &str) -> Origin {
        Origin::Chatflow(format!("{PAGES_OF}{} by {by}", self.of).into())
    }
}
