//! One piece of a session's work, as a future: load, run, commit.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use parlor_schemas::{ErrorCode, Fault, SessionKey, Turn, TurnReply};
use tokio_util::sync::CancellationToken;

use crate::handle::{Limits, Stats};
use crate::memory::SessionMemory;
use crate::ports::{Append, HistoryStore, TurnOutcome, TurnRunner};

/// What all sessions of an arbiter have alike: one of it, not one each.
pub(crate) struct ShardEnv {
    pub(crate) store: Arc<dyn HistoryStore>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
}

/// What a step needs besides its work.
#[derive(Clone)]
pub(crate) struct StepEnv {
    pub(crate) key: SessionKey,
    pub(crate) shard: Rc<ShardEnv>,
}

/// The end of a turn: the memory to go on with (`None`: read it again), the
/// caller's result, and whether the turn panicked.
pub(crate) struct TurnEnd {
    pub(crate) memory: Option<SessionMemory>,
    pub(crate) result: Result<TurnReply, Fault>,
    pub(crate) panicked: bool,
}

/// Runs a turn and stores it. A panic anywhere in it is an error of this turn;
/// the memory is then read again, since nobody knows in what state it was left.
pub(crate) async fn run_turn(
    env: StepEnv,
    memory: Option<SessionMemory>,
    runner: Box<dyn TurnRunner>,
    cancel: CancellationToken,
) -> TurnEnd {
    let key = env.key.clone();
    let _running = Running::new(env.shard.stats.clone());
    let guarded = AssertUnwindSafe(load_run_commit(env, memory, runner, cancel)).catch_unwind();
    match guarded.await {
        Ok((memory, result)) => TurnEnd { memory, result, panicked: false },
        // Where it panicked is logged already; its words may quote a prompt.
        Err(_) => {
            tracing::error!(session = %key, "a turn panicked");
            let message = "the turn failed inside the server; nothing of it was stored";
            TurnEnd {
                memory: None,
                result: Err(Fault::new(ErrorCode::Internal, message)),
                panicked: true,
            }
        }
    }
}

/// A turn among those that run, until it is dropped.
struct Running(Arc<Stats>);

impl Running {
    fn new(stats: Arc<Stats>) -> Self {
        stats.running.fetch_add(1, Ordering::Relaxed);
        Self(stats)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn load_run_commit(
    env: StepEnv,
    memory: Option<SessionMemory>,
    runner: Box<dyn TurnRunner>,
    cancel: CancellationToken,
) -> (Option<SessionMemory>, Result<TurnReply, Fault>) {
    let memory = match wake(&env, memory).await {
        Ok(memory) => memory,
        Err(fault) => return (None, Err(fault)),
    };
    match runner.run(memory.tail(), cancel.clone()).await {
        // A caller who left before the commit gets nothing stored.
        Ok(_) if cancel.is_cancelled() => (Some(memory), Err(cancelled())),
        Ok(outcome) => commit(&env, memory, outcome).await,
        Err(fault) => (Some(memory), Err(fault)),
    }
}

/// The session's memory, read from the store where it is not at hand.
async fn wake(env: &StepEnv, memory: Option<SessionMemory>) -> Result<SessionMemory, Fault> {
    match memory {
        Some(memory) => Ok(memory),
        None => {
            let max_bytes = env.shard.limits.max_tail_bytes;
            let loaded = env.shard.store.load(env.key.clone(), max_bytes).await?;
            Ok(SessionMemory::new(loaded, max_bytes))
        }
    }
}

async fn commit(
    env: &StepEnv,
    mut memory: SessionMemory,
    outcome: TurnOutcome,
) -> (Option<SessionMemory>, Result<TurnReply, Fault>) {
    let TurnOutcome { record, remembered, held: _held, reply } = outcome;
    let Some(record) = record else { return (Some(memory), Ok(reply)) };
    let turn = Arc::new(Turn::whole(memory.next_seq, record));
    let append = Append {
        key: env.key.clone(),
        seq: memory.next_seq,
        epoch: memory.epoch,
        turn: turn.clone(),
        remembered,
    };
    match env.shard.store.append(append).await {
        Ok(()) => {
            memory.push(&turn, env.shard.limits.max_tail_bytes);
            (Some(memory), Ok(reply))
        }
        // What the store holds now is for the store to say.
        Err(fault) => (None, Err(fault)),
    }
}

/// The fault of a turn whose caller left or whose run was aborted.
pub(crate) fn cancelled() -> Fault {
    Fault::new(ErrorCode::Cancelled, "the turn was aborted; nothing of it was stored")
}
