//! The words of a segment's contents: an inverted index for BM25.

use std::collections::HashMap;

use crate::bm25::{self, Term};
use crate::error::NodeError;

/// Longer words are data, not language.
const MAX_WORD_BYTES: usize = 64;

/// Which rows have which words.
#[derive(Debug, Default)]
pub(super) struct Words {
    postings: HashMap<Box<str>, Box<[Posting]>>,
    n_words: Vec<u32>,
}

/// A row that has a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Posting {
    pub(super) row: u32,
    pub(super) count: u32,
}

impl Words {
    /// The words of these contents, in the order of their rows.
    pub(super) fn of(
        contents: impl Iterator<Item = Result<String, NodeError>>,
    ) -> Result<Self, NodeError> {
        let mut growing: HashMap<Box<str>, Vec<Posting>> = HashMap::new();
        let mut n_words = Vec::new();
        for (row, content) in contents.enumerate() {
            let (row, mut n) = (row as u32, 0_u32);
            bm25::for_each_stem(&content?, |stem| {
                n = n.saturating_add(1);
                if stem.len() > MAX_WORD_BYTES {
                    return;
                }
                match growing.get_mut(stem) {
                    Some(rows) => note(rows, row),
                    None => drop(growing.insert(stem.into(), vec![Posting { row, count: 1 }])),
                }
            });
            n_words.push(n);
        }
        let shrunk = growing.into_iter().map(|(stem, rows)| (stem, rows.into_boxed_slice()));
        Ok(Self { postings: shrunk.collect(), n_words })
    }

    /// The rows that have a term.
    pub(super) fn rows_with(&self, term: &Term) -> &[Posting] {
        self.postings.get(term.stem.as_str()).map_or(&[], |rows| rows)
    }

    /// Words of a row.
    pub(super) fn n_words(&self, row: usize) -> u32 {
        self.n_words[row]
    }
}

fn note(rows: &mut Vec<Posting>, row: u32) {
    match rows.last_mut() {
        Some(last) if last.row == row => last.count = last.count.saturating_add(1),
        _ => rows.push(Posting { row, count: 1 }),
    }
}
