//! The bounded end of a conversation that a session's actor holds.

use parlor_schemas::{Exchanges, Turn};

use crate::ports::{LoadedSession, SessionTail};

/// The last turns, as far as they are remembered.
#[derive(Debug)]
pub(crate) struct SessionMemory {
    turns: Exchanges,
    complete: bool,
    /// Sequence number of the next turn.
    pub(crate) next_seq: u64,
    /// The epoch under which the turns were read.
    pub(crate) epoch: u64,
}

impl SessionMemory {
    /// What the store knows of the session, at most `max_bytes` of it but at
    /// least one turn.
    pub(crate) fn new(loaded: LoadedSession, max_bytes: usize) -> Self {
        let mut memory = Self {
            turns: loaded.tail.turns,
            complete: loaded.tail.complete,
            next_seq: loaded.next_seq,
            epoch: loaded.epoch,
        };
        memory.shrink(max_bytes);
        memory
    }

    /// The turns for a run.
    pub(crate) fn tail(&self) -> SessionTail {
        SessionTail { turns: self.turns.clone(), complete: self.complete }
    }

    /// Adds a turn that is stored, and lets the oldest go that are more than
    /// `max_bytes`.
    pub(crate) fn push(&mut self, turn: &Turn, max_bytes: usize) {
        self.next_seq = turn.seq + 1;
        self.turns.push(turn);
        self.shrink(max_bytes);
    }

    fn shrink(&mut self, max_bytes: usize) {
        while self.turns.weight() > max_bytes && self.turns.len() > 1 {
            self.turns = self.turns.skip(1);
            self.complete = false;
        }
        self.turns.trim();
    }
}
