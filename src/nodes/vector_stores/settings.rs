//! How a vector store is searched: `topK`, `searchType`, `fetchK`, `lambda`
//! and the node's metadata filter.

use serde_json::Value;

use crate::error::NodeError;
use crate::inputs::Inputs;

/// Hits of a search that says nothing of `topK` (Flowise 2.2.8).
const DEFAULT_TOP_K: usize = 4;
/// Most hits of one search.
pub const MAX_TOP_K: usize = 1_000;
/// Candidates of an MMR search that says nothing of `fetchK`.
const DEFAULT_FETCH_K: usize = 20;
/// Balance of an MMR search that says nothing of `lambda`.
const DEFAULT_LAMBDA: f32 = 0.5;

/// How a store is searched.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSettings {
    /// Hits, at least 1.
    pub top_k: usize,
    /// Which search.
    pub kind: SearchKind,
    /// The node's metadata filter, in the store's own language.
    pub filter: Option<Value>,
}

/// Which search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SearchKind {
    /// The nearest.
    Similarity,
    /// Near and unlike each other (maximal marginal relevance, Carbonell and
    /// Goldstein 1998).
    Mmr {
        /// Candidates to choose from.
        fetch_k: usize,
        /// 1 for the nearest, 0 for the most unlike.
        lambda: f32,
    },
    /// By vector and by words.
    Hybrid,
}

impl SearchSettings {
    /// Reads the settings; `filter_input` is the node's name for its filter.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] naming the setting.
    pub fn read(inputs: &Inputs, filter_input: &str) -> Result<Self, NodeError> {
        let top_k = count(inputs, "topK")?.unwrap_or(DEFAULT_TOP_K);
        let kind = match inputs.text("searchType").as_deref() {
            None | Some("similarity") => SearchKind::Similarity,
            Some("hybrid") => SearchKind::Hybrid,
            Some("mmr") => SearchKind::Mmr {
                fetch_k: count(inputs, "fetchK")?.unwrap_or(DEFAULT_FETCH_K).max(top_k),
                lambda: lambda(inputs)?,
            },
            Some(_) => return Err(inputs.bad("searchType", "must be similarity, mmr or hybrid")),
        };
        Ok(Self { top_k, kind, filter: inputs.json(filter_input)? })
    }
}

fn count(inputs: &Inputs, name: &str) -> Result<Option<usize>, NodeError> {
    let Some(count) = inputs.integer(name, 1)? else { return Ok(None) };
    match usize::try_from(count) {
        Ok(count) if count <= MAX_TOP_K => Ok(Some(count)),
        _ => Err(inputs.bad(name, format!("may be {MAX_TOP_K} at most"))),
    }
}

fn lambda(inputs: &Inputs) -> Result<f32, NodeError> {
    match inputs.number("lambda")? {
        None => Ok(DEFAULT_LAMBDA),
        // The cast keeps what a balance needs of the number.
        Some(lambda) if (0.0..=1.0).contains(&lambda) => Ok(lambda as f32),
        Some(_) => Err(inputs.bad("lambda", "must be a number from 0 to 1")),
    }
}
