//! The stored record of chunks, as nodes see it.

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_nodes::NodeError;
use parlor_nodes::retrieval::{LedgerEntry, Origin, UpsertLedger};
use parlor_nodes::vector_stores::{PAGES_OF, own_collections};
use parlor_schemas::{ChatflowId, Fault};
use uuid::Uuid;

use crate::store::{ChunkLedger, StoreError};

const CHATFLOW: &str = "chatflow:";
const REQUEST: &str = "request:";

/// The ledger in the store.
pub struct StoredLedger(pub ChunkLedger);

impl StoredLedger {
    /// Forgets what a chatflow put into any store. Chunks that it put into a
    /// store which others share stay there, and are nobody's.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_chatflow(&self, id: ChatflowId) -> Result<(), Fault> {
        let own = format!("{CHATFLOW}{PAGES_OF}{}", own_collections(id));
        let prefixes = vec![format!("{CHATFLOW}{id}/"), format!("{REQUEST}{id}/"), own];
        self.0.forget_origins(prefixes).await?;
        Ok(())
    }
}

impl UpsertLedger for StoredLedger {
    fn chunks<'a>(
        &'a self,
        identity: &'a str,
        origin: &'a Origin,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move { self.0.chunks(identity, &name(origin)).await.map_err(failed) }.boxed()
    }

    fn entries<'a>(
        &'a self,
        identity: &'a str,
    ) -> BoxFuture<'a, Result<Vec<LedgerEntry>, NodeError>> {
        async move {
            let found = self.0.entries(identity).await.map_err(failed)?;
            let entry =
                |(name, chunks): (String, _)| Some(LedgerEntry { origin: origin(&name)?, chunks });
            Ok(found.into_iter().filter_map(entry).collect())
        }
        .boxed()
    }

    fn announce<'a>(
        &'a self,
        identity: &'a str,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move { self.0.announce(identity, ids).await.map_err(failed) }.boxed()
    }

    fn announced<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move { self.0.announced(identity).await.map_err(failed) }.boxed()
    }

    fn settle<'a>(
        &'a self,
        identity: &'a str,
        entries: Vec<LedgerEntry>,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let entries = entries.into_iter().map(|entry| (name(&entry.origin), entry.chunks));
        let entries = entries.collect();
        async move { self.0.settle(identity, entries).await.map_err(failed) }.boxed()
    }
}

/// A text for each origin; the two kinds share none.
fn name(origin: &Origin) -> String {
    match origin {
        Origin::Chatflow(id) => format!("{CHATFLOW}{id}"),
        Origin::Request(name) => format!("{REQUEST}{name}"),
    }
}

/// The origin of a text that [`name`] made.
fn origin(name: &str) -> Option<Origin> {
    let chatflow = name.strip_prefix(CHATFLOW).map(|id| Origin::Chatflow(id.into()));
    chatflow.or_else(|| Some(Origin::Request(name.strip_prefix(REQUEST)?.into())))
}

fn failed(error: StoreError) -> NodeError {
    NodeError::History(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};

    #[test]
    fn an_origin_comes_back_as_it_went_and_the_two_kinds_share_no_name() {
        for id in ["", "request:a", "a/b.txt"] {
            for kind in [Origin::Chatflow(id.into()), Origin::Request(id.into())] {
                assert_eq!(origin(&name(&kind)), Some(kind));
            }
        }
        assert_eq!(origin("other"), None);
    }

    #[tokio::test]
    async fn a_deleted_chatflow_is_forgotten_in_every_store_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data"), StoreOptions::default()).unwrap();
        let ledger = StoredLedger(store.chunk_ledger().clone());
        let [gone, kept] = [1, 2].map(|n| ChatflowId::from_bytes([n; 16]));
        let own = |id| format!("{PAGES_OF}{}node/model by x", own_collections(id));
        let names = |id| [format!("{id}/a"), own(id)];
        for id in [gone, kept] {
            let [name, page] = names(id);
            let kinds = [
                Origin::Chatflow(name.as_str().into()),
                Origin::Request(name.as_str().into()),
                Origin::Chatflow(page.as_str().into()),
            ];
            // Long enough to lie in several parts.
            let chunks: Vec<Uuid> = (0..100_000).map(Uuid::from_u128).collect();
            let entry = |origin| LedgerEntry { origin, chunks: chunks.clone() };
            for index in ["faiss/shared", "qdrant x"] {
                let entries = kinds.iter().cloned().map(entry).collect();
                ledger.settle(index, entries).await.unwrap();
            }
        }

        ledger.forget_chatflow(gone).await.unwrap();

        for index in ["faiss/shared", "qdrant x"] {
            let left = ledger.entries(index).await.unwrap();
            assert_eq!(left.len(), 3);
            let is_of =
                |id| left.iter().any(|entry| name(&entry.origin).contains(&format!("{id}")));
            assert!(is_of(kept) && !is_of(gone));
        }
    }
}
