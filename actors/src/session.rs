//! One conversation: its memory, its queue, one piece of work at a time.
//!
//! The queue is the actor's own rather than its mailbox, so that who leaves or
//! aborts while they wait frees their place.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use parlor_schemas::{ErrorCode, Fault};
use tokio::sync::oneshot;

use crate::budget::RestartBudget;
use crate::memory::SessionMemory;
use crate::messages::{ForgetSession, RunTurn, TurnReplySender};
use crate::step::{self, StepEnv, TurnEnd};

/// What a shard sees of a session without asking it: both live on one thread.
pub(crate) struct Gauge {
    /// Work that was handed over and is not finished.
    pub(crate) pending: Cell<usize>,
    /// When the session last began or ended something.
    pub(crate) last_used: Cell<Instant>,
    /// Its recent failures.
    pub(crate) budget: RefCell<RestartBudget>,
    /// Messages of it were deleted: what it holds in memory is not to be used again.
    pub(crate) stale: Cell<bool>,
}

impl Gauge {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            pending: Cell::new(0),
            last_used: Cell::new(Instant::now()),
            budget: RefCell::default(),
            stale: Cell::new(false),
        })
    }

    pub(crate) fn begin(&self) {
        self.pending.set(self.pending.get() + 1);
        self.last_used.set(Instant::now());
    }

    pub(crate) fn end(&self, n_items: usize) {
        self.pending.set(self.pending.get().saturating_sub(n_items));
        self.last_used.set(Instant::now());
    }
}

/// The actor of one conversation.
pub(crate) struct SessionActor {
    env: StepEnv,
    gauge: Rc<Gauge>,
    memory: Option<SessionMemory>,
    queue: VecDeque<Work>,
    running: Option<Running>,
}

enum Work {
    Turn(RunTurn),
    Forget(ForgetSession),
}

enum Running {
    Turn { reply: TurnReplySender },
    Forget { reply: oneshot::Sender<Result<u64, Fault>> },
}

impl Actor for SessionActor {
    type Context = Context<Self>;
}

impl SessionActor {
    /// Starts the actor on the current thread.
    pub(crate) fn begin(env: StepEnv, gauge: Rc<Gauge>) -> Addr<Self> {
        Self::create(|ctx| {
            // A burst lands in the mailbox before the first of it is handled;
            // the actor's own queue is the limit, not this.
            ctx.set_mailbox_capacity(env.shard.limits.max_session_queue + 16);
            Self { env, gauge, memory: None, queue: VecDeque::new(), running: None }
        })
    }

    /// Starts a piece of work, or lets it wait while another one runs. Where
    /// nothing waits the queue is never touched, so that it takes no memory.
    fn accept(&mut self, work: Work, ctx: &mut Context<Self>) {
        if self.running.is_some() {
            self.queue.push_back(work);
        } else {
            self.start(work, ctx);
        }
    }

    fn start(&mut self, work: Work, ctx: &mut Context<Self>) {
        match work {
            Work::Turn(turn) if turn.cancel.is_cancelled() => self.gauge.end(1),
            Work::Turn(turn) => self.start_turn(turn, ctx),
            Work::Forget(forget) => self.start_forget(forget, ctx),
        }
    }

    /// Starts the next piece of work that waits; the last one leaves no
    /// capacity behind.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        while self.running.is_none() {
            match self.queue.pop_front() {
                Some(work) => self.start(work, ctx),
                None => return self.queue = VecDeque::new(),
            }
        }
    }

    fn start_turn(&mut self, turn: RunTurn, ctx: &mut Context<Self>) {
        self.running = Some(Running::Turn { reply: turn.reply });
        let memory = self.memory.take().filter(|_| !self.gauge.stale.replace(false));
        let step = step::run_turn(self.env.clone(), memory, turn.runner, turn.cancel);
        ctx.spawn(step.into_actor(self).map(|end, session, ctx| session.turn_ended(end, ctx)));
    }

    fn turn_ended(&mut self, end: TurnEnd, ctx: &mut Context<Self>) {
        self.memory = end.memory;
        if end.panicked {
            self.gauge.budget.borrow_mut().spend(Instant::now());
        }
        self.gauge.end(1);
        if let Some(Running::Turn { reply }) = self.running.take() {
            // The caller may have left; then nobody needs the result.
            let _ = reply.send(end.result);
        }
        self.advance(ctx);
    }

    fn start_forget(&mut self, forget: ForgetSession, ctx: &mut Context<Self>) {
        self.running = Some(Running::Forget { reply: forget.reply });
        self.memory = None;
        let deletion = self.env.shard.store.forget(forget.key);
        ctx.spawn(deletion.into_actor(self).map(|result, session, ctx| {
            session.gauge.end(1);
            if let Some(Running::Forget { reply }) = session.running.take() {
                let _ = reply.send(result);
            }
            session.advance(ctx);
        }));
    }

    /// Frees the places of callers who left while they waited.
    fn drop_abandoned(&mut self) {
        let before = self.queue.len();
        self.queue.retain(|work| !matches!(work, Work::Turn(turn) if turn.cancel.is_cancelled()));
        self.gauge.end(before - self.queue.len());
    }
}

impl Handler<RunTurn> for SessionActor {
    type Result = ();

    fn handle(&mut self, turn: RunTurn, ctx: &mut Context<Self>) {
        self.drop_abandoned();
        if self.queue.len() >= self.env.shard.limits.max_session_queue {
            self.gauge.end(1);
            let message = "too many requests wait for this session; send them one after the other";
            let _ =
                turn.reply.send(Err(Fault::new(ErrorCode::LimitExceeded, message).retry_after(1)));
            return;
        }
        self.accept(Work::Turn(turn), ctx);
    }
}

impl Handler<ForgetSession> for SessionActor {
    type Result = ();

    fn handle(&mut self, forget: ForgetSession, ctx: &mut Context<Self>) {
        self.accept(Work::Forget(forget), ctx);
    }
}
