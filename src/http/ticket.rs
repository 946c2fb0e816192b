//! A turn, seen from the door: the server's promise to answer it, and what is
//! counted of it. Held until the last byte of the answer is made.

use std::sync::Arc;
use std::time::Instant;

use parlor_schemas::{Fault, TurnReply};

use super::error::ApiError;
use super::state::AppState;
use crate::drain::{Drain, Visit};
use crate::metrics::Metrics;

/// A turn that was let in. Dropped without an end, its caller has left, and
/// the turn with him unless it is kept.
pub struct Ticket {
    visit: Arc<Visit>,
    drain: Arc<Drain>,
    metrics: Arc<Metrics>,
    arrived: Instant,
    streams: bool,
    has_begun: bool,
    is_over: bool,
}

impl Ticket {
    /// Lets a turn in.
    ///
    /// # Errors
    /// 503 while the server stops.
    pub fn take(state: &AppState) -> Result<Self, ApiError> {
        let arrived = Instant::now();
        let visit = state.drain.enter().inspect_err(|fault| {
            state.metrics.turn_ended(Err(fault), arrived.elapsed());
        })?;
        let (drain, metrics) = (state.drain.clone(), state.metrics.clone());
        Ok(Self {
            visit: Arc::new(visit),
            drain,
            metrics,
            arrived,
            streams: false,
            has_begun: false,
            is_over: false,
        })
    }

    /// Notes that the turn never began, and why.
    pub fn refused(&mut self, error: ApiError) -> ApiError {
        self.note(Err(&error.0));
        error
    }

    /// Notes that the answer is a stream, which is open from now on.
    pub fn opened(&mut self) {
        self.metrics.streams.enter();
        self.streams = true;
    }

    /// Notes that the answer is one that was given before: no turn ran.
    pub fn replayed(&mut self) {
        self.is_over = true;
    }

    /// The ticket of the task that keeps the turn, whoever waits for it: that
    /// one counts its end. Both are one visit.
    pub fn for_keeper(&mut self) -> Self {
        let kept = Self {
            visit: self.visit.clone(),
            drain: self.drain.clone(),
            metrics: self.metrics.clone(),
            arrived: self.arrived,
            streams: false,
            has_begun: true,
            is_over: false,
        };
        self.is_over = true;
        kept
    }

    /// Notes that the stream has an event; the first one counts.
    pub fn began(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.metrics.first_token_seconds.observe(self.arrived.elapsed().as_secs_f64());
    }

    /// How the turn ended, as its caller is told.
    pub fn ended(&mut self, result: Result<TurnReply, Fault>) -> Result<TurnReply, Fault> {
        let result = result.map_err(|fault| self.drain.explain(fault));
        self.note(result.as_ref());
        result
    }

    fn note(&mut self, result: Result<&TurnReply, &Fault>) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.metrics.turn_ended(result, self.arrived.elapsed());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_over {
            self.metrics.turn_left(self.arrived.elapsed());
        }
        if self.streams {
            self.metrics.streams.leave();
        }
    }
}
