//! The bounded end of a conversation that a session's actor holds.

use std::collections::VecDeque;
use std::sync::Arc;

use parlor_schemas::Turn;

use crate::ports::{LoadedSession, SessionTail};

/// The last turns, at most `max_bytes` of them but at least one.
#[derive(Debug)]
pub(crate) struct SessionMemory {
    turns: VecDeque<Arc<Turn>>,
    weight: usize,
    max_bytes: usize,
    complete: bool,
    /// Sequence number of the next turn.
    pub(crate) next_seq: u64,
    /// The epoch under which the turns were read.
    pub(crate) epoch: u64,
}

impl SessionMemory {
    /// What the store knows of the session.
    pub(crate) fn new(loaded: LoadedSession, max_bytes: usize) -> Self {
        let weight = loaded.tail.turns.iter().map(|turn| turn.weight()).sum();
        let mut memory = Self {
            turns: loaded.tail.turns.into(),
            weight,
            max_bytes,
            complete: loaded.tail.complete,
            next_seq: loaded.next_seq,
            epoch: loaded.epoch,
        };
        memory.shrink();
        memory
    }

    /// The turns for a run.
    pub(crate) fn tail(&self) -> SessionTail {
        SessionTail { turns: self.turns.iter().cloned().collect(), complete: self.complete }
    }

    /// Adds a turn that is stored.
    pub(crate) fn push(&mut self, turn: Arc<Turn>) {
        self.next_seq = turn.seq + 1;
        self.weight += turn.weight();
        self.turns.push_back(turn);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.weight > self.max_bytes && self.turns.len() > 1 {
            if let Some(turn) = self.turns.pop_front() {
                self.weight -= turn.weight();
                self.complete = false;
            }
        }
    }
}
