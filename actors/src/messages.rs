//! What every actor can be told. A reply that takes time travels in a
//! one-shot channel, so that no actor waits for another.

use std::sync::Arc;

use actix::Message;
use parlor_schemas::{ChatflowId, Fault, SessionKey, TurnReply, UpsertProgress, UpsertReply};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::ports::{TurnRunner, UpsertRunner};
use crate::view::{BusyStore, ShardView};

/// Where a turn's result goes.
pub type TurnReplySender = oneshot::Sender<Result<TurnReply, Fault>>;

/// Run one turn of a conversation, after those that wait already.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RunTurn {
    /// The conversation.
    pub key: SessionKey,
    /// The request, bound to its plan.
    pub runner: Box<dyn TurnRunner>,
    /// Fires when the caller leaves or aborts the turn.
    pub cancel: CancellationToken,
    /// Gets the result once it is stored.
    pub reply: TurnReplySender,
}

/// Delete a whole conversation, in its place among the waiting turns.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetSession {
    /// The conversation.
    pub key: SessionKey,
    /// Gets the number of messages deleted.
    pub reply: oneshot::Sender<Result<u64, Fault>>,
}

/// Messages of a chatflow were deleted in the store: its sessions read again
/// before their next turn.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct DropMemory {
    /// The chatflow.
    pub chatflow: ChatflowId,
}

/// Replies how many turns run or wait.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct CountPending;

/// Replies what a shard has to do, with the names of its busiest sessions.
#[derive(Message, Clone, Copy)]
#[rtype(result = "ShardView")]
pub struct DescribeShard {
    /// How many of them at most.
    pub most: usize,
}

/// Where an upsert's result goes.
pub type UpsertReplySender = oneshot::Sender<Result<UpsertReply, Fault>>;

/// Run one upsert of a vector store, after those that wait already.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StartUpsert {
    /// The store's identity: type, address and collection.
    pub store: Arc<str>,
    /// The request, bound to its plan.
    pub runner: Box<dyn UpsertRunner>,
    /// Fires when the caller leaves or stops the upsert.
    pub cancel: CancellationToken,
    /// Says how far it is.
    pub progress: watch::Sender<UpsertProgress>,
    /// Gets the result once it is done.
    pub reply: UpsertReplySender,
}

/// Replies which stores have upserts, the busiest first.
#[derive(Message, Clone, Copy)]
#[rtype(result = "Vec<BusyStore>")]
pub struct DescribeStores {
    /// How many of them at most.
    pub most: usize,
}

/// Replies how many stores have a live actor.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct CountStores;
