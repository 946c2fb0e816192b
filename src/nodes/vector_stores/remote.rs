//! What the stores on other machines have in common: the inputs that all of
//! them have, scores out of distances, and errors.

use std::collections::HashSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::NodeError;
use crate::retrieval::{Chunk, QueryKind, VectorQuery};
use crate::spec::{Kind, Param};

pub(super) use crate::vector_index::CHAT_KEY;

pub(super) const DOCUMENT: Param = Param::closed("document", Kind::Nodes);
pub(super) const EMBEDDINGS: Param = Param::closed("embeddings", Kind::Node);
pub(super) const RECORD_MANAGER: Param = Param::closed("recordManager", Kind::Node);
pub(super) const FILE_UPLOAD: Param = Param::closed("fileUpload", Kind::Boolean);
pub(super) const TOP_K: Param = Param::open("topK", Kind::Integer);

/// The cosine of two vectors of length 1 whose distance, squared, this is. For
/// other vectors it still is greater the nearer they are.
pub(super) fn score_of_squared(distance: f64) -> f32 {
    // A score is shown and compared with a threshold; it needs no more digits.
    (1.0 - distance / 2.0) as f32
}

/// The id of a chunk; nil for one of another kind.
pub(super) fn id(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}

/// About how many bytes of JSON a chunk is.
pub(super) fn n_bytes(chunk: &Chunk) -> usize {
    const PER_NUMBER: usize = 13;
    let metadata = chunk.document.metadata.iter();
    let metadata: usize = metadata.map(|(key, value)| key.len() + value.to_string().len()).sum();
    chunk.vector.len() * PER_NUMBER + chunk.document.page_content.len() + metadata + 100
}

/// The chunks without those that a later one of the same id replaces: stores
/// refuse to write one twice in a call.
pub(super) fn last_of_each(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut seen = HashSet::with_capacity(chunks.len());
    chunks.reverse();
    chunks.retain(|chunk| seen.insert(chunk.id));
    chunks.reverse();
    chunks
}

/// Refuses a search that only the embedded index has.
///
/// # Errors
/// [`NodeError::Unsupported`].
pub(super) fn by_vector_only(query: &VectorQuery<'_>, title: &str) -> Result<(), NodeError> {
    match query.kind {
        QueryKind::Similarity => Ok(()),
        QueryKind::Hybrid => Err(NodeError::Unsupported(format!(
            "{title} searches by vector only; choose another searchType than hybrid"
        ))),
    }
}

/// Refuses vectors that do not fit into a collection.
///
/// # Errors
/// [`NodeError::BadRequest`] where what is there has another dimension.
pub(super) fn same_dimension(
    title: &str,
    there: Option<usize>,
    brought: usize,
) -> Result<(), NodeError> {
    match there {
        Some(there) if there != brought => Err(NodeError::BadRequest(format!(
            "{title} holds vectors of {there} dimensions, but its embeddings make {brought}; use \
             the embeddings that it was filled with, or another collection"
        ))),
        _ => Ok(()),
    }
}

/// A store's complaint about the length of a question's vector, in the words
/// of the others; any other error as it is.
pub(super) fn explained(error: NodeError, title: &str, n_dimensions: usize) -> NodeError {
    match &error {
        NodeError::UpstreamStatus { status: 400 | 422, message, .. }
            if message.to_lowercase().contains("dimension") =>
        {
            other_dimension(title, n_dimensions)
        }
        _ => error,
    }
}

/// A filter that is an object.
///
/// # Errors
/// [`NodeError::BadRequest`] for anything else.
pub(super) fn object<'a>(
    filter: Option<&'a Value>,
    input: &str,
    title: &str,
) -> Result<Option<&'a Map<String, Value>>, NodeError> {
    match filter {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(filter)) => Ok(Some(filter).filter(|filter| !filter.is_empty())),
        Some(_) => Err(NodeError::BadRequest(format!("{input} of {title} must be a JSON object"))),
    }
}

/// The error for a question of another dimension than what a store holds.
pub(super) fn other_dimension(title: &str, brought: usize) -> NodeError {
    NodeError::BadRequest(format!(
        "{title} holds vectors of another dimension than the {brought} of its embeddings; use the \
         embeddings that it was filled with, or another collection"
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::inputs::InputValue;
    use crate::instance::Instance;
    use crate::retrieval::Document;
    use crate::retrieval::fakes::FakeEmbeddings;
    use crate::test_support::node;

    /// Embeddings that nobody asks.
    pub(in crate::vector_stores) fn embeddings() -> InputValue {
        node(Instance::Embeddings(FakeEmbeddings::of_model("", 1)))
    }

    #[test]
    fn of_chunks_with_one_id_the_last_stays_in_its_place() {
        let chunk = |n: u128, text: &str| Chunk {
            id: Uuid::from_u128(n),
            vector: Vec::new(),
            document: Document::new(text, Map::new()),
        };
        let chunks = vec![chunk(1, "a"), chunk(2, "b"), chunk(1, "c")];

        let texts = last_of_each(chunks).into_iter().map(|chunk| chunk.document.page_content);

        assert_eq!(texts.collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn the_score_of_a_distance_is_the_cosine_of_unit_vectors() {
        let diagonal = (0.5_f64).sqrt();
        for (other, cosine) in
            [([1.0, 0.0], 1.0), ([0.0, 1.0], 0.0), ([diagonal, diagonal], diagonal)]
        {
            let squared = (1.0 - other[0]).powi(2) + other[1].powi(2);
            assert!((f64::from(score_of_squared(squared)) - cosine).abs() < 1e-6);
        }
    }
}
