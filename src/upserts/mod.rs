//! Upserts from their arrival to their end: each is a job, stored before it
//! runs and when it is over, and watched in between.
//!
//! A job runs on the server's own runtime, not on the thread of the request
//! that brought it, so that it can outlive its client.
//!
//! # Layout
//! - `job`: a job that runs, seen by whoever waits for it
//! - `drive`: runs the stores of a job one after the other
//! - `ledger`: the record of chunks, as nodes see it
//! - [`recovery`]: what a crash left behind

mod drive;
mod job;
mod ledger;
pub mod recovery;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlor_actors::{UpsertHandle, UpsertLimits, UpsertPermit, upsert_stopped};
use parlor_schemas::{
    ChatId, ChatflowId, Fault, Repetition, Timestamp, UpsertJob, UpsertProgress, UpsertState,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use job::{JobEnd, Moment, RunningJob};
pub use ledger::StoredLedger;

use crate::flow::cache::not_found;
use crate::flow::upsert::StoreStep;
use crate::http::passage::RequestId;
use crate::store::{Claim, Store};

/// How long a caller who stops jobs waits for them to undo their work.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// What a stopping server waits beyond the time that actors give their runners.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// All upserts of the server.
pub struct Upserts {
    inner: Arc<Inner>,
    runtime: tokio::runtime::Handle,
}

struct Inner {
    handle: UpsertHandle,
    store: Arc<Store>,
    live: Mutex<HashMap<Uuid, LiveJob>>,
    is_stopping: AtomicBool,
    /// Jobs that are over, by the place of their state in [`ENDS`].
    ended: [AtomicU64; ENDS.len()],
}

/// How jobs end, with the names of it for metrics.
const ENDS: [(UpsertState, &str); 3] = [
    (UpsertState::Done, "done"),
    (UpsertState::Failed, "failed"),
    (UpsertState::Cancelled, "cancelled"),
];

#[derive(Clone)]
struct LiveJob {
    chatflow: ChatflowId,
    moments: watch::Receiver<Moment>,
    cancel: CancellationToken,
}

/// A request that is bound to the stores that it fills.
pub struct NewJob {
    /// The chatflow.
    pub chatflow: ChatflowId,
    /// The chat that its chunks belong to.
    pub chat_id: ChatId,
    /// The stores in order.
    pub steps: Vec<StoreStep>,
    /// Its place among those of the server.
    pub permit: UpsertPermit,
    /// What a repetition of it is recognized by.
    pub repetition: Option<Repetition>,
    /// Whether it goes on when its client leaves, and its answer is kept.
    pub outlives_client: bool,
    /// Whether somebody waits for its end, who is told of a failure and logs it.
    pub is_awaited: bool,
    /// The request that brought it, for the log.
    pub request: Option<RequestId>,
}

/// A job that was asked for, or asked for again.
pub enum Started {
    /// It runs.
    Running(RunningJob),
    /// It is over.
    Over(Box<UpsertJob>),
}

impl Upserts {
    /// Starts the actors. Jobs run on the runtime that this is called on.
    pub async fn start_actors(limits: UpsertLimits, store: Arc<Store>) -> Self {
        let handle = UpsertHandle::start(limits).await;
        let (live, is_stopping) = (Mutex::default(), AtomicBool::new(false));
        let inner = Arc::new(Inner { handle, store, live, is_stopping, ended: Default::default() });
        Self { inner, runtime: tokio::runtime::Handle::current() }
    }

    /// The actors of the stores.
    pub fn handle(&self) -> &UpsertHandle {
        &self.inner.handle
    }

    /// How many jobs ended how since the start.
    pub fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.inner.ended.iter().map(|count| count.load(Ordering::Relaxed));
        ENDS.into_iter().map(|(_, name)| name).zip(counts)
    }

    /// The job that a request repeats, if there is one.
    ///
    /// # Errors
    /// [`KeyReused`](parlor_schemas::ErrorCode::KeyReused) when its key came with another body;
    /// what the store says.
    pub fn repeated(&self, repetition: &Repetition) -> Result<Option<Started>, Fault> {
        let found = self.inner.store.upsert_jobs().of_key(repetition.key, Timestamp::now())?;
        match found {
            None => Ok(None),
            Some(job) if job.repetition.as_ref() == Some(repetition) => {
                self.inner.join(job).map(Some)
            }
            Some(_) => Err(Repetition::key_reused()),
        }
    }

    /// Stores a job and starts it, unless it repeats another one. A caller who
    /// leaves meanwhile leaves no job behind that never ends.
    ///
    /// # Errors
    /// [`KeyReused`](parlor_schemas::ErrorCode::KeyReused); what the store says.
    pub async fn start(&self, new: NewJob) -> Result<Started, Fault> {
        let started = self.runtime.spawn(self.inner.clone().start(new)).await;
        started.unwrap_or_else(|_| Err(upsert_stopped()))
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// What the store says.
    pub fn get(&self, id: Uuid) -> Result<Option<UpsertJob>, Fault> {
        let live = self.inner.live().get(&id).cloned();
        let Some(mut job) = self.inner.store.upsert_jobs().get(id)? else { return Ok(None) };
        self.inner.bring_up_to_date(&mut job, live.as_ref());
        Ok(Some(job))
    }

    /// The same for jobs that were listed.
    pub fn bring_up_to_date(&self, jobs: &mut [UpsertJob]) {
        for job in jobs {
            let live = self.inner.live().get(&job.id).cloned();
            self.inner.bring_up_to_date(job, live.as_ref());
        }
    }

    /// Stops a job; says whether it ran.
    pub async fn cancel(&self, id: Uuid) -> bool {
        let live = self.inner.live().get(&id).cloned();
        let runs = live.is_some();
        end_all(live, CANCEL_TIME).await;
        runs
    }

    /// Stops the jobs of a chatflow.
    pub async fn cancel_chatflow(&self, chatflow: ChatflowId) {
        let of_flow = |job: &&LiveJob| job.chatflow == chatflow;
        let live: Vec<_> = self.inner.live().values().filter(of_flow).cloned().collect();
        end_all(live, CANCEL_TIME).await;
    }

    /// Resolves when the jobs that are live now have ended.
    pub async fn finished(&self) {
        let live: Vec<_> = self.inner.live().values().cloned().collect();
        ends_of(live).await;
    }

    /// Tells all jobs to stop, as ones that the server interrupted. They still
    /// undo their work.
    pub fn cut_off(&self) {
        self.inner.is_stopping.store(true, Ordering::Relaxed);
        self.inner.live().values().for_each(|job| job.cancel.cancel());
    }

    /// Stops all jobs, which a later start shows as interrupted, and the actors.
    pub async fn stop(&self) {
        self.cut_off();
        let live: Vec<_> = self.inner.live().values().cloned().collect();
        end_all(live, stop_time(&self.inner.handle.limits())).await;
        self.inner.handle.stop();
    }
}

/// How long stopping waits for jobs that undo their work: until their actors
/// drop them. The service files in `deploy` leave that much time.
fn stop_time(limits: &UpsertLimits) -> Duration {
    limits.grace + STOP_MARGIN
}

/// Tells jobs to stop and waits until they have, but not for ever.
async fn end_all(jobs: impl IntoIterator<Item = LiveJob>, longest: Duration) {
    let jobs: Vec<_> = jobs.into_iter().inspect(|job| job.cancel.cancel()).collect();
    let _ = tokio::time::timeout(longest, ends_of(jobs)).await;
}

async fn ends_of(jobs: Vec<LiveJob>) {
    let ends = jobs.into_iter().map(|mut job| async move {
        let _ = job.moments.wait_for(|moment| moment.end.is_some()).await;
    });
    futures::future::join_all(ends).await;
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, HashMap<Uuid, LiveJob>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_end(&self, state: UpsertState) {
        if let Some(place) = ENDS.iter().position(|(end, _)| *end == state) {
            self.ended[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn start(self: Arc<Self>, new: NewJob) -> Result<Started, Fault> {
        let now = Timestamp::now();
        let job = UpsertJob {
            id: Uuid::new_v4(),
            chatflow_id: new.chatflow,
            chat_id: new.chat_id,
            stop_node_ids: new.steps.iter().map(|step| step.node_id.clone()).collect(),
            progress: UpsertProgress::default(),
            result: None,
            error: None,
            repetition: new.repetition,
            created_date: now,
            finished_date: None,
        };
        let cancel = CancellationToken::new();
        let (sender, moments) = watch::channel(Moment::default());
        // Live before it is stored: who finds its row finds the job.
        let live = Listed::new(&self, &job, moments.clone(), cancel.clone());
        // And looked for only then: who deletes the chatflow takes the row out
        // first and stops the live jobs next, so that none slips through.
        if !self.store.chatflows().contains(new.chatflow)? {
            return Err(not_found(new.chatflow));
        }
        match self.store.upsert_jobs().claim(job.clone(), now).await? {
            Claim::New => {}
            Claim::Repeated(earlier) => return self.join(*earlier),
            Claim::KeyTaken => return Err(Repetition::key_reused()),
        }
        let running = RunningJob::new(job.clone(), moments, cancel.clone(), new.outlives_client);
        let drive = drive::Drive {
            inner: self,
            job,
            steps: new.steps,
            permit: new.permit,
            moments: sender,
            cancel,
            keeps_answer: new.outlives_client,
            is_awaited: new.is_awaited,
            request: new.request,
        };
        tokio::spawn(async move {
            drive.run().await;
            drop(live);
        });
        Ok(Started::Running(running))
    }

    /// A job that another request started.
    fn join(&self, job: UpsertJob) -> Result<Started, Fault> {
        let live = self.live().get(&job.id).cloned();
        if let Some(LiveJob { moments, cancel, .. }) = live {
            return Ok(Started::Running(RunningJob::new(job, moments, cancel, true)));
        }
        // It may have ended since its row was read.
        let now = self.store.upsert_jobs().get(job.id)?.unwrap_or(job);
        Ok(Started::Over(Box::new(now)))
    }

    fn bring_up_to_date(&self, job: &mut UpsertJob, live: Option<&LiveJob>) {
        if let Some(live) = live
            && !job.progress.state.is_over()
        {
            job.progress = live.moments.borrow().progress;
        }
    }
}

/// A place among the live jobs, given back by drop.
struct Listed {
    inner: Arc<Inner>,
    id: Uuid,
}

impl Listed {
    fn new(
        inner: &Arc<Inner>,
        job: &UpsertJob,
        moments: watch::Receiver<Moment>,
        cancel: CancellationToken,
    ) -> Self {
        let live = LiveJob { chatflow: job.chatflow_id, moments, cancel };
        inner.live().insert(job.id, live);
        Self { inner: inner.clone(), id: job.id }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.inner.live().remove(&self.id);
    }
}
