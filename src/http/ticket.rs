//! A turn, seen from the door: the server's promise to answer it. Held until
//! the last byte of the answer is made.

use std::sync::Arc;

use parlor_schemas::{Fault, TurnReply};

use super::error::ApiError;
use super::state::AppState;
use crate::drain::{Drain, Visit};

/// A turn that was let in.
pub struct Ticket {
    _visit: Visit,
    drain: Arc<Drain>,
}

impl Ticket {
    /// Lets a turn in.
    ///
    /// # Errors
    /// 503 while the server stops.
    pub fn take(state: &AppState) -> Result<Self, ApiError> {
        Ok(Self { _visit: state.drain.enter()?, drain: state.drain.clone() })
    }

    /// Notes that the turn never began.
    pub fn refused(&mut self, error: ApiError) -> ApiError {
        error
    }

    /// How the turn ended, as its caller is told.
    pub fn ended(&mut self, result: Result<TurnReply, Fault>) -> Result<TurnReply, Fault> {
        result.map_err(|fault| self.drain.explain(fault))
    }
}
