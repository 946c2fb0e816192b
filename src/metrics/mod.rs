//! What the server counts while it works. Counting costs a few atomic
//! additions and never a lock; labels come from short lists of our own, never
//! from a request or a chatflow.
//!
//! # Layout
//! - [`histogram`]: how values are spread; [`text`]: Prometheus' text format
//! - [`process`]: what the system says of this process
//!
//! The text format is written here because the usual crates write OpenMetrics,
//! or look every series up behind a lock.

pub mod histogram;
pub mod process;
pub mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parlor_schemas::{ErrorCode, Fault, TurnReply, Usage};

use histogram::Histogram;

/// Seconds from a cached answer to a long agent's.
const TURN_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// How a turn ended: what an operator can do something about stands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// The request was wrong.
    BadRequest,
    /// The chatflow is wrong or lacks something.
    BadFlow,
    /// Too much for the session, the key, the server; or the server stops.
    Refused,
    /// The caller left or aborted it.
    Cancelled,
    /// The provider failed.
    Upstream,
    /// The store failed.
    Store,
    /// A defect of Parlor.
    Internal,
}

impl Outcome {
    /// All of them with their labels, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Ok, "ok"),
        (Self::BadRequest, "bad_request"),
        (Self::BadFlow, "bad_flow"),
        (Self::Refused, "refused"),
        (Self::Cancelled, "cancelled"),
        (Self::Upstream, "upstream"),
        (Self::Store, "store"),
        (Self::Internal, "internal"),
    ];

    fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::BadRequest
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::Conflict
            | ErrorCode::KeyReused
            | ErrorCode::TooLarge
            | ErrorCode::TooSlow
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::PreconditionFailed => Self::BadRequest,
            ErrorCode::UnsupportedNode | ErrorCode::InvalidFlow | ErrorCode::MissingCredential => {
                Self::BadFlow
            }
            ErrorCode::LimitExceeded | ErrorCode::Overloaded => Self::Refused,
            ErrorCode::Cancelled => Self::Cancelled,
            ErrorCode::UpstreamFailed
            | ErrorCode::UpstreamTimeout
            | ErrorCode::UpstreamLimited
            | ErrorCode::UpstreamPaused => Self::Upstream,
            ErrorCode::StoreFailed => Self::Store,
            ErrorCode::Internal => Self::Internal,
        }
    }
}

/// The server's own counts; what actors and the store count is asked of them.
pub struct Metrics {
    /// Turns by [`Outcome`].
    turns: [AtomicU64; Outcome::ALL.len()],
    /// From the request to the answer's end, of turns that were not refused.
    pub turn_seconds: Histogram,
    /// From the request to a stream's first event.
    pub first_token_seconds: Histogram,
    tokens_in: AtomicU64,
    tokens_out: AtomicU64,
    /// Streams that are open.
    pub streams: Gauge,
    /// When the server started.
    pub started: SystemTime,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            turns: Default::default(),
            turn_seconds: Histogram::new(TURN_SECONDS),
            first_token_seconds: Histogram::new(TURN_SECONDS),
            tokens_in: AtomicU64::new(0),
            tokens_out: AtomicU64::new(0),
            streams: Gauge::default(),
            started: SystemTime::now(),
        }
    }
}

impl Metrics {
    /// Counts a turn that ended so, this long after it came.
    pub fn turn_ended(&self, result: Result<&TurnReply, &Fault>, took: Duration) {
        match result {
            Ok(reply) => {
                self.tokens_in.fetch_add(reply.usage.input_tokens, Ordering::Relaxed);
                self.tokens_out.fetch_add(reply.usage.output_tokens, Ordering::Relaxed);
                self.count(Outcome::Ok, took);
            }
            Err(fault) => self.count(Outcome::of(fault.code), took),
        }
    }

    /// Counts a turn whose caller left.
    pub fn turn_left(&self, took: Duration) {
        self.count(Outcome::Cancelled, took);
    }

    fn count(&self, outcome: Outcome, took: Duration) {
        self.turns[outcome as usize].fetch_add(1, Ordering::Relaxed);
        // Refusals take no time and would hide how long turns take.
        if outcome != Outcome::Refused {
            self.turn_seconds.observe(took.as_secs_f64());
        }
    }

    /// Turns by the label of their outcome.
    pub fn turns(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.turns.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.iter().map(|(_, label)| *label).zip(counts)
    }

    /// Tokens that providers counted for turns that were answered.
    pub fn tokens(&self) -> Usage {
        Usage {
            input_tokens: self.tokens_in.load(Ordering::Relaxed),
            output_tokens: self.tokens_out.load(Ordering::Relaxed),
        }
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_stands_at_its_number() {
        for (number, (outcome, _)) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
        }
    }

    #[test]
    fn a_refusal_is_counted_and_takes_no_time() {
        let metrics = Metrics::default();
        let second = Duration::from_secs(1);
        let full = Fault::new(ErrorCode::Overloaded, "full");
        metrics.turn_ended(Err(&full), second);
        metrics.turn_left(second);
        let counted: Vec<_> = metrics.turns().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("refused", 1), ("cancelled", 1)]);
        assert_eq!(metrics.turn_seconds.count(), 1);
    }
}
