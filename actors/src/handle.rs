//! The way in: a handle with verbs. No `Addr` and no `MailboxError` leaves it.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter};
use parlor_schemas::{ChatId, ChatflowId, ErrorCode, Fault, SessionKey, TurnReply};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::{Admission, Refusal, TurnPermit, Wish};
use crate::messages::{CountPending, DescribeShard, DropMemory, ForgetSession, RunTurn};
use crate::ports::{HistoryStore, TurnRunner};
use crate::running::{Entry, RunningTurns};
use crate::shard::{Lateness, ShardActor};
use crate::step::cancelled;
use crate::view::ShardView;

/// How much the actors take on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Arbiters, each a thread with its own sessions; about one per core.
    pub n_shards: usize,
    /// Turns that run or wait at the same time, in the whole server.
    pub max_turns: usize,
    /// Turns of one chatflow that run or wait at the same time, so that one
    /// cannot take the whole server.
    pub max_chatflow_turns: usize,
    /// The same for the turns that one API key opened.
    pub max_key_turns: usize,
    /// Turns that wait in one session.
    pub max_session_queue: usize,
    /// Sessions that one shard keeps in memory.
    pub max_live_sessions: usize,
    /// Bytes of its conversation that a session keeps in memory.
    pub max_tail_bytes: usize,
    /// After this much rest a session leaves memory.
    pub idle_after: Duration,
}

const MAX_TURNS: usize = 4096;
/// A shard that is later than this has more turns to work on than it can: further ones would
/// only wait, and make all wait longer. At the peak rate, a thousand turns on two cores make
/// it about so late.
const MAX_LATENESS: Duration = Duration::from_millis(10);

/// What one chatflow or one key may take of so many turns where the operator
/// does not say: three quarters, rounded up.
pub const fn share_of(max_turns: usize) -> usize {
    max_turns - max_turns / 4
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            n_shards: std::thread::available_parallelism().map_or(2, usize::from),
            max_turns: MAX_TURNS,
            max_chatflow_turns: share_of(MAX_TURNS),
            max_key_turns: share_of(MAX_TURNS),
            max_session_queue: 64,
            max_live_sessions: 50_000,
            max_tail_bytes: 64 * 1024,
            idle_after: Duration::from_secs(300),
        }
    }
}

/// What the actors are doing, for metrics.
#[derive(Debug, Default)]
pub struct Stats {
    /// Sessions in memory.
    pub live_sessions: AtomicUsize,
    /// Sessions that left memory since the start.
    pub passivated: AtomicUsize,
    /// Turns that run: those that wait for their session are not among them.
    pub running: AtomicUsize,
    /// Turns that were refused because the server was full.
    pub refused: AtomicUsize,
}

/// How busy the actors are at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Work that runs.
    pub n_running: usize,
    /// Work that waits.
    pub n_waiting: usize,
    /// How much may run or wait.
    pub max: usize,
}

/// The supervisor, seen from outside.
#[derive(Clone)]
pub struct SupervisorHandle {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<Shard>,
    arbiters: Vec<Arbiter>,
    hasher: RandomState,
    admission: Admission,
    running: Arc<RunningTurns>,
    limits: Limits,
    stats: Arc<Stats>,
}

struct Shard {
    addr: Addr<ShardActor>,
    lateness: Arc<Lateness>,
}

impl SupervisorHandle {
    /// Starts the shards, each on an arbiter of its own, and waits until they
    /// listen: before that a mailbox has its small default size. Call it
    /// inside an actix `System`.
    pub async fn start(limits: Limits, store: Arc<dyn HistoryStore>) -> Self {
        let stats = Arc::new(Stats::default());
        let mut shards = Vec::with_capacity(limits.n_shards);
        let mut arbiters = Vec::with_capacity(limits.n_shards);
        for _ in 0..limits.n_shards.max(1) {
            let arbiter = Arbiter::new();
            let (store, stats) = (store.clone(), stats.clone());
            let lateness = Arc::<Lateness>::default();
            let shared = lateness.clone();
            let addr = ShardActor::start_in_arbiter(&arbiter.handle(), move |_| {
                ShardActor::new(store, limits, stats, shared)
            });
            shards.push(Shard { addr, lateness });
            arbiters.push(arbiter);
        }
        let admission = Admission::new(limits);
        let hasher = RandomState::new();
        let running = Arc::new(RunningTurns::default());
        let inner = Inner { shards, arbiters, hasher, admission, running, limits, stats };
        let handle = Self { inner: Arc::new(inner) };
        handle.count_pending().await;
        handle
    }

    /// Admits the turn and hands it to its session. Dropping the result
    /// cancels the turn: nothing of it is stored then.
    ///
    /// # Errors
    /// At once: [`ErrorCode::Overloaded`] when the server is full,
    /// [`ErrorCode::LimitExceeded`] when the chatflow or the API key has as
    /// many turns as it may.
    pub fn run_turn(
        &self,
        key: SessionKey,
        runner: Box<dyn TurnRunner>,
    ) -> Result<PendingTurn, Fault> {
        let shard = self.shard(&key);
        let is_late = shard.lateness.get() > MAX_LATENESS;
        let wish = Wish {
            chatflow: key.chatflow,
            key: runner.api_key(),
            is_streamed: runner.is_streamed(),
        };
        let admitted = self.inner.admission.admit(wish, is_late);
        let permit = admitted.map_err(|refusal| self.refused(refusal))?;
        let cancel = CancellationToken::new();
        let (reply, answer) = oneshot::channel();
        let chat = runner.chat_id().map(|chat| (key.chatflow, chat));
        let entry = chat.map(|chat| self.inner.running.enter(chat, cancel.clone()));
        shard
            .addr
            .try_send(RunTurn { key, runner, cancel: cancel.clone(), reply })
            .map_err(|_| self.full())?;
        Ok(PendingTurn { answer, _permit: permit, _entry: entry, cancel: cancel.drop_guard() })
    }

    /// Aborts the turns of a chat that run or wait, whatever their sessions;
    /// says whether there was one. Their callers hear that they were aborted,
    /// unless a turn is being stored already.
    pub fn abort_chat(&self, chatflow: ChatflowId, chat: ChatId) -> bool {
        self.inner.running.abort(&(chatflow, chat))
    }

    /// Aborts all turns that run or wait, as [`Self::abort_chat`] does.
    pub fn abort_all(&self) {
        self.inner.running.abort_all();
    }

    /// Deletes a conversation, after the turn that runs in it. Resolves to the
    /// number of messages deleted.
    ///
    /// # Errors
    /// What the store says, or [`ErrorCode::Overloaded`].
    pub async fn forget_session(&self, key: SessionKey) -> Result<u64, Fault> {
        let (reply, answer) = oneshot::channel();
        self.shard(&key).addr.try_send(ForgetSession { key, reply }).map_err(|_| self.full())?;
        answer.await.unwrap_or_else(|_| Err(session_died()))
    }

    /// Makes every live session of a chatflow read its conversation again.
    pub async fn drop_memory(&self, chatflow: ChatflowId) {
        for shard in &self.inner.shards {
            let _ = shard.addr.send(DropMemory { chatflow }).await;
        }
    }

    /// Turns that run or wait now.
    pub async fn count_pending(&self) -> usize {
        let mut n_pending = 0;
        for shard in &self.inner.shards {
            n_pending += shard.addr.send(CountPending).await.unwrap_or(0);
        }
        n_pending
    }

    /// What each shard has to do, with the names of its `most` busiest sessions.
    pub async fn describe(&self, most: usize) -> Vec<ShardView> {
        let shards = self.inner.shards.iter();
        let asked = shards.map(|shard| shard.addr.send(DescribeShard { most }));
        let told = futures::future::join_all(asked).await;
        told.into_iter().map(Result::unwrap_or_default).collect()
    }

    /// By how much the slowest of the sessions' threads is behind.
    pub fn lateness(&self) -> Duration {
        self.inner.shards.iter().map(|shard| shard.lateness.get()).max().unwrap_or_default()
    }

    /// How much the actors take on.
    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// What the actors are doing.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Permits taken at this moment.
    pub fn turns_in_flight(&self) -> usize {
        self.inner.admission.n_admitted()
    }

    /// Turns that run and wait at this moment.
    pub fn load(&self) -> Load {
        let n_running = self.inner.stats.running.load(Ordering::Relaxed);
        let n_waiting = self.turns_in_flight().saturating_sub(n_running);
        Load { n_running, n_waiting, max: self.inner.limits.max_turns }
    }

    /// Stops the arbiters. Call it when no turn is pending.
    pub fn stop(&self) {
        for arbiter in &self.inner.arbiters {
            arbiter.stop();
        }
    }

    fn shard(&self, key: &SessionKey) -> &Shard {
        let hash = self.inner.hasher.hash_one(key) as usize;
        &self.inner.shards[hash % self.inner.shards.len()]
    }

    /// Chatflows and API keys that have turns at this moment.
    pub fn sharers(&self) -> usize {
        self.inner.admission.n_sharers()
    }

    fn refused(&self, refusal: Refusal) -> Fault {
        let message = match refusal {
            Refusal::Server => return self.full(),
            Refusal::Chatflow => "this chatflow has as many requests running as it may",
            Refusal::Key => "this API key has as many requests running as it may",
        };
        let message = format!("{message}; try again soon");
        Fault::new(ErrorCode::LimitExceeded, message).retry_after(1)
    }

    fn full(&self) -> Fault {
        self.inner.stats.refused.fetch_add(1, Ordering::Relaxed);
        let message = "the server is at its limit of running requests; try again soon";
        Fault::new(ErrorCode::Overloaded, message).retry_after(1)
    }
}

/// A turn that was handed over. Resolves when it is stored; dropping it
/// cancels it and gives the permit back.
pub struct PendingTurn {
    answer: oneshot::Receiver<Result<TurnReply, Fault>>,
    _permit: TurnPermit,
    _entry: Option<Entry>,
    cancel: DropGuard,
}

impl Future for PendingTurn {
    type Output = Result<TurnReply, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(self.unanswered())))
    }
}

impl PendingTurn {
    /// Why the session dropped the turn: it does so with one that was aborted
    /// while it waited.
    fn unanswered(&self) -> Fault {
        if self.cancel.token().is_cancelled() { cancelled() } else { session_died() }
    }
}

fn session_died() -> Fault {
    Fault::new(ErrorCode::Internal, "the session stopped before the answer was stored; try again")
}
