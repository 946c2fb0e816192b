//! The answer to an upsert: when it is done, at once, or as a stream of its
//! progress.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use futures::stream::{self, Stream};
use parlor_schemas::event::Done;
use parlor_schemas::{ErrorCode, Fault, StreamEvent, UpsertJob};
use serde_json::Value;
use tokio::time::timeout;

use super::wish::Wish;
use crate::http::error::ApiError;
use crate::http::upserts::JobView;
use crate::upserts::{JobEnd, Moment, RunningJob, Started};

/// A comment of the event stream: clients skip it, proxies see life.
const HEARTBEAT: &[u8] = b":heartbeat\n\n";

/// Progress is told this often at most.
const TICK: Duration = Duration::from_millis(100);

/// Answers as the caller wishes.
///
/// # Errors
/// The upsert's, where it is waited for.
pub(super) async fn respond(
    started: Started,
    wish: &Wish,
    heartbeat: Duration,
) -> Result<HttpResponse, ApiError> {
    if wish.is_async {
        return Ok(accepted(&started));
    }
    if wish.streams {
        return Ok(streamed(started, heartbeat));
    }
    let answer = match started {
        Started::Running(mut job) => job.end().await?,
        Started::Over(job) => end_of(*job)?,
    };
    Ok(HttpResponse::Ok().json(&*answer))
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

fn streamed(started: Started, heartbeat: Duration) -> HttpResponse {
    let body = match started {
        Started::Running(job) => Body { job: Some(job), over: None, heartbeat, is_open: false },
        Started::Over(job) => {
            let progress = job.progress;
            let over = Some(Moment { progress, end: Some(end_of(*job)) });
            Body { job: None, over, heartbeat, is_open: false }
        }
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONNECTION, "keep-alive"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body.into_stream())
}

struct Body {
    job: Option<RunningJob>,
    /// The last moment of a job that was over before.
    over: Option<Moment>,
    heartbeat: Duration,
    is_open: bool,
}

impl Body {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::unfold(self, |mut body| async move {
            let bytes = body.next_write().await?;
            Some((Ok(bytes), body))
        })
    }

    /// The next bytes; `None` after the end.
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
        Some(bytes(moment))
    }
}

fn bytes(moment: Moment) -> Bytes {
    let mut out = Vec::new();
    StreamEvent::Progress(moment.progress).write_to(&mut out);
    if let Some(end) = moment.end {
        match end {
            Ok(answer) => {
                let answer = Value::Object(Arc::unwrap_or_clone(answer));
                StreamEvent::Result(answer).write_to(&mut out);
            }
            Err(fault) if fault.code == ErrorCode::Cancelled => {
                StreamEvent::Abort(Done).write_to(&mut out);
            }
            Err(fault) => StreamEvent::Error(fault.message).write_to(&mut out),
        }
        StreamEvent::End(Done).write_to(&mut out);
    }
    out.into()
}
