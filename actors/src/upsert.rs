//! The actor of one vector store: its upserts, one after the other, from
//! whichever chatflow they come.
//!
//! As in a session, the queue is the actor's own, so that who leaves while
//! they wait frees their place.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use futures::FutureExt;
use parlor_schemas::{ErrorCode, Fault, UpsertProgress, UpsertReply, UpsertState};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::messages::{StartUpsert, UpsertReplySender};
use crate::ports::{Progress, UpsertRunner};
use crate::session::Gauge;

/// What an upsert needs besides its work.
#[derive(Clone)]
pub(crate) struct UpsertEnv {
    /// Places of those that run, in the whole server.
    pub(crate) running: Arc<Semaphore>,
    /// Upserts that wait in one store.
    pub(crate) max_queue: usize,
    /// How long an upsert that was cancelled may take to undo its work.
    pub(crate) grace: Duration,
}

/// The actor of one vector store.
pub(crate) struct UpsertActor {
    env: UpsertEnv,
    gauge: Rc<Gauge>,
    queue: VecDeque<StartUpsert>,
    running: Option<UpsertReplySender>,
}

/// The end of an upsert: its caller's result, and whether it panicked.
struct UpsertEnd {
    result: Result<UpsertReply, Fault>,
    panicked: bool,
}

impl Actor for UpsertActor {
    type Context = Context<Self>;
}

impl UpsertActor {
    /// Starts an actor on the current arbiter.
    pub(crate) fn begin(env: UpsertEnv, gauge: Rc<Gauge>) -> Addr<Self> {
        Self::create(|ctx| {
            // The queue is the limit; the mailbox only must not be a smaller one.
            ctx.set_mailbox_capacity(env.max_queue + 16);
            Self { env, gauge, queue: VecDeque::new(), running: None }
        })
    }

    /// Starts the next upsert, unless one runs.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        while self.running.is_none() {
            match self.queue.pop_front() {
                None => return,
                Some(upsert) if upsert.cancel.is_cancelled() => self.gauge.end(1),
                Some(upsert) => self.start(upsert, ctx),
            }
        }
    }

    fn start(&mut self, upsert: StartUpsert, ctx: &mut Context<Self>) {
        let StartUpsert { store, runner, cancel, progress, reply } = upsert;
        self.running = Some(reply);
        let step = guarded(store, run(self.env.clone(), runner, progress, cancel));
        ctx.spawn(step.into_actor(self).map(|end, actor, ctx| actor.ended(end, ctx)));
    }

    fn ended(&mut self, end: UpsertEnd, ctx: &mut Context<Self>) {
        if end.panicked {
            self.gauge.budget.borrow_mut().spend(Instant::now());
        }
        self.gauge.end(1);
        if let Some(reply) = self.running.take() {
            // The caller may have left; then nobody needs the result.
            let _ = reply.send(end.result);
        }
        self.advance(ctx);
    }

    /// Frees the places of callers who left while they waited.
    fn drop_abandoned(&mut self) {
        let before = self.queue.len();
        self.queue.retain(|upsert| !upsert.cancel.is_cancelled());
        self.gauge.end(before - self.queue.len());
    }
}

impl Handler<StartUpsert> for UpsertActor {
    type Result = ();

    fn handle(&mut self, upsert: StartUpsert, ctx: &mut Context<Self>) {
        self.drop_abandoned();
        if self.queue.len() >= self.env.max_queue {
            self.gauge.end(1);
            let _ = upsert.reply.send(Err(store_full()));
            return;
        }
        self.queue.push_back(upsert);
        self.advance(ctx);
    }
}

/// Waits for a place among those that run, and runs. An upsert that does not
/// end after it was cancelled is dropped after a while.
async fn run(
    env: UpsertEnv,
    runner: Box<dyn UpsertRunner>,
    progress: watch::Sender<UpsertProgress>,
    cancel: CancellationToken,
) -> Result<UpsertReply, Fault> {
    let place = tokio::select! {
        place = env.running.acquire() => place,
        () = cancel.cancelled() => return Err(stopped()),
    };
    let _place = place.map_err(|_| stopped())?;
    progress.send_modify(|progress| progress.state = UpsertState::Running);
    let too_long = async {
        cancel.cancelled().await;
        tokio::time::sleep(env.grace).await;
    };
    tokio::select! {
        result = runner.run(Progress::new(progress), cancel.clone()) => result,
        () = too_long => Err(stopped()),
    }
}

/// A panic is an error of this upsert and of no other.
async fn guarded(
    store: Arc<str>,
    run: impl Future<Output = Result<UpsertReply, Fault>>,
) -> UpsertEnd {
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(result) => UpsertEnd { result, panicked: false },
        // Where it panicked is logged already; its words may quote a document.
        Err(_) => {
            tracing::error!(store = &*store, "an upsert panicked");
            let message = "the upsert failed inside the server; send it again";
            let result = Err(Fault::new(ErrorCode::Internal, message));
            UpsertEnd { result, panicked: true }
        }
    }
}

/// The fault of an upsert whose store has enough to do.
pub(crate) fn store_full() -> Fault {
    let message = "too many upserts wait for this vector store; send them one after the other";
    Fault::new(ErrorCode::LimitExceeded, message).retry_after(5)
}

/// The fault of an upsert that was cancelled.
pub fn stopped() -> Fault {
    Fault::new(ErrorCode::Cancelled, "the upsert was stopped; send it again to finish it")
}
