//! The measurements.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use parlor_nodes::NodeError;
use parlor_nodes::retrieval::{Hit, QueryKind, VectorQuery};
use parlor_nodes::vector_index::{
    Bits, Live, Row, RowReader, Search, Segment, SegmentParts, Snapshot,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::corpus::Corpus;
use crate::dice::Dice;
use crate::usage::resident_bytes;

/// Questions before the clock runs.
const N_WARM: usize = 20;
const CHUNK_BYTES: usize = 1_000;
const OVERLAP_BYTES: usize = 200;

/// Contents in memory, where the server reads them from its segments.
struct Texts(Vec<String>);

impl RowReader for Texts {
    fn content(&self, row: usize) -> Result<String, NodeError> {
        Ok(self.0[row].clone())
    }

    fn vector(&self, _row: usize) -> Result<Vec<f32>, NodeError> {
        Ok(Vec::new())
    }
}

fn snapshot(vectors: &[f32], n_dimensions: usize, texts: Vec<String>) -> Snapshot {
    let mut parts = SegmentParts::with_capacity(texts.len(), n_dimensions);
    for (row, vector) in vectors.chunks_exact(n_dimensions).enumerate() {
        let metadata = format!(r#"{{"source":"made up","page":{}}}"#, row / 4);
        parts.push(&Row { id: Uuid::from_u128(row as u128), vector, metadata: &metadata });
    }
    let dead = Arc::new(Bits::none(texts.len()));
    let segment = Arc::new(Segment::new(parts, Box::new(Texts(texts))));
    Snapshot { n_dimensions, segments: vec![Live { segment, dead }] }
}

/// Times all questions; milliseconds, and the hits of each.
fn time(
    corpus: &Corpus,
    n_questions: usize,
    mut ask: impl FnMut(VectorQuery<'_>) -> Result<Vec<Hit>, NodeError>,
) -> anyhow::Result<(Value, Vec<Vec<u32>>)> {
    let all = corpus.questions.chunks_exact(corpus.n_dimensions).zip(&corpus.question_texts);
    let (mut took, mut found) = (Vec::new(), Vec::new());
    let warm = all.clone().take(N_WARM).map(|question| (question, true));
    let timed = all.take(n_questions).map(|question| (question, false));
    for ((vector, text), is_warm) in warm.chain(timed) {
        let query = VectorQuery {
            vector,
            text,
            k: 1,
            filter: None,
            chat: None,
            with_vectors: false,
            kind: QueryKind::Similarity,
        };
        let began = Instant::now();
        let hits = ask(query)?;
        if !is_warm {
            took.push(began.elapsed().as_secs_f64() * 1e3);
            found.push(hits.iter().map(|hit| hit.id.as_u128() as u32).collect());
        }
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    Ok((json!({"p50_ms": at(0.5), "p95_ms": at(0.95), "questions": took.len()}), found))
}

pub(super) fn searches(
    corpus: &Corpus,
    k: usize,
    write_to: Option<&Path>,
) -> anyhow::Result<Value> {
    let snapshot = snapshot(&corpus.vectors, corpus.n_dimensions, corpus.texts.clone());
    let search = |query: VectorQuery<'_>, may_split: bool| {
        snapshot.search(&Search::new(&VectorQuery { k, ..query })?, may_split)
    };
    let (one, found) = time(corpus, usize::MAX, |query| search(query, false))?;
    let (two, _) = time(corpus, usize::MAX, |query| search(query, true))?;
    let filter = json!({"page": {"$gte": 100}});
    let filtered =
        |query: VectorQuery<'_>| search(VectorQuery { filter: Some(&filter), ..query }, false);
    let (filtered, _) = time(corpus, 100, filtered)?;
    let began = Instant::now();
    let hybrid =
        |query: VectorQuery<'_>| search(VectorQuery { kind: QueryKind::Hybrid, ..query }, false);
    time(corpus, 1, hybrid)?;
    let words_s = began.elapsed().as_secs_f64();
    let (hybrid, _) = time(corpus, 100, hybrid)?;
    if let Some(path) = write_to {
        let bytes: Vec<u8> = found.iter().flatten().flat_map(|row| row.to_le_bytes()).collect();
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let began = Instant::now();
    let is_used = snapshot.segments[0].segment.build_graph(|| true);
    let graph_s = began.elapsed().as_secs_f64();
    let (mut graph, by_graph) = time(corpus, usize::MAX, |query| search(query, false))?;
    graph["recall"] = json!(recall(&by_graph, &found));
    graph["build_s"] = json!(graph_s);
    Ok(json!({
        "graph": graph, "graph_is_used": is_used,
        "exact_one_thread": one, "exact_two_threads": two, "exact_filtered": filtered,
        "hybrid": hybrid, "words_indexed_s": words_s, "resident_mb": resident_mb(),
    }))
}

/// The share of the exact rows that were found, too.
fn recall(found: &[Vec<u32>], exact: &[Vec<u32>]) -> f64 {
    let same = |(a, b): (&Vec<u32>, &Vec<u32>)| b.iter().filter(|row| a.contains(row)).count();
    let n_all: usize = exact.iter().map(Vec::len).sum();
    found.iter().zip(exact).map(same).sum::<usize>() as f64 / n_all.max(1) as f64
}

/// Text of this many megabytes, cut plainly and indexed with vectors of its
/// words' hashes: no model, so that only the index is measured.
pub(super) fn text(n_mb: usize) -> anyhow::Result<Value> {
    let before = resident_mb();
    let text = made_up_text(n_mb * 1_000_000);
    let began = Instant::now();
    let chunks: Vec<String> = (0..text.len())
        .step_by(CHUNK_BYTES - OVERLAP_BYTES)
        .map(|at| text[at..text.len().min(at + CHUNK_BYTES)].to_owned())
        .collect();
    drop(text);
    let (n_chunks, n_dimensions) = (chunks.len(), 384);
    let vectors: Vec<f32> = chunks.iter().flat_map(|chunk| hashed(chunk, n_dimensions)).collect();
    let cut_s = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let snapshot = snapshot(&vectors, n_dimensions, chunks);
    let indexed_s = began.elapsed().as_secs_f64();
    let question = VectorQuery {
        vector: &vectors[..n_dimensions],
        text: "what of it",
        k: 4,
        filter: None,
        chat: None,
        with_vectors: false,
        kind: QueryKind::Hybrid,
    };
    let search = Search::new(&question)?;
    drop(vectors);
    let began = Instant::now();
    snapshot.search(&search, false)?;
    let words_s = began.elapsed().as_secs_f64();
    Ok(json!({
        "megabytes": n_mb, "chunks": n_chunks, "cut_and_hashed_s": cut_s,
        "indexed_s": indexed_s, "words_indexed_s": words_s,
        "resident_before_mb": before, "resident_after_mb": resident_mb(),
    }))
}

fn hashed(text: &str, n_dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; n_dimensions];
    for word in text.split_ascii_whitespace() {
        let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        vector[(hash % n_dimensions as u64) as usize] += 1.0;
    }
    vector
}

/// Sentences of 20,000 different words, the common ones often.
fn made_up_text(n_bytes: usize) -> String {
    let mut dice = Dice(7);
    let mut text = String::with_capacity(n_bytes + 32);
    while text.len() < n_bytes {
        // A product of two even throws: small numbers come often.
        let word = (dice.number() % 142) * (dice.number() % 142);
        for syllable in [word % 11, word / 11 % 13, word / 143] {
            text.push_str(SYLLABLES[syllable as usize % SYLLABLES.len()]);
        }
        text.push_str(if dice.number().is_multiple_of(12) { ". " } else { " " });
    }
    text
}

const SYLLABLES: [&str; 17] = [
    "ba", "ke", "lo", "min", "sta", "ro", "tel", "vi", "un", "gra", "per", "so", "di", "ham", "ny",
    "qui", "ex",
];

fn resident_mb() -> f64 {
    resident_bytes(std::process::id()).map_or(0.0, |bytes| bytes as f64 / 1_048_576.0)
}
