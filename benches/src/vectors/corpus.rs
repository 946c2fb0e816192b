//! Vectors to search in and to search for.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::dice::Dice;

const N_DIMENSIONS: usize = 384;
const N_QUESTIONS: usize = 200;

/// Vectors row after row, texts and questions.
pub(super) struct Corpus {
    pub(super) n_dimensions: usize,
    pub(super) vectors: Vec<f32>,
    pub(super) texts: Vec<String>,
    pub(super) questions: Vec<f32>,
    pub(super) question_texts: Vec<String>,
}

impl Corpus {
    pub(super) fn n_rows(&self) -> usize {
        self.vectors.len() / self.n_dimensions
    }

    /// What `embed.py` wrote, `most` rows of it.
    pub(super) fn read(folder: &Path, most: usize) -> anyhow::Result<Self> {
        let mut vectors = numbers(&folder.join("vectors.f32"))?;
        vectors.truncate(most.saturating_mul(N_DIMENSIONS));
        let mut corpus = Self {
            n_dimensions: N_DIMENSIONS,
            vectors,
            texts: lines(&folder.join("texts.txt"))?,
            questions: numbers(&folder.join("questions.f32"))?,
            question_texts: lines(&folder.join("questions.txt"))?,
        };
        let n_rows = corpus.n_rows();
        corpus.texts.truncate(n_rows);
        let n_questions = corpus.questions.len() / N_DIMENSIONS;
        let fits = corpus.texts.len() == n_rows && corpus.question_texts.len() == n_questions;
        ensure!(fits && n_rows > 0, "the files of the folder do not belong together");
        Ok(corpus)
    }

    /// Vectors in groups, as embeddings are: each is one of a thousand centres
    /// and as much noise again.
    pub(super) fn made_up(n_rows: usize) -> Self {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let centres: Vec<f32> = (0..1_000 * N_DIMENSIONS).map(|_| dice.throw()).collect();
        let mut row = || {
            let at = (dice.number() % 1_000) as usize * N_DIMENSIONS;
            let near = centres[at..at + N_DIMENSIONS].iter();
            near.map(|x| x + dice.throw()).collect::<Vec<_>>()
        };
        let vectors = (0..n_rows).flat_map(|_| row()).collect();
        let questions = (0..N_QUESTIONS).flat_map(|_| row()).collect();
        let text = |n: usize| format!("row {n} of group {}", n % 97);
        Self {
            n_dimensions: N_DIMENSIONS,
            vectors,
            texts: (0..n_rows).map(text).collect(),
            questions,
            question_texts: (0..N_QUESTIONS).map(text).collect(),
        }
    }
}

fn numbers(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty() && numbers.len() % N_DIMENSIONS == 0, "{} is cut", path.display());
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}
