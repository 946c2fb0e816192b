//! Parlor's own `hashingEmbeddings`: a hashed bag of words and of their
//! trigrams, made here and offline. It finds texts that share words or parts
//! of words with the question; it knows no synonyms. The vectors are the same
//! in every version, since stores keep them.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::bm25::for_each_word;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Embeddings;
use crate::spec::NodeSpec;
use crate::wire::vectors as wire;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "hashingEmbeddings",
    category: "Embeddings",
    version: 1.0,
    about: "Vectors by the words that texts share, made offline and without a model.",
    params: &[],
    credential: None,
    build,
};

const DIMENSIONS: usize = 384;
/// What a word of so few letters weighs: it is rarely what a text is about.
const SHORT: usize = 3;
const SHORT_WEIGHT: f32 = 0.3;
/// What a trigram weighs beside its word.
const TRIGRAM_WEIGHT: f32 = 0.4;
/// A batch computes for some milliseconds only.
const BATCH_SIZE: usize = 64;

struct Hashing;

fn build(_inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Embeddings(Arc::new(Hashing)))
}

impl Embeddings for Hashing {
    fn identity(&self) -> String {
        format!("hashing 1 of {DIMENSIONS} dimensions")
    }

    fn batch_size(&self) -> usize {
        BATCH_SIZE
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>> {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        vectors(texts).boxed()
    }

    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>> {
        let text = text.to_owned();
        async move { wire::only(SPEC.name, vectors(vec![text]).await?) }.boxed()
    }
}

/// Computed off the arbiter, since a text may be a whole book.
async fn vectors(texts: Vec<String>) -> Result<Vec<Vec<f32>>, NodeError> {
    let work = move || texts.iter().map(|text| vector(text)).collect();
    tokio::task::spawn_blocking(work).await.map_err(|_| NodeError::Cancelled)
}

/// A vector of length 1: signed counts of features, each at the place of its
/// hash (Weinberger and others, "Feature Hashing", 2009), dampened by their
/// logarithm.
fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSIONS];
    for (word, count) in words(text) {
        let n_chars = word.chars().count();
        let weight = if n_chars <= SHORT { SHORT_WEIGHT } else { 1.0 };
        let weight = weight * (1.0 + (count as f32).ln());
        add(&mut vector, &format!("w {word}"), weight);
        let marked: Vec<char> = format!("<{word}>").chars().collect();
        // As many trigrams as letters: together they weigh as much as a word.
        let share = weight * TRIGRAM_WEIGHT / (n_chars as f32).sqrt();
        for trigram in marked.windows(3) {
            add(&mut vector, &format!("t {}", String::from_iter(trigram)), share);
        }
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length == 0.0 {
        // No words: a direction all the same, since stores divide by the length.
        vector[0] = 1.0;
        return vector;
    }
    vector.iter().map(|x| x / length).collect()
}

/// The words in lower case with how often they occur, in order: sums of floats
/// depend on it.
fn words(text: &str) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut order: Vec<String> = Vec::new();
    for_each_word(text, |word| match counts.get_mut(word) {
        Some(count) => *count += 1,
        None => {
            counts.insert(word.to_owned(), 1);
            order.push(word.to_owned());
        }
    });
    let count = |word: String| {
        let count = counts.get(&word).copied().unwrap_or(1);
        (word, count)
    };
    order.into_iter().map(count).collect()
}

fn add(vector: &mut [f32], feature: &str, weight: f32) {
    let hash = fnv(feature);
    let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
    vector[(hash % DIMENSIONS as u64) as usize] += sign * weight;
}

/// FNV-1a of 64 bits, its high bits mixed into the low ones.
fn fnv(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(a: &str, b: &str) -> f32 {
        vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn a_question_is_nearest_to_the_text_that_shares_its_words() {
        let texts = [
            "The bakery opens at eight in the morning.",
            "The secret word of the document is PLUMAGE.",
            "Refunds are paid within thirty days of purchase.",
            "猫は庭で眠っています",
        ];
        for (question, expected) in [
            ("When does the bakery open?", 0),
            ("what is the Secret Word", 1),
            ("How long does a refund take after the purchase", 2),
            ("猫はどこ", 3),
        ] {
            let score = |text: &&str| likeness(question, text);
            let best = texts.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            assert_eq!(*best, texts[expected], "{question}");
        }
    }

    #[test]
    fn vectors_have_the_length_one_also_those_of_texts_without_words() {
        for text in ["one two two", "", " \n", "...", "é", &"long ".repeat(10_000)] {
            let length: f32 = vector(text).iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-4, "{text}: {length}");
            assert_eq!(vector(text).len(), DIMENSIONS);
        }
    }

    /// Stores keep vectors: a version that makes others must have another identity.
    #[test]
    fn vectors_do_not_change_with_the_version() {
        let vector = vector("Parlor, parlor 猫");
        let largest = |n: usize| {
            let mut places: Vec<usize> = (0..DIMENSIONS).collect();
            places.sort_by(|a, b| vector[*b].abs().total_cmp(&vector[*a].abs()));
            (places[n], (vector[places[n]] * 1000.0).round())
        };
        assert_eq!([largest(0), largest(1)], [(335, 914.0), (93, 162.0)]);
    }
}
