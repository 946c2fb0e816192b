//! The chunks of one text, and how much they may hold together.

use super::units;

/// However short the text is, its chunks may hold this much.
const LEAST_ALLOWANCE: usize = 16 << 20;
/// How often a long text may be repeated by overlaps.
const MAX_REPEATS: usize = 16;

/// The chunks found so far. An overlap of almost a whole chunk repeats the text a
/// thousand times and more: when its allowance is used up, the rest of the text is
/// cut without overlaps.
pub(super) struct Chunks {
    list: Vec<String>,
    n_bytes: usize,
    most_bytes: usize,
}

impl Chunks {
    /// No chunks yet of this text.
    pub fn of(text: &str) -> Self {
        let most_bytes = text.len().saturating_mul(MAX_REPEATS).max(LEAST_ALLOWANCE);
        Self { list: Vec::new(), n_bytes: 0, most_bytes }
    }

    /// Adds a chunk as it is.
    pub fn push(&mut self, chunk: String) {
        self.n_bytes += chunk.len();
        self.list.push(chunk);
    }

    /// Adds a chunk without its outer blanks, if that leaves anything.
    pub fn push_trimmed(&mut self, chunk: &str) {
        let trimmed = units::trim(chunk);
        if !trimmed.is_empty() {
            self.push(trimmed.to_owned());
        }
    }

    /// How much the next chunk may repeat, where the node says `overlap`.
    pub fn overlap(&self, overlap: usize) -> usize {
        if self.n_bytes > self.most_bytes { 0 } else { overlap }
    }

    /// The chunks in order.
    pub fn into_list(self) -> Vec<String> {
        self.list
    }
}
