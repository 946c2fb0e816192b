//! The jobs of upserts: one row from arrival to end, and which requests are
//! repetitions of each other.

use std::sync::{Arc, Mutex, PoisonError};

use parlor_schemas::{
    ChatId, ChatflowId, ErrorCode, JobError, SessionId, Timestamp, UpsertJob, UpsertState,
};
use uuid::Uuid;

use super::error::StoreError;
use super::indexed::IndexedTable;
use super::listings::{Indexed, Listing, RowPage, RowPageQuery};

/// Jobs that are kept of one chatflow: the newest.
const MAX_JOBS: usize = 500;

/// How long a repetition gets the first answer.
const REPETITION_MS: i64 = 24 * 60 * 60 * 1000;

/// Rows that are looked at together.
const ROWS_A_PAGE: usize = 100;

/// The stored jobs. Single rows are read in place; all else needs a tokio
/// runtime. The errors are those of reading and writing a row.
#[derive(Debug)]
pub struct UpsertJobs {
    table: IndexedTable<UpsertJob>,
}

/// What became of a job that asked to be stored.
#[derive(Debug)]
pub enum Claim {
    /// It is stored and may run.
    New,
    /// It is the repetition of this one.
    Repeated(Box<UpsertJob>),
    /// Its key belongs to a request with another body.
    KeyTaken,
}

impl Indexed for UpsertJob {
    fn id(&self) -> Uuid {
        self.id
    }
    fn chatflow(&self) -> ChatflowId {
        self.chatflow_id
    }
    fn created(&self) -> Timestamp {
        self.created_date
    }
    fn chat(&self) -> Option<&ChatId> {
        None
    }
    fn session(&self) -> Option<&SessionId> {
        None
    }
    /// A key has one job at a time, as a message has one feedback.
    fn message(&self) -> Option<Uuid> {
        self.repetition.as_ref().map(|repetition| repetition.key)
    }
    /// Those that are not over, so that a start need not read all others.
    fn is_in_all(&self) -> bool {
        !self.progress.state.is_over()
    }
}

impl UpsertJobs {
    pub(super) fn new(table: IndexedTable<UpsertJob>) -> Self {
        Self { table }
    }

    /// One job.
    pub fn get(&self, id: Uuid) -> Result<Option<UpsertJob>, StoreError> {
        self.table.get(id)
    }

    /// Stores a new job, unless it repeats another one. A job that failed or
    /// was stopped gives its key free: sent again, it runs again.
    pub async fn claim(&self, job: UpsertJob, now: Timestamp) -> Result<Claim, StoreError> {
        self.free_key(&job, now).await?;
        let earlier = Arc::new(Mutex::new(None));
        let found = earlier.clone();
        let (id, body) =
            (job.id, job.repetition.as_ref().map(|repetition| repetition.body.clone()));
        let decide = move |table: &IndexedTable<UpsertJob>| {
            let same = job.repetition.as_ref().map(|repetition| table.of_message(repetition.key));
            let Some(same) = same.transpose()?.flatten() else { return Ok(Some(job)) };
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(same);
            Ok(None)
        };
        if let Some(stored) = self.table.change(decide).await? {
            debug_assert_eq!(stored.id, id);
            let is_over = |job: &UpsertJob| job.progress.state.is_over();
            if let Err(error) = self.table.prune(stored.chatflow_id, MAX_JOBS, is_over).await {
                tracing::warn!("old upsert jobs are not deleted: {error}");
            }
            return Ok(Claim::New);
        }
        let same = earlier.lock().unwrap_or_else(PoisonError::into_inner).take();
        match same {
            Some(same) if same.repetition.as_ref().map(|own| &own.body) == body.as_ref() => {
                Ok(Claim::Repeated(Box::new(same)))
            }
            _ => Ok(Claim::KeyTaken),
        }
    }

    /// The job that a key stands for now, if it holds its key.
    pub fn of_key(&self, key: Uuid, now: Timestamp) -> Result<Option<UpsertJob>, StoreError> {
        Ok(self.table.of_message(key)?.filter(|job| holds_key(job, now)))
    }

    async fn free_key(&self, job: &UpsertJob, now: Timestamp) -> Result<(), StoreError> {
        let Some(repetition) = &job.repetition else { return Ok(()) };
        let key = repetition.key;
        let free = move |table: &IndexedTable<UpsertJob>| {
            let held = table.of_message(key)?.filter(|job| !holds_key(job, now));
            Ok(held.map(|job| UpsertJob { repetition: None, ..job }))
        };
        self.table.change(free).await.map(|_| ())
    }

    /// Writes a job over what was there; one that is gone with its chatflow
    /// stays away.
    pub async fn update(&self, job: UpsertJob) -> Result<(), StoreError> {
        let change = move |table: &IndexedTable<UpsertJob>| {
            Ok(table.get(job.id)?.map(|stored| UpsertJob { repetition: stored.repetition, ..job }))
        };
        self.table.change(change).await.map(|_| ())
    }

    /// One page of a chatflow's jobs, or of all that are not over.
    pub async fn page(
        &self,
        chatflow: Option<ChatflowId>,
        query: RowPageQuery,
    ) -> Result<RowPage<UpsertJob>, StoreError> {
        self.table.page(chatflow.map_or(Listing::All, Listing::Chatflow), query).await
    }

    /// Marks the jobs that ran when the server stopped; gives them.
    pub async fn interrupt(&self, now: Timestamp) -> Result<Vec<UpsertJob>, StoreError> {
        let mut query = RowPageQuery { limit: ROWS_A_PAGE, ..RowPageQuery::default() };
        let mut interrupted = Vec::new();
        loop {
            let page = self.page(None, query).await?;
            for mut job in page.rows.into_iter().filter(|job| !job.progress.state.is_over()) {
                interrupt(&mut job, now);
                self.update(job.clone()).await?;
                interrupted.push(job);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(interrupted),
            }
        }
    }

    /// Deletes all jobs of a chatflow; the number of rows.
    pub async fn delete_chatflow(&self, chatflow: ChatflowId) -> Result<u64, StoreError> {
        self.table.delete(Listing::Chatflow(chatflow)).await
    }
}

/// Marks a job that the server could not finish.
pub fn interrupt(job: &mut UpsertJob, now: Timestamp) {
    job.progress.state = UpsertState::Interrupted;
    job.finished_date = Some(now);
    let message = "the server stopped while this upsert ran; send it again".to_owned();
    job.error = Some(JobError { code: ErrorCode::Overloaded, message });
}

/// What runs or is done answers its repetitions, for a day.
fn holds_key(job: &UpsertJob, now: Timestamp) -> bool {
    let state = job.progress.state;
    let answers = !state.is_over() || state == UpsertState::Done;
    answers && now.millis() - job.created_date.millis() < REPETITION_MS
}
