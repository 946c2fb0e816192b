//! A job that runs, seen by whoever waits for it.

use std::sync::Arc;

use parlor_actors::upsert_stopped;
use parlor_schemas::{Fault, UpsertJob, UpsertProgress};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How a job ended: its answer, or why there is none.
pub type JobEnd = Result<Arc<Map<String, Value>>, Fault>;

/// How far a job is, and its end once it is over.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// How far it is.
    pub progress: UpsertProgress,
    /// Its end.
    pub end: Option<JobEnd>,
}

/// A job that runs. Unless it outlives its client, dropping this cancels it.
pub struct RunningJob {
    job: Box<UpsertJob>,
    moments: watch::Receiver<Moment>,
    _cancel: Option<DropGuard>,
}

impl RunningJob {
    pub(super) fn new(
        job: UpsertJob,
        moments: watch::Receiver<Moment>,
        cancel: CancellationToken,
        outlives_client: bool,
    ) -> Self {
        let guard = (!outlives_client).then(|| cancel.drop_guard());
        Self { job: Box::new(job), moments, _cancel: guard }
    }

    /// Its row as it was stored.
    pub fn row(&self) -> &UpsertJob {
        &self.job
    }

    /// How far it is now.
    pub fn now(&mut self) -> Moment {
        self.moments.borrow_and_update().clone()
    }

    /// Resolves when it is further than at the last look, or over.
    pub async fn changed(&mut self) {
        // The sender leaves only after the end.
        let _ = self.moments.changed().await;
    }

    /// Its end.
    ///
    /// # Errors
    /// Those of the upsert.
    pub async fn end(&mut self) -> JobEnd {
        let over = self.moments.wait_for(|moment| moment.end.is_some()).await;
        over.ok().and_then(|moment| moment.end.clone()).unwrap_or_else(|| Err(upsert_stopped()))
    }
}
