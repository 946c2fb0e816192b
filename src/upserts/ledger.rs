//! The stored record of chunks, as nodes see it.

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_nodes::NodeError;
use parlor_nodes::retrieval::{LedgerEntry, Origin, UpsertLedger};
use uuid::Uuid;

use crate::store::{ChunkLedger, StoreError};

/// The ledger in the store.
pub struct StoredLedger(pub ChunkLedger);

impl UpsertLedger for StoredLedger {
    fn chunks<'a>(
        &'a self,
        identity: &'a str,
        origin: &'a Origin,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move { self.0.chunks(identity, &name(origin)).await.map_err(failed) }.boxed()
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
        Origin::Chatflow(id) => format!("chatflow:{id}"),
        Origin::Request(name) => format!("request:{name}"),
    }
}

fn failed(error: StoreError) -> NodeError {
    NodeError::History(error.into())
}
