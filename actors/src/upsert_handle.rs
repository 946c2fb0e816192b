//! The way in for upserts: a permit first, then the work. No `Addr` and no
//! `MailboxError` leaves it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter};
use parlor_schemas::{ErrorCode, Fault, UpsertProgress, UpsertReply};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::handle::Load;
use crate::messages::{CountStores, DescribeStores, StartUpsert};
use crate::ports::UpsertRunner;
use crate::upsert::{UpsertEnv, stopped};
use crate::upsert_desk::UpsertDeskActor;
use crate::view::BusyStore;

/// How many upserts the actors take on.
#[derive(Debug, Clone, Copy)]
pub struct UpsertLimits {
    /// Upserts that run at the same time, in the whole server.
    pub max_running: usize,
    /// Upserts that run or wait, in the whole server.
    pub max_upserts: usize,
    /// Upserts that wait for one store.
    pub max_store_queue: usize,
    /// After this much rest the actor of a store stops.
    pub idle_after: Duration,
    /// How long an upsert that was cancelled may take to undo its work.
    pub grace: Duration,
}

impl Default for UpsertLimits {
    fn default() -> Self {
        Self {
            max_running: 2,
            max_upserts: 64,
            max_store_queue: 16,
            idle_after: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}

/// The actors of vector stores, seen from outside.
#[derive(Clone)]
pub struct UpsertHandle {
    inner: Arc<Inner>,
}

struct Inner {
    desk: Addr<UpsertDeskActor>,
    arbiter: Arbiter,
    permits: Arc<Semaphore>,
    running: Arc<Semaphore>,
    limits: UpsertLimits,
}

impl UpsertHandle {
    /// Starts the desk on an arbiter of its own and waits until it listens.
    /// Call it inside an actix `System`.
    pub async fn start(limits: UpsertLimits) -> Self {
        let env = UpsertEnv {
            running: Arc::new(Semaphore::new(limits.max_running.max(1))),
            max_queue: limits.max_store_queue,
            grace: limits.grace,
        };
        let running = env.running.clone();
        let arbiter = Arbiter::new();
        let idle_after = limits.idle_after;
        let desk = UpsertDeskActor::start_in_arbiter(&arbiter.handle(), move |_| {
            UpsertDeskActor::new(env, idle_after)
        });
        let permits = Arc::new(Semaphore::new(limits.max_upserts));
        let inner = Inner { desk, arbiter, permits, running, limits };
        let handle = Self { inner: Arc::new(inner) };
        handle.count_stores().await;
        handle
    }

    /// Takes a place among the upserts that run or wait.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] at once when the server is full.
    pub fn admit(&self) -> Result<UpsertPermit, Fault> {
        let permit = self.inner.permits.clone().try_acquire_owned().map_err(|_| full())?;
        Ok(UpsertPermit { _permit: permit })
    }

    /// Hands an upsert to its store, by the store's identity; those of one
    /// identity run one after the other. Dropping the result cancels it.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] when the desk takes no more.
    pub fn upsert(
        &self,
        _admitted: &UpsertPermit,
        store: Arc<str>,
        runner: Box<dyn UpsertRunner>,
    ) -> Result<PendingUpsert, Fault> {
        let cancel = CancellationToken::new();
        let (reply, answer) = oneshot::channel();
        let (progress, watcher) = watch::channel(UpsertProgress::default());
        let start = StartUpsert { store, runner, cancel: cancel.clone(), progress, reply };
        self.inner.desk.try_send(start).map_err(|_| full())?;
        Ok(PendingUpsert { answer, progress: watcher, cancel: cancel.drop_guard() })
    }

    /// Upserts that run and wait at this moment.
    pub fn load(&self) -> Load {
        let Inner { permits, running, limits, .. } = &*self.inner;
        let taken = |most: usize, left: &Semaphore| most.saturating_sub(left.available_permits());
        let n_running = taken(limits.max_running.max(1), running);
        let n_waiting = taken(limits.max_upserts, permits).saturating_sub(n_running);
        Load { n_running, n_waiting, max: limits.max_upserts }
    }

    /// The stores that have upserts, the busiest first, at most `most`.
    pub async fn describe(&self, most: usize) -> Vec<BusyStore> {
        self.inner.desk.send(DescribeStores { most }).await.unwrap_or_default()
    }

    /// How much the actors take on.
    pub fn limits(&self) -> UpsertLimits {
        self.inner.limits
    }

    /// Stores whose actor is live now.
    pub async fn count_stores(&self) -> usize {
        self.inner.desk.send(CountStores).await.unwrap_or(0)
    }

    /// Stops the arbiter. Call it when no upsert is pending.
    pub fn stop(&self) {
        self.inner.arbiter.stop();
    }
}

fn full() -> Fault {
    let message = "the server is at its limit of running upserts; try again soon";
    Fault::new(ErrorCode::Overloaded, message).retry_after(5)
}

/// A place among the upserts of the server, given back by drop.
pub struct UpsertPermit {
    _permit: OwnedSemaphorePermit,
}

/// An upsert that was handed over. Resolves when it is done; dropping it
/// cancels it.
pub struct PendingUpsert {
    answer: oneshot::Receiver<Result<UpsertReply, Fault>>,
    progress: watch::Receiver<UpsertProgress>,
    cancel: DropGuard,
}

impl PendingUpsert {
    /// How far it is, to be watched.
    pub fn progress(&self) -> watch::Receiver<UpsertProgress> {
        self.progress.clone()
    }

    /// Asks it to stop; it still has to be waited for.
    pub fn cancel(&self) {
        self.cancel.token().cancel();
    }
}

impl Future for PendingUpsert {
    type Output = Result<UpsertReply, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        // It is dropped unanswered where it was cancelled while it waited.
        answer.map(|answer| answer.unwrap_or_else(|_| Err(stopped())))
    }
}
