//! What the actors ask of the world. The server implements these traits; the
//! actors know neither HTTP nor sled nor a node.

use std::any::Any;
use std::sync::Arc;

use futures::future::{BoxFuture, LocalBoxFuture};
use parlor_schemas::{
    ChatId, Exchanges, Fault, NewTurn, Remembered, SessionKey, Turn, TurnReply, UpsertProgress,
    UpsertReply,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The end of a conversation, as far as it is held in memory.
#[derive(Debug, Clone, Default)]
pub struct SessionTail {
    /// What is remembered of the turns, oldest first.
    pub turns: Exchanges,
    /// False when older turns are only in the store.
    pub complete: bool,
}

/// One request, bound to its plan and ready to run: made by the server for
/// each turn, run by the session's actor.
pub trait TurnRunner: Send {
    /// The chat by which a client can abort the turn, if there is one.
    fn chat_id(&self) -> Option<ChatId> {
        None
    }

    /// The id of the API key that opened the turn, if one did.
    fn api_key(&self) -> Option<Arc<str>> {
        None
    }

    /// Whether its answer goes out while it is made.
    fn is_streamed(&self) -> bool {
        false
    }

    /// Runs the turn after those of `tail`. The future lives on the
    /// session's arbiter. It must end soon after `cancel` fires; what it
    /// returns then is dropped.
    fn run(
        self: Box<Self>,
        tail: SessionTail,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<TurnOutcome, Fault>>;
}

/// What a turn that ran leaves behind.
#[derive(Debug)]
pub struct TurnOutcome {
    /// The record to store, or `None` where the chatflow stores no messages.
    pub record: Option<NewTurn>,
    /// What repetitions of the request are answered with, stored with the record.
    pub remembered: Option<Remembered>,
    /// What the runner holds until the turn is stored or lost: dropped then,
    /// before the caller hears of either.
    pub held: Option<Box<dyn Any + Send>>,
    /// The caller's answer, sent once the record is on disk.
    pub reply: TurnReply,
}

/// One change of a vector store, ready to run: made by the server for each
/// upsert, run by the actor of its store.
pub trait UpsertRunner: Send {
    /// Changes the store. The future lives on the arbiter of the upserts. It
    /// must end soon after `cancel` fires, with what it wrote undone or
    /// announced to be undone; one that does not is dropped after a while.
    fn run(
        self: Box<Self>,
        progress: Progress,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<UpsertReply, Fault>>;
}

/// Where an upsert says how far it is.
#[derive(Debug)]
pub struct Progress(watch::Sender<UpsertProgress>);

impl Progress {
    pub(crate) fn new(sender: watch::Sender<UpsertProgress>) -> Self {
        Self(sender)
    }

    /// Replaces the counts; the state is the actor's. Cheap, and nobody waits.
    pub fn report(&self, counts: UpsertProgress) {
        self.0.send_modify(|now| *now = UpsertProgress { state: now.state, ..counts });
    }
}

/// Where conversations are kept.
pub trait HistoryStore: Send + Sync + 'static {
    /// The last turns of a session, at most `max_bytes` of them by
    /// [`Exchanges::weight`] but at least one, with what the next append needs.
    fn load(
        &self,
        key: SessionKey,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<LoadedSession, Fault>>;

    /// Appends one turn. Resolves when the turn is as durable as the store's
    /// setting promises; an error means that it is not stored.
    fn append(&self, turn: Append) -> BoxFuture<'static, Result<(), Fault>>;

    /// Deletes a whole session; resolves to the number of messages deleted.
    fn forget(&self, key: SessionKey) -> BoxFuture<'static, Result<u64, Fault>>;
}

/// A session as it was found in the store.
#[derive(Debug, Clone, Default)]
pub struct LoadedSession {
    /// The end of the conversation.
    pub tail: SessionTail,
    /// Sequence number of the next turn.
    pub next_seq: u64,
    /// Counts deletions in the chatflow: a turn that began before one must
    /// not be stored after it.
    pub epoch: u64,
}

/// A turn on its way to the store.
#[derive(Debug)]
pub struct Append {
    /// The conversation.
    pub key: SessionKey,
    /// Place in it: exactly one more than the last.
    pub seq: u64,
    /// The epoch that was loaded with the session; a mismatch is a
    /// [`parlor_schemas::ErrorCode::Conflict`].
    pub epoch: u64,
    /// The turn.
    pub turn: Arc<Turn>,
    /// What repetitions of its request are answered with: stored with the turn
    /// or not at all. A key that has an answer already is a
    /// [`parlor_schemas::ErrorCode::Conflict`].
    pub remembered: Option<Remembered>,
}
