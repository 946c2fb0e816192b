//! What remembers which chunks an upsert wrote: record managers, which an
//! author connects, and the ledger, which the server keeps of every upsert.

use futures::future::BoxFuture;
use uuid::Uuid;

use super::Origin;
use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// A table of chunk ids with the time they were last seen, by namespace
/// (LangChain's record manager; tables of Flowise are read and written as they are).
pub trait RecordManager: Send + Sync {
    /// What its author decided.
    fn policy(&self) -> &RecordPolicy;

    /// The server's clock in the unit of its table, for `seen_at`: LangChain's
    /// tables hold seconds.
    fn now<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<f64, NodeError>>;

    /// Which keys are there, in order.
    fn exist<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<bool>, NodeError>>;

    /// Notes keys, with their source where cleanup needs it, as seen at a time.
    fn update<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [(Uuid, Option<String>)],
        seen_at: f64,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>>;

    /// Keys of these sources or, with `None`, of all.
    fn list<'a>(
        &'a self,
        namespace: &'a str,
        sources: Option<&'a [String]>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>>;

    /// Forgets keys.
    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>>;
}

/// What the author of a record manager decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPolicy {
    /// The namespace that its author typed; the chatflow's id without one.
    pub namespace: Option<String>,
    /// What an upsert deletes.
    pub cleanup: Cleanup,
    /// The metadata key whose value groups the chunks of one source.
    pub source_id_key: String,
}

/// What an upsert deletes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cleanup {
    /// Nothing.
    #[default]
    None,
    /// Older chunks of the sources that it brings.
    Incremental,
    /// All that it does not bring.
    Full,
}

/// What the server remembers of upserts, by identity of the index. It is on
/// disk before a call returns.
pub trait UpsertLedger: Send + Sync {
    /// Chunks of an origin.
    fn chunks<'a>(
        &'a self,
        identity: &'a str,
        origin: &'a Origin,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>>;

    /// The chunks of every origin.
    fn entries<'a>(
        &'a self,
        identity: &'a str,
    ) -> BoxFuture<'a, Result<Vec<LedgerEntry>, NodeError>>;

    /// Ids about to be written to an index that is not atomic. They are taken
    /// out after a crash unless [`Self::settle`] came first.
    fn announce<'a>(
        &'a self,
        identity: &'a str,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<(), NodeError>>;

    /// Ids that a crashed upsert announced and may have left behind.
    fn announced<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>>;

    /// The upsert is done, or undone: what was announced is settled, and the
    /// entries hold from now on.
    fn settle<'a>(
        &'a self,
        identity: &'a str,
        entries: Vec<LedgerEntry>,
    ) -> BoxFuture<'a, Result<(), NodeError>>;
}

/// The chunks of one origin from now on; none forgets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The origin.
    pub origin: Origin,
    /// All of its chunks.
    pub chunks: Vec<Uuid>,
}
