//! The recursive splitter: separators in order of preference, each one used only
//! on what is still too long after the one before.

use super::chunks::Chunks;
use super::merging::Merger;
use super::room::Room;
use super::separating::PiecesBefore;
use super::sizes::Sizes;
use super::units;
use crate::retrieval::TextSplitter;

/// LangChain's `RecursiveCharacterTextSplitter`. Each separator stays at the
/// beginning of its piece.
#[derive(Debug)]
pub(super) struct Recursive {
    /// The sizes.
    pub sizes: Sizes,
    /// In order; an empty one, and the end of the list, cut between any two characters.
    pub separators: Vec<String>,
}

impl Recursive {
    /// With separators that the product knows.
    pub fn with(sizes: Sizes, separators: &[&str]) -> Self {
        Self { sizes, separators: separators.iter().map(|&text| text.to_owned()).collect() }
    }

    fn cut<'a>(&'a self, text: &'a str, separators: &'a [String], chunks: &mut Chunks<'_>) {
        let (separator, finer) = choose(text, separators);
        if separator.is_empty() {
            let mut buffer = [0; 4];
            let width = |character: char| character.encode_utf8(&mut buffer).len();
            let mut start = 0;
            let character = |width| {
                start += width;
                &text[start - width..start]
            };
            self.collect(text.chars().map(width).map(character), finer, chunks);
        } else {
            self.collect(PiecesBefore::new(text, separator), finer, chunks);
        }
    }

    /// Merges what is short enough, cuts finer what is not.
    fn collect<'a>(
        &'a self,
        pieces: impl Iterator<Item = &'a str>,
        finer: Option<&'a [String]>,
        chunks: &mut Chunks<'_>,
    ) {
        let mut merger = Merger::new(self.sizes, "");
        for piece in pieces {
            if chunks.is_full() {
                return;
            }
            let length = units::length(piece.as_bytes());
            if length < self.sizes.chunk {
                merger.add(piece, length, chunks);
                continue;
            }
            merger.finish(chunks);
            match finer {
                Some(finer) => self.cut(piece, finer, chunks),
                None => chunks.push(piece),
            }
        }
        merger.finish(chunks);
    }
}

/// The first separator that the text holds, and those after it. Where it holds none,
/// the last one stands for all and nothing is cut finer.
fn choose<'a>(text: &str, separators: &'a [String]) -> (&'a str, Option<&'a [String]>) {
    for (at, separator) in separators.iter().enumerate() {
        if separator.is_empty() {
            return ("", None);
        }
        if text.contains(separator.as_str()) {
            return (separator, Some(&separators[at + 1..]));
        }
    }
    (separators.last().map_or("", String::as_str), None)
}

impl TextSplitter for Recursive {
    fn split(&self, text: &str, room: &mut Room) -> Vec<String> {
        let mut chunks = Chunks::of(text, room);
        if units::length(text.as_bytes()) < self.sizes.chunk {
            // All pieces would be merged again.
            chunks.push_trimmed(text);
        } else {
            self.cut(text, &self.separators, &mut chunks);
        }
        chunks.into_list()
    }
}
