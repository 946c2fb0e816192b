//! What the chunks of one load may come to. A request may choose sizes that repeat
//! every text thousands of times, or a chunk for each character.

use crate::retrieval::Budget;

/// What a chunk takes beside its text and its document's metadata: its lines.
const LINES_BYTES: usize = 64;

/// More chunks than one load may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is cut into more chunks, with their metadata, than one load may hold; raise chunkSize, \
     lower chunkOverlap or divide what is loaded"
)]
pub struct TooMuch;

/// What may still come of all texts together.
#[derive(Debug)]
pub struct Room {
    budget: Budget,
    /// What every chunk of this text takes beside its own text, in bytes.
    beside: usize,
    is_full: bool,
}

impl Room {
    /// Room for the chunks of one load.
    pub(crate) fn of_load() -> Self {
        Self { budget: Budget::of_chunks(), beside: LINES_BYTES, is_full: false }
    }

    /// Room for anything.
    #[cfg(test)]
    pub(super) fn endless() -> Self {
        Self { budget: Budget::endless(), beside: 0, is_full: false }
    }

    /// Says how many bytes of metadata each of the next chunks will have.
    pub(super) fn expect(&mut self, n_metadata_bytes: usize) {
        self.beside = n_metadata_bytes.saturating_add(LINES_BYTES);
    }

    /// Takes the share of a chunk; false where there is none left, from then on.
    pub(super) fn take(&mut self, chunk: &str) -> bool {
        let n_bytes = chunk.len().saturating_add(self.beside);
        self.is_full = self.is_full || self.budget.take_bytes(n_bytes).is_none();
        !self.is_full
    }

    /// Whether something did not fit.
    pub fn is_full(&self) -> bool {
        self.is_full
    }
}
