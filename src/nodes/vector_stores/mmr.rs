//! Maximal marginal relevance: hits that are near the question and unlike each
//! other (Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking",
//! 1998; the order of LangChain's `maximalMarginalRelevance`).

use crate::error::NodeError;
use crate::retrieval::Hit;
use crate::vector_index::{dot, unit};

/// At most `k` of the hits, in the order in which they are chosen. `lambda` is
/// 1 for the nearest and 0 for the most unlike; hits keep their scores.
///
/// # Errors
/// [`NodeError::Unsupported`] naming the store when a hit has no vector, or
/// one of another dimension than the question's.
pub(super) fn choose(
    store: &str,
    question: &[f32],
    hits: Vec<Hit>,
    k: usize,
    lambda: f32,
) -> Result<Vec<Hit>, NodeError> {
    let question = unit(question);
    let mut left = Vec::with_capacity(hits.len());
    for mut hit in hits {
        let vector = hit.vector.take().filter(|vector| vector.len() == question.len());
        let Some(vector) = vector else { return Err(no_vectors(store)) };
        let direction = unit(&vector);
        let nearness = dot(&question, &direction);
        left.push(Candidate { hit, direction, nearness, likeness: None });
    }
    let mut chosen = Vec::new();
    while chosen.len() < k {
        let Some(best) = best(&left, lambda) else { break };
        let best = left.remove(best);
        for candidate in &mut left {
            let likeness = dot(&best.direction, &candidate.direction);
            candidate.likeness = Some(candidate.likeness.map_or(likeness, |l| l.max(likeness)));
        }
        chosen.push(best.hit);
    }
    Ok(chosen)
}

struct Candidate {
    hit: Hit,
    direction: Vec<f32>,
    /// To the question.
    nearness: f32,
    /// To the most alike of those that are chosen.
    likeness: Option<f32>,
}

/// The place of the best; of equal ones the first.
fn best(candidates: &[Candidate], lambda: f32) -> Option<usize> {
    let worth = |candidate: &Candidate| match candidate.likeness {
        None => candidate.nearness,
        Some(likeness) => lambda * candidate.nearness - (1.0 - lambda) * likeness,
    };
    let worths = candidates.iter().map(worth).enumerate();
    let better = |best: (usize, f32), next: (usize, f32)| {
        if next.1.total_cmp(&best.1).is_gt() { next } else { best }
    };
    worths.reduce(better).map(|(place, _)| place)
}

fn no_vectors(store: &str) -> NodeError {
    NodeError::Unsupported(format!(
        "{store} gives no vectors back, so searchType mmr cannot be used; use similarity"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use uuid::Uuid;

    use super::*;
    use crate::retrieval::Document;

    fn hit(name: &str, vector: Option<&[f32]>) -> Hit {
        Hit {
            id: Uuid::nil(),
            document: Document::new(name, Map::new()),
            score: 0.5,
            vector: vector.map(<[f32]>::to_vec),
        }
    }

    fn chosen(k: usize, lambda: f32) -> Vec<String> {
        let hits = vec![
            hit("near", Some(&[2.0, 0.2, 0.0])),
            hit("twin", Some(&[1.0, 0.12, 0.0])),
            hit("cousin", Some(&[0.9, -0.4, 0.0])),
            hit("zero", Some(&[0.0, 0.0, 0.0])),
        ];
        let chosen = choose("store", &[1.0, 0.0, 0.0], hits, k, lambda).unwrap();
        chosen.into_iter().map(|hit| hit.document.page_content).collect()
    }

    #[test]
    fn the_nearest_comes_first_and_then_what_is_unlike_it() {
        assert_eq!(chosen(2, 0.5), ["near", "cousin"]);
        assert_eq!(chosen(3, 1.0), ["near", "twin", "cousin"]);
        assert_eq!(chosen(2, 0.0), ["near", "zero"]);
        assert_eq!(chosen(9, 0.5).len(), 4);
        assert_eq!(chosen(0, 0.5).len(), 0);
    }

    #[test]
    fn a_hit_without_its_vector_is_an_error_that_names_the_store() {
        for hit in [hit("a", None), hit("a", Some(&[1.0]))] {
            let error = choose("Qdrant (qdrant_0)", &[1.0, 0.0], vec![hit], 1, 0.5).unwrap_err();
            assert!(error.to_string().starts_with("Qdrant (qdrant_0) gives no vectors"), "{error}");
        }
    }
}
