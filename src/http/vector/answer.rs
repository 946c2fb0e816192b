//! The answer to an upsert: when it is done, at once, or as a stream of its
//! progress.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use parlor_schemas::event::Done;
use parlor_schemas::{ErrorCode, Fault, StreamEvent, UpsertJob};
use tokio::time::timeout;

use super::wish::Wish;
use crate::drain::{Drain, Visit};
use crate::http::error::{self, ApiError};
use crate::http::passage::RequestId;
use crate::http::sse::{self, Events, HEARTBEAT};
use crate::http::state::AppState;
use crate::http::upserts::JobView;
use crate::upserts::{JobEnd, Moment, RunningJob, Started};

/// Progress is told this often at most.
const TICK: Duration = Duration::from_millis(100);

/// Who wants something of a vector store: the server's promise to answer.
/// Held until the last byte of the answer is made.
pub(super) struct Caller {
    _visit: Visit,
    drain: Arc<Drain>,
    /// A stream is made after the handler is done, where nobody else knows it.
    request: Option<RequestId>,
}

impl Caller {
    /// Lets a request in.
    ///
    /// # Errors
    /// 503 while the server stops.
    pub(super) fn enter(state: &AppState) -> Result<Self, Fault> {
        let (visit, drain) = (state.drain.enter()?, state.drain.clone());
        Ok(Self { _visit: visit, drain, request: RequestId::current() })
    }

    /// An end as the caller is told.
    pub(super) fn told<T>(&self, end: Result<T, Fault>) -> Result<T, Fault> {
        end.map_err(|fault| self.drain.explain(fault))
    }

    /// Its request, for the log.
    pub(super) fn request(&self) -> Option<RequestId> {
        self.request.clone()
    }
}

/// Answers as the caller wishes.
///
/// # Errors
/// The upsert's, where it is waited for.
pub(super) async fn respond(
    started: Started,
    wish: &Wish,
    caller: Caller,
    heartbeat: Duration,
) -> Result<HttpResponse, ApiError> {
    if wish.is_async {
        return Ok(accepted(&started));
    }
    if wish.streams {
        return Ok(streamed(started, caller, heartbeat));
    }
    let end = match started {
        Started::Running(mut job) => job.end().await,
        Started::Over(job) => end_of(*job),
    };
    Ok(HttpResponse::Ok().json(&*caller.told(end)?))
}

fn accepted(started: &Started) -> HttpResponse {
    let job = match started {
        Started::Running(job) => job.row(),
        Started::Over(job) => job,
    };
    HttpResponse::Accepted()
        .insert_header((header::LOCATION, format!("/api/v1/upserts/{}", job.id)))
        .insert_header(("Preference-Applied", "respond-async"))
        .json(JobView::from(job))
}

/// How a job ended that is over.
fn end_of(job: UpsertJob) -> JobEnd {
    match (job.result, job.error) {
        (Some(result), _) => Ok(Arc::new(result)),
        (None, Some(error)) => Err(Fault::new(error.code, error.message)),
        (None, None) => {
            let message = "this upsert has no result; send it again with a new Idempotency-Key";
            Err(Fault::new(ErrorCode::Conflict, message))
        }
    }
}

fn streamed(started: Started, caller: Caller, heartbeat: Duration) -> HttpResponse {
    let (job, over) = match started {
        Started::Running(job) => (Some(job), None),
        Started::Over(job) => {
            let progress = job.progress;
            (None, Some(Moment { progress, end: Some(end_of(*job)) }))
        }
    };
    let body = Body { job, over, caller, heartbeat, is_open: false };
    sse::response(body)
}

struct Body {
    job: Option<RunningJob>,
    /// The last moment of a job that was over before.
    over: Option<Moment>,
    caller: Caller,
    heartbeat: Duration,
    is_open: bool,
}

impl Events for Body {
    async fn next_write(&mut self) -> Option<Bytes> {
        let moment = match (&mut self.job, self.over.take()) {
            (_, Some(over)) => over,
            (None, None) => return None,
            (Some(job), None) => {
                if self.is_open {
                    if timeout(self.heartbeat, job.changed()).await.is_err() {
                        return Some(Bytes::from_static(HEARTBEAT));
                    }
                    // What comes within a tick is told together; the end at once.
                    let _ = timeout(TICK, job.end()).await;
                }
                job.now()
            }
        };
        self.is_open = true;
        if moment.end.is_some() {
            self.job = None;
        }
        Some(self.bytes(moment))
    }
}

impl Body {
    fn bytes(&self, moment: Moment) -> Bytes {
        let mut out = Vec::new();
        StreamEvent::Progress(moment.progress).write_to(&mut out);
        let Some(end) = moment.end else { return out.into() };
        match self.caller.told(end) {
            Ok(answer) => StreamEvent::Result(answer).write_to(&mut out),
            Err(fault) if fault.code == ErrorCode::Cancelled => {
                StreamEvent::Abort(Done).write_to(&mut out);
            }
            Err(fault) => {
                error::log(&fault, self.caller.request.as_ref());
                StreamEvent::Error(fault.message).write_to(&mut out);
            }
        }
        StreamEvent::End(Done).write_to(&mut out);
        out.into()
    }
}
