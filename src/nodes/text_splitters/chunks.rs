//! The chunks of one text, and how much they may hold together.

use super::room::Room;
use super::units;

/// However short the text is, its chunks may hold this much.
const LEAST_ALLOWANCE: usize = 16 << 20;
/// How often a long text may be repeated by overlaps.
const MAX_REPEATS: usize = 16;

/// The chunks found so far. An overlap of almost a whole chunk repeats the text a
/// thousand times and more: when its allowance is used up, the rest of the text is
/// cut without overlaps.
pub(super) struct Chunks<'a> {
    list: Vec<String>,
    n_bytes: usize,
    most_bytes: usize,
    /// What may still come of this text and of all others.
    room: &'a mut Room,
}

impl<'a> Chunks<'a> {
    /// No chunks yet of this text.
    pub fn of(text: &str, room: &'a mut Room) -> Self {
        let most_bytes = text.len().saturating_mul(MAX_REPEATS).max(LEAST_ALLOWANCE);
        Self { list: Vec::new(), n_bytes: 0, most_bytes, room }
    }

    /// Adds a chunk as it is, if there is room for it.
    pub fn push(&mut self, chunk: &str) {
        if self.room.take(chunk) {
            self.n_bytes += chunk.len();
            self.list.push(chunk.to_owned());
        }
    }

    /// Adds a chunk without its outer blanks, if that leaves anything.
    pub fn push_trimmed(&mut self, chunk: &str) {
        let trimmed = units::trim(chunk);
        if !trimmed.is_empty() {
            self.push(trimmed);
        }
    }

    /// Whether nothing more is taken.
    pub fn is_full(&self) -> bool {
        self.room.is_full()
    }

    /// How much the next chunk may repeat, where the node says `overlap`.
    pub fn overlap(&self, overlap: usize) -> usize {
        if self.n_bytes > self.most_bytes || self.is_full() { 0 } else { overlap }
    }

    /// The chunks in order.
    pub fn into_list(self) -> Vec<String> {
        self.list
    }
}
