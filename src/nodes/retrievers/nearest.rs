//! The hits of a vector store that are near enough.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::retrieval::{Document, Retriever};
use crate::vector_stores::VectorStore;

/// Finds the hits of a store, those left out that are not near enough.
pub struct Nearest {
    /// The store.
    pub store: Arc<VectorStore>,
    /// Most hits; the store's own number with `None`.
    pub k: Option<usize>,
    /// The least similarity, 1 for the same direction; any with `None`.
    pub min_score: Option<f32>,
}

impl Retriever for Nearest {
    fn retrieve<'a>(
        &'a self,
        query: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Document>, NodeError>> {
        async move {
            let mut hits = self.store.hits(query, self.k, ctx).await?;
            if let Some(min_score) = self.min_score {
                hits.retain(|hit| hit.score >= min_score);
            }
            Ok(hits.into_iter().map(|hit| hit.document).collect())
        }
        .boxed()
    }
}

/// A similarity typed in as percent; `None` where it is absent or 0.
///
/// # Errors
/// [`NodeError::BadInput`] for anything but a number from 0 to 100.
pub fn percent(inputs: &Inputs, name: &str) -> Result<Option<f32>, NodeError> {
    match inputs.number(name)? {
        // The cast keeps what a similarity needs of the number.
        Some(percent) if (0.0..=100.0).contains(&percent) => {
            Ok(Some((percent / 100.0) as f32).filter(|score| *score > 0.0))
        }
        Some(_) => Err(inputs.bad(name, "must be a percentage from 0 to 100")),
        None => Ok(None),
    }
}
