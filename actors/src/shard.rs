//! The sessions of one arbiter: finds them, starts them, lets them go.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler, MessageResult};
use indexmap::IndexMap;
use parlor_schemas::{ErrorCode, Fault, SessionKey};

use crate::handle::{Limits, Stats};
use crate::messages::{CountPending, DescribeShard, DropMemory, ForgetSession, RunTurn};
use crate::ports::HistoryStore;
use crate::session::{Gauge, SessionActor};
use crate::step::{ShardEnv, StepEnv};
use crate::view::{Busy, ShardView, busiest};

/// How often a shard looks whether it is late.
const TICK: Duration = Duration::from_millis(50);
/// How many sessions are looked at to find one that can go.
const EVICTION_SAMPLE: usize = 16;

/// The supervisor of one arbiter's sessions.
pub(crate) struct ShardActor {
    env: Rc<ShardEnv>,
    sessions: IndexMap<SessionKey, Entry>,
    /// Where the next eviction starts to look, so that it goes round.
    eviction_hand: usize,
    lateness: Arc<Lateness>,
    /// When the next look is due.
    due: Instant,
}

/// By how much a shard's thread is behind with what it has to do, a mean of the last few
/// looks: a turn waits about as long each time that it goes on, which is often.
#[derive(Debug, Default)]
pub(crate) struct Lateness(AtomicU64);

impl Lateness {
    pub(crate) fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// One look more. Only the shard itself writes.
    fn note(&self, late: Duration) {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before - before / 4 + late / 4, Ordering::Relaxed);
    }
}

struct Entry {
    addr: Addr<SessionActor>,
    gauge: Rc<Gauge>,
}

impl ShardActor {
    pub(crate) fn new(
        store: Arc<dyn HistoryStore>,
        limits: Limits,
        stats: Arc<Stats>,
        lateness: Arc<Lateness>,
    ) -> Self {
        let env = Rc::new(ShardEnv { store, stats, limits });
        let due = Instant::now() + TICK;
        Self { env, sessions: IndexMap::new(), eviction_hand: 0, lateness, due }
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        self.lateness.note(now.saturating_duration_since(self.due));
        self.due = now + TICK;
    }

    /// The live actor of a session: the one at hand, or a new one that will
    /// wake from the store.
    fn session(&mut self, key: &SessionKey) -> Result<&Entry, Fault> {
        if let Some(index) = self.sessions.get_index_of(key) {
            self.revive(index, key);
            return Ok(&self.sessions[index]);
        }
        if self.sessions.len() >= self.env.limits.max_live_sessions {
            self.evict()?;
        }
        let gauge = Gauge::new();
        let addr = self.spawn_session(key, gauge.clone());
        self.env.stats.live_sessions.fetch_add(1, Ordering::Relaxed);
        Ok(self.sessions.entry(key.clone()).or_insert(Entry { addr, gauge }))
    }

    fn spawn_session(&self, key: &SessionKey, gauge: Rc<Gauge>) -> Addr<SessionActor> {
        let env = StepEnv { key: key.clone(), shard: self.env.clone() };
        SessionActor::begin(env, gauge)
    }

    /// Replaces an actor that died; its failures are remembered.
    fn revive(&mut self, index: usize, key: &SessionKey) {
        if self.sessions[index].addr.connected() {
            return;
        }
        let gauge = self.sessions[index].gauge.clone();
        gauge.pending.set(0);
        gauge.budget.borrow_mut().spend(Instant::now());
        self.sessions[index].addr = self.spawn_session(key, gauge);
    }

    /// Makes room for one session by letting an idle one go: the oldest of a
    /// sample, so that the cost does not grow with the number of sessions.
    fn evict(&mut self) -> Result<(), Fault> {
        let n_sessions = self.sessions.len();
        let idle = |index: &usize| self.sessions[*index].gauge.pending.get() == 0;
        let from_hand = (0..n_sessions).map(|step| (self.eviction_hand + step) % n_sessions);
        let victim = from_hand
            .filter(idle)
            .take(EVICTION_SAMPLE)
            .min_by_key(|index| self.sessions[*index].gauge.last_used.get());
        let Some(victim) = victim else {
            let message = "every session that the server can hold is busy; try again soon";
            return Err(Fault::new(ErrorCode::Overloaded, message).retry_after(1));
        };
        self.eviction_hand = victim + 1;
        self.sessions.swap_remove_index(victim);
        self.env.stats.live_sessions.fetch_sub(1, Ordering::Relaxed);
        self.env.stats.passivated.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Passivates idle sessions: the actor stops with its last address, the
    /// store remains, and the next turn wakes an identical one.
    fn sweep(&mut self) {
        let before = self.sessions.len();
        let idle_after = self.env.limits.idle_after;
        self.sessions.retain(|_, entry| {
            entry.gauge.pending.get() > 0 || entry.gauge.last_used.get().elapsed() < idle_after
        });
        let n_gone = before - self.sessions.len();
        self.env.stats.live_sessions.fetch_sub(n_gone, Ordering::Relaxed);
        self.env.stats.passivated.fetch_add(n_gone, Ordering::Relaxed);
        if self.sessions.len() < self.sessions.capacity() / 4 {
            self.sessions.shrink_to_fit();
        }
    }

    fn forward_turn(&mut self, turn: RunTurn) -> Result<(), (RunTurn, Fault)> {
        let entry = match self.session(&turn.key) {
            Ok(entry) => entry,
            Err(fault) => return Err((turn, fault)),
        };
        if let Some(seconds) = entry.gauge.budget.borrow().exhausted_for(Instant::now()) {
            let message = "this session failed several times in a row and is paused";
            return Err((turn, Fault::new(ErrorCode::Overloaded, message).retry_after(seconds)));
        }
        entry.gauge.begin();
        entry.addr.try_send(turn).map_err(|error| {
            entry.gauge.pending.set(entry.gauge.pending.get() - 1);
            let message = "too many requests arrive for this session at once";
            let fault = Fault::new(ErrorCode::LimitExceeded, message).retry_after(1);
            (error.into_inner(), fault)
        })
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Permits are the limit; the mailbox only must not be a smaller one.
        ctx.set_mailbox_capacity(self.env.limits.max_turns + 1024);
        ctx.run_interval(self.env.limits.idle_after / 4, |shard, _| shard.sweep());
        ctx.run_interval(TICK, |shard, _| shard.look_at_the_clock());
    }
}

impl Handler<RunTurn> for ShardActor {
    type Result = ();

    fn handle(&mut self, turn: RunTurn, _: &mut Context<Self>) {
        if let Err((turn, fault)) = self.forward_turn(turn) {
            let _ = turn.reply.send(Err(fault));
        }
    }
}

impl Handler<ForgetSession> for ShardActor {
    type Result = ();

    fn handle(&mut self, forget: ForgetSession, _: &mut Context<Self>) {
        let sent = self.session(&forget.key).map(|entry| {
            entry.gauge.begin();
            (entry.addr.clone(), entry.gauge.clone())
        });
        match sent {
            Err(fault) => drop(forget.reply.send(Err(fault))),
            Ok((addr, gauge)) => {
                if let Err(error) = addr.try_send(forget) {
                    gauge.pending.set(gauge.pending.get() - 1);
                    let message = "too many requests arrive for this session at once";
                    let fault = Fault::new(ErrorCode::LimitExceeded, message).retry_after(1);
                    let _ = error.into_inner().reply.send(Err(fault));
                }
            }
        }
    }
}

impl Handler<DropMemory> for ShardActor {
    type Result = ();

    fn handle(&mut self, order: DropMemory, _: &mut Context<Self>) {
        let of_flow = self.sessions.iter().filter(|(key, _)| key.chatflow == order.chatflow);
        for (_, entry) in of_flow {
            entry.gauge.stale.set(true);
        }
    }
}

impl Handler<CountPending> for ShardActor {
    type Result = usize;

    fn handle(&mut self, _: CountPending, _: &mut Context<Self>) -> usize {
        self.sessions.values().map(|entry| entry.gauge.pending.get()).sum()
    }
}

impl Handler<DescribeShard> for ShardActor {
    type Result = MessageResult<DescribeShard>;

    fn handle(&mut self, ask: DescribeShard, _: &mut Context<Self>) -> Self::Result {
        let busy = self.sessions.iter().filter(|(_, entry)| entry.gauge.pending.get() > 0);
        let busy: Vec<_> = busy
            .map(|(key, entry)| Busy { what: key.clone(), n_pending: entry.gauge.pending.get() })
            .collect();
        MessageResult(ShardView {
            n_live: self.sessions.len(),
            n_pending: busy.iter().map(|busy| busy.n_pending).sum(),
            busiest: busiest(busy, ask.most),
        })
    }
}
