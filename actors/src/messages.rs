//! What every actor can be told. A reply that takes time travels in a
//! one-shot channel, so that no actor waits for another.

use actix::Message;
use parlor_schemas::{ChatflowId, Fault, SessionKey, TurnReply};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::ports::TurnRunner;

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
