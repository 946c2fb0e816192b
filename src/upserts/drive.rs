//! Runs the stores of a job one after the other, and writes down what came of it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor_actors::{PendingUpsert, UpsertPermit, upsert_stopped};
use parlor_schemas::{
    ErrorCode, Fault, JobError, Timestamp, UpsertJob, UpsertProgress, UpsertRecord, UpsertReply,
    UpsertState,
};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Inner, JobEnd, Moment};
use crate::flow::upsert::StoreStep;
use crate::http::error::log;
use crate::http::passage::RequestId;
use crate::store::interrupt;

/// Bytes of `addedDocs` that a row keeps for repetitions and for who asks later.
const MAX_KEPT_DOCS: usize = 1 << 20;

/// A job and all that it needs.
pub(super) struct Drive {
    pub(super) inner: Arc<Inner>,
    pub(super) job: UpsertJob,
    pub(super) steps: Vec<StoreStep>,
    pub(super) permit: UpsertPermit,
    pub(super) moments: watch::Sender<Moment>,
    pub(super) cancel: CancellationToken,
    pub(super) keeps_answer: bool,
    pub(super) is_awaited: bool,
    pub(super) request: Option<RequestId>,
}

impl Drive {
    /// Runs to the end. The end is stored before anybody hears of it.
    pub(super) async fn run(mut self) {
        let result = self.run_all().await;
        let answer = result.map(|reply| self.answered(reply));
        let end: JobEnd = answer.map_err(|fault| self.failed(fault));
        let stored = self.inner.store.upsert_jobs().update(self.job.clone()).await;
        if let Err(error) = &stored {
            tracing::error!(job = %self.job.id, "the end of an upsert is not stored: {error}");
        }
        let progress = self.job.progress;
        self.moments.send_replace(Moment { progress, end: Some(end) });
    }

    async fn run_all(&mut self) -> Result<UpsertReply, Fault> {
        let mut total = UpsertReply::default();
        for step in std::mem::take(&mut self.steps) {
            let pending = self.inner.handle.upsert(&self.permit, step.store, step.runner)?;
            let reply = self.follow(pending).await?;
            self.remember(&reply, step.flow_data).await?;
            total.add(reply);
        }
        Ok(total)
    }

    /// Waits for one store, and passes its progress on, added to that of the
    /// stores before it.
    async fn follow(&mut self, mut pending: PendingUpsert) -> Result<UpsertReply, Fault> {
        let before = self.job.progress;
        let mut progress = pending.progress();
        let mut is_told = false;
        let result = loop {
            tokio::select! {
                result = &mut pending => break result,
                () = self.cancel.cancelled(), if !is_told => {
                    // Nothing of it is written yet; the upserts before it need
                    // not be waited for, and dropping it gives up its place.
                    if progress.borrow().state == UpsertState::Waiting {
                        break Err(upsert_stopped());
                    }
                    is_told = true;
                    pending.cancel();
                }
                Ok(()) = progress.changed() => {
                    self.job.progress = before.with(*progress.borrow_and_update());
                    let moment = Moment { progress: self.job.progress, end: None };
                    self.moments.send_replace(moment);
                }
            }
        };
        self.job.progress = before.with(*progress.borrow());
        result
    }

    /// Exclusive, because runners need not be shared between threads.
    async fn remember(&mut self, reply: &UpsertReply, flow_data: Vec<Value>) -> Result<(), Fault> {
        let row = UpsertRecord {
            id: Uuid::new_v4(),
            chatflowid: self.job.chatflow_id,
            result: reply.counts(),
            flow_data,
            date: Timestamp::now(),
        };
        Ok(self.inner.store.upsert_history().put(row).await?)
    }

    fn answered(&mut self, reply: UpsertReply) -> Arc<Map<String, Value>> {
        let answer = Arc::new(reply.answer());
        self.job.result = Some(self.kept(&answer));
        self.over(UpsertState::Done);
        answer
    }

    /// The answer as the row keeps it: without documents that nobody can ask
    /// for again, or that are too many.
    fn kept(&self, answer: &Map<String, Value>) -> Map<String, Value> {
        let docs = answer.get("addedDocs").and_then(Value::as_array);
        let docs = docs.map(Vec::as_slice).unwrap_or_default();
        if docs.is_empty() || (self.keeps_answer && is_within(docs, MAX_KEPT_DOCS)) {
            return answer.clone();
        }
        let others = answer.iter().filter(|(name, _)| *name != "addedDocs");
        let mut kept: Map<String, Value> =
            others.map(|(name, value)| (name.clone(), value.clone())).collect();
        kept.insert("addedDocs".into(), json!([]));
        kept.insert("addedDocsOmitted".into(), json!(docs.len()));
        kept
    }

    fn failed(&mut self, fault: Fault) -> Fault {
        let is_stopping = self.inner.is_stopping.load(Ordering::Relaxed);
        if fault.code == ErrorCode::Cancelled && is_stopping {
            interrupt(&mut self.job, Timestamp::now());
            return fault;
        }
        if !self.is_awaited {
            log(&fault, self.request.as_ref());
        }
        self.job.error = Some(JobError { code: fault.code, message: fault.message.clone() });
        self.over(match fault.code {
            ErrorCode::Cancelled => UpsertState::Cancelled,
            _ => UpsertState::Failed,
        });
        fault
    }

    fn over(&mut self, state: UpsertState) {
        self.inner.count_end(state);
        self.job.progress = UpsertProgress { state, ..self.job.progress };
        self.job.finished_date = Some(Timestamp::now());
    }
}

/// Whether documents are at most so many bytes as JSON; none is written to know it.
pub(super) fn is_within(docs: &[Value], most: usize) -> bool {
    struct Room(usize);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let left = self.0.checked_sub(bytes.len());
            self.0 = left.ok_or(std::io::ErrorKind::WriteZero)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    serde_json::to_writer(Room(most), docs).is_ok()
}
