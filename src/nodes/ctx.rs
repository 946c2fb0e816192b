//! What a node may ask of the turn it runs in.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use parlor_schemas::{ChatId, ChatflowId, Exchanges, Fault, HistoryItem, SessionId, Upload, Usage};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::egress::Guard;
use crate::error::NodeError;
use crate::events::EventSink;
use crate::retrieval::{IndexShelf, UpsertLedger};
use crate::upstream::Breakers;

/// What the server lends to nodes.
pub trait Services: Send + Sync {
    /// The HTTP client of the current thread: a pooled connection is driven by
    /// the runtime that opened it, so a client never crosses threads.
    fn http(&self) -> reqwest::Client;

    /// The address that the operator set for a provider of
    /// [`crate::PROVIDERS`], in place of its public one.
    fn provider_url(&self, provider: &str) -> Option<String>;

    /// The circuit breakers of providers; without them every call is made.
    fn breakers(&self) -> Option<&Breakers> {
        None
    }

    /// The guard of addresses that a request, a page or a model can steer.
    fn egress(&self) -> Guard {
        Guard::closed()
    }

    /// The vector indexes in the data folder.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where the server keeps none.
    fn shelf(&self) -> Result<Arc<dyn IndexShelf>, NodeError> {
        Err(NodeError::Unsupported("this server keeps no vector indexes".to_owned()))
    }

    /// What the server remembers of upserts.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where it remembers nothing.
    fn ledger(&self) -> Result<Arc<dyn UpsertLedger>, NodeError> {
        Err(NodeError::Unsupported("this server keeps no record of upserts".to_owned()))
    }

    /// The SQLite file of record managers, in the data folder.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where the server has no data folder.
    fn records_file(&self) -> Result<PathBuf, NodeError> {
        Err(NodeError::Unsupported("this server has no place for record managers".to_owned()))
    }

    /// A file that the chatflow keeps for its loaders (`FILE-STORAGE::name`),
    /// of at most `most` bytes; `None` when it is gone, cannot be read or is longer.
    fn chatflow_file<'a>(
        &'a self,
        _chatflow: ChatflowId,
        _name: &'a str,
        _most: usize,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        Box::pin(std::future::ready(None))
    }

    /// Folders of the server whose files loaders may read: none unless the
    /// operator names some.
    fn loader_roots(&self) -> &[PathBuf] {
        &[]
    }

    /// A file that an earlier request of a chat brought; `None` when it is
    /// gone, cannot be read, or is longer than `most` bytes.
    fn stored_file<'a>(
        &'a self,
        _file: StoredFile<'a>,
        _most: usize,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        Box::pin(std::future::ready(None))
    }
}

/// Which file of the store.
#[derive(Debug, Clone, Copy)]
pub struct StoredFile<'a> {
    /// The chatflow.
    pub chatflow: ChatflowId,
    /// The chat that it was brought to.
    pub chat: &'a ChatId,
    /// Its name, as the client gave it.
    pub name: &'a str,
    /// Whether the text that a model was shown of it is wanted instead of its bytes.
    pub as_text: bool,
}

/// The stored conversation, newest part in memory, the rest on disk.
pub trait Transcript: Send + Sync {
    /// The last `n_turns` in order, or all with `None`.
    fn last(&self, n_turns: Option<usize>) -> BoxFuture<'_, Result<Exchanges, Fault>>;
}

/// One turn, seen from a node.
#[derive(Clone)]
pub struct TurnCtx {
    /// The chatflow.
    pub chatflow: ChatflowId,
    /// The client's chat id.
    pub chat_id: ChatId,
    /// The session.
    pub session: SessionId,
    /// The person's words, with attached text in front.
    pub question: Arc<str>,
    /// Messages that the request puts before the stored ones.
    pub history: Arc<[HistoryItem]>,
    /// What the person uploaded.
    pub uploads: Arc<[Upload]>,
    /// Whether a chat model of the flow takes images.
    pub sees_images: bool,
    /// The stored conversation.
    pub transcript: Arc<dyn Transcript>,
    /// Where events for the client go.
    pub events: EventSink,
    /// Fires when the caller leaves or aborts.
    pub cancel: CancellationToken,
    /// Adds up what the turn costs.
    pub meter: Arc<UsageMeter>,
    /// What the turn's memory wants to find again beside the stored turn.
    pub kept: Arc<Kept>,
    /// What the turn's agents may still do.
    pub agents: AgentBudget,
    /// What the server lends.
    pub services: Arc<dyn Services>,
}

/// The transcript of what is no part of a conversation.
struct NoTranscript;

impl Transcript for NoTranscript {
    fn last(&self, _n_turns: Option<usize>) -> BoxFuture<'_, Result<Exchanges, Fault>> {
        Box::pin(std::future::ready(Ok(Exchanges::default())))
    }
}

impl TurnCtx {
    /// A turn that is no part of a conversation: nothing is remembered, nobody
    /// listens, and its session is its chat.
    pub fn apart(
        chatflow: ChatflowId,
        chat_id: ChatId,
        question: &str,
        services: Arc<dyn Services>,
    ) -> Self {
        Self {
            chatflow,
            session: SessionId::from(&chat_id),
            chat_id,
            question: question.into(),
            history: Arc::new([]),
            uploads: Arc::new([]),
            sees_images: false,
            transcript: Arc::new(NoTranscript),
            events: EventSink::none(),
            cancel: CancellationToken::new(),
            meter: Arc::default(),
            kept: Arc::default(),
            agents: AgentBudget::default(),
            services,
        }
    }
}

/// A place for what a memory makes of the conversation (a summary): it is
/// stored in the turn's own record, and so with it or not at all.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Option<Value>>);

impl Kept {
    /// Puts a value in place of the last one.
    pub fn put(&self, value: Value) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// Takes the value out.
    pub fn take(&self) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How far the agents of one turn may go, however they are nested: an agent in
/// a chain tool of an agent asks from the same budget.
#[derive(Debug, Clone, Default)]
pub struct AgentBudget {
    depth: usize,
    n_rounds: Arc<AtomicUsize>,
}

impl AgentBudget {
    /// Rounds of all agents of a turn together.
    pub const MAX_ROUNDS: usize = 100;
    /// Chains that run inside of each other's tools.
    pub const MAX_DEPTH: usize = 4;

    /// The same budget for a chain that a tool runs; `None` where that would
    /// be one too many inside of each other.
    pub fn deeper(&self) -> Option<Self> {
        let depth = self.depth + 1;
        (depth <= Self::MAX_DEPTH).then(|| Self { depth, n_rounds: Arc::clone(&self.n_rounds) })
    }

    /// Takes one round; false when the turn has had all of its rounds.
    pub fn take_round(&self) -> bool {
        self.n_rounds.fetch_add(1, Ordering::Relaxed) < Self::MAX_ROUNDS
    }
}

/// Tokens spent by a turn so far, over all its model calls.
#[derive(Debug, Default)]
pub struct UsageMeter {
    input: AtomicU64,
    output: AtomicU64,
}

impl UsageMeter {
    /// Adds one call's count.
    pub fn add(&self, usage: Usage) {
        self.input.fetch_add(usage.input_tokens, Ordering::Relaxed);
        self.output.fetch_add(usage.output_tokens, Ordering::Relaxed);
    }

    /// The sum.
    pub fn total(&self) -> Usage {
        Usage {
            input_tokens: self.input.load(Ordering::Relaxed),
            output_tokens: self.output.load(Ordering::Relaxed),
        }
    }
}
