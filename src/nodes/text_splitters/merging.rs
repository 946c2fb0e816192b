//! Small pieces into chunks, the way LangChain's `mergeSplits` does it.

use std::collections::VecDeque;

use super::chunks::Chunks;
use super::sizes::Sizes;
use super::units;

/// Collects pieces until the next one does not fit, then keeps as many of the last
/// ones as the overlap allows.
pub(super) struct Merger<'a> {
    sizes: Sizes,
    separator: &'a str,
    /// The separator's length in UTF-16 units.
    between: usize,
    pieces: VecDeque<&'a str>,
    /// Of the pieces alone: LangChain counts separators only when it asks what fits.
    length: usize,
}

impl<'a> Merger<'a> {
    /// For pieces that are joined by `separator`.
    pub fn new(sizes: Sizes, separator: &'a str) -> Self {
        let between = units::length(separator.as_bytes());
        Self { sizes, separator, between, pieces: VecDeque::new(), length: 0 }
    }

    /// Takes the next piece, of `length` UTF-16 units.
    pub fn add(&mut self, piece: &'a str, length: usize, chunks: &mut Chunks<'_>) {
        if !self.fits(length) && !self.pieces.is_empty() {
            self.write(chunks);
            let overlap = chunks.overlap(self.sizes.overlap);
            while self.length > overlap || (!self.fits(length) && self.length > 0) {
                self.drop_first();
            }
        }
        self.pieces.push_back(piece);
        self.length += length;
    }

    /// Writes what is left and starts anew.
    pub fn finish(&mut self, chunks: &mut Chunks<'_>) {
        self.write(chunks);
        self.pieces.clear();
        self.length = 0;
    }

    fn fits(&self, length: usize) -> bool {
        self.length + length + self.pieces.len() * self.between <= self.sizes.chunk
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.pieces.pop_front() {
            self.length -= units::length(first.as_bytes());
        }
    }

    fn write(&self, chunks: &mut Chunks<'_>) {
        if chunks.is_full() {
            return;
        }
        let mut text = String::with_capacity(self.length);
        for (at, piece) in self.pieces.iter().enumerate() {
            if at > 0 {
                text.push_str(self.separator);
            }
            text.push_str(piece);
        }
        chunks.push_trimmed(&text);
    }
}
