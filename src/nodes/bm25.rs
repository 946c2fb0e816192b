//! BM25: how well passages fit a question, by the words that they share.
//!
//! Source of the formula: Robertson and Zaragoza, "The Probabilistic Relevance
//! Framework" (2009), with the inverse document frequency `ln(1 + ...)` that
//! Lucene uses, which is never negative.

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Words of a question that count; more would make a long question slow.
const MAX_TERMS: usize = 32;
/// What a stop word weighs beside another word: enough to tell `my name` from
/// `your name`, and to find something for a question of stop words alone.
const STOP_WEIGHT: f64 = 0.1;
/// The share of the question's weight that a passage must hold. A word that
/// no passage has weighs most, so a question about something else finds nothing.
const MIN_COVERAGE: f64 = 0.35;
/// What a passage must score beside the best one.
const MIN_OF_BEST: f64 = 0.5;

const STOP_WORDS: &[&str] = &[
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "is", "it",
    "its", "me", "my", "of", "on", "or", "our", "please", "s", "she", "should", "so", "t", "tell",
    "that", "the", "their", "them", "there", "they", "this", "to", "was", "we", "were", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you",
    "your",
];

/// The passages that fit the question, as indices, best first. Of equally good
/// ones the later comes first: it is the newer word in a conversation.
pub(crate) fn rank(question: &str, passages: &[&str]) -> Vec<usize> {
    let terms = terms(question);
    let counts: Vec<Counts> = passages.iter().map(|text| Counts::of(text, &terms)).collect();
    let weights = weights(&terms, &counts);
    let least = MIN_COVERAGE * weights.iter().sum::<f64>();
    let n_words: u64 = counts.iter().map(|count| u64::from(count.n_words)).sum();
    let mean = n_words as f64 / counts.len().max(1) as f64;

    let fitting = counts.iter().enumerate().filter(|(_, count)| {
        let covered = count.coverage(&weights);
        covered > 0.0 && covered >= least
    });
    let mut ranked: Vec<(f64, usize)> =
        fitting.map(|(index, count)| (count.score(&weights, mean), index)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    let best = ranked.first().map_or(0.0, |(score, _)| *score);
    ranked.retain(|(score, _)| *score >= MIN_OF_BEST * best);
    ranked.into_iter().map(|(_, index)| index).collect()
}

/// A word of a question.
pub(crate) struct Term {
    /// Without an English plural's `s`.
    pub(crate) stem: String,
    /// Whether it says little of what is asked.
    pub(crate) is_stop: bool,
}

impl Term {
    /// What it weighs where `n_with` of `n_passages` have it: the rarer, the more.
    pub(crate) fn weight(&self, n_with: usize, n_passages: usize) -> f64 {
        let (n_with, n_passages) = (n_with as f64, n_passages as f64);
        let rarity = (1.0 + (n_passages - n_with + 0.5) / (n_with + 0.5)).ln();
        if self.is_stop { STOP_WEIGHT * rarity } else { rarity }
    }
}

/// What a term of this weight adds to a passage that has it `count` times.
pub(crate) fn gain(weight: f64, count: u32, n_words: u32, mean_words: f64) -> f64 {
    let count = f64::from(count);
    let length = 1.0 - B + B * f64::from(n_words) / mean_words;
    weight * count * (K1 + 1.0) / (count + K1 * length)
}

/// The different words of a question.
pub(crate) fn terms(question: &str) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for_each_word(question, |word| {
        let stem = singular(word);
        if terms.len() < MAX_TERMS && terms.iter().all(|term| term.stem != stem) {
            let is_stop = STOP_WORDS.binary_search(&word).is_ok();
            terms.push(Term { stem: stem.to_owned(), is_stop });
        }
    });
    terms
}

/// What every term weighs: the rarer, the more.
fn weights(terms: &[Term], counts: &[Counts]) -> Vec<f64> {
    let weight = |(index, term): (usize, &Term)| {
        let n_with = counts.iter().filter(|count| count.of_term[index] > 0).count();
        term.weight(n_with, counts.len())
    };
    terms.iter().enumerate().map(weight).collect()
}

/// How often a passage has the question's terms.
struct Counts {
    n_words: u32,
    of_term: Vec<u32>,
}

impl Counts {
    fn of(passage: &str, terms: &[Term]) -> Self {
        let mut counts = Self { n_words: 0, of_term: vec![0; terms.len()] };
        for_each_stem(passage, |stem| {
            counts.n_words = counts.n_words.saturating_add(1);
            if let Some(index) = terms.iter().position(|term| term.stem == stem) {
                counts.of_term[index] += 1;
            }
        });
        counts
    }

    fn coverage(&self, weights: &[f64]) -> f64 {
        let held = self.of_term.iter().zip(weights).filter(|(count, _)| **count > 0);
        held.map(|(_, weight)| weight).sum()
    }

    fn score(&self, weights: &[f64], mean_words: f64) -> f64 {
        let term = |(count, weight): (&u32, &f64)| gain(*weight, *count, self.n_words, mean_words);
        self.of_term.iter().zip(weights).map(term).sum()
    }
}

/// Calls `see` for every word without an English plural's `s`.
pub(crate) fn for_each_stem(text: &str, mut see: impl FnMut(&str)) {
    for_each_word(text, |word| see(singular(word)));
}

/// Calls `see` for every word in lower case. Han and kana are written without
/// spaces, so each of their characters is a word.
pub(crate) fn for_each_word(text: &str, mut see: impl FnMut(&str)) {
    let mut word = String::new();
    for ch in text.chars() {
        if !ch.is_alphanumeric() || is_han_or_kana(ch) {
            flush(&mut word, &mut see);
        }
        if ch.is_alphanumeric() {
            word.extend(ch.to_lowercase());
        }
        if is_han_or_kana(ch) {
            flush(&mut word, &mut see);
        }
    }
    flush(&mut word, &mut see);
}

fn flush(word: &mut String, see: &mut impl FnMut(&str)) {
    if !word.is_empty() {
        see(word);
        word.clear();
    }
}

fn is_han_or_kana(ch: char) -> bool {
    matches!(ch, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// The word without an English plural's `s`.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passage_with_the_questions_rarest_words_comes_first() {
        let passages = [
            "The shop sells socks and hats.",
            "The shop is closed on Sunday.",
            "Socks cost three euros in the shop.",
            "Wir öffnen um NEUN Uhr",
            "私の名前はアンです",
        ];
        for (question, expected) in [
            ("When is the shop closed?", vec![1]),
            ("What does a sock cost?", vec![2]),
            ("um neun?", vec![3]),
            ("Öffnen Sie um neun?", vec![3]),
            ("名前は?", vec![4]),
            ("Which planets have rings?", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(rank(question, &passages), expected, "{question}");
        }
    }

    #[test]
    fn of_equal_passages_the_later_wins_and_no_passage_is_no_answer() {
        assert_eq!(rank("name", &["My name is Ann", "My name is Bob"]), [1, 0]);
        assert_eq!(rank("name", &[]), [0_usize; 0]);
        assert_eq!(rank("name", &["", "..."]), [0_usize; 0]);
    }

    #[test]
    fn a_word_that_nobody_mentions_outweighs_one_that_is_mentioned() {
        assert_eq!(rank("capital of France", &["Berlin is the capital of Germany"]), [0_usize; 0]);
    }

    #[test]
    fn the_stop_words_are_sorted_for_the_search() {
        assert!(STOP_WORDS.is_sorted());
    }
}
