//! Documents that a request brings to a store that fills itself: searched for
//! this request, kept by nobody, and seen by no other.

use std::sync::Arc;

use super::VectorStore;
use super::upsert::{Gathered, gather};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Origin, check_vectors};
use crate::vector_index::{Bits, Live, Row, RowReader, Segment, SegmentParts, Snapshot};

/// Chunks that are embedded for one question; more belong into an upsert.
const MAX_CHUNKS: usize = 2_000;

/// Contents and vectors in memory.
struct Kept(Vec<(String, Vec<f32>)>);

impl RowReader for Kept {
    fn content(&self, row: usize) -> Result<String, NodeError> {
        Ok(self.0[row].0.clone())
    }

    fn vector(&self, row: usize) -> Result<Vec<f32>, NodeError> {
        Ok(self.0[row].1.clone())
    }
}

impl VectorStore {
    /// Whether a loader holds what this request brought, or finds what it asks for.
    pub(super) fn is_passing(&self) -> bool {
        self.loaders.iter().any(|loader| !matches!(loader.origin(), Some(Origin::Chatflow(_))))
    }

    /// Whether a loader brings something else for every question. The node may
    /// be shared then, although nothing that it brings is.
    pub(super) fn is_fleeting(&self) -> bool {
        self.loaders.iter().any(|loader| loader.origin().is_none())
    }

    /// All that the loaders bring, embedded for this request.
    ///
    /// # Errors
    /// The loaders' and the embeddings'; [`NodeError::BadRequest`] for too much.
    pub(super) async fn pass(&self, ctx: &TurnCtx) -> Result<Snapshot, NodeError> {
        let gathered = gather(self, ctx).await?;
        if gathered.documents.len() > MAX_CHUNKS {
            return Err(NodeError::BadRequest(format!(
                "{}: the documents of this request are cut into more than {MAX_CHUNKS} chunks; \
                 send them to the upsert API first",
                self.title
            )));
        }
        let mut vectors = Vec::with_capacity(gathered.documents.len());
        for batch in gathered.documents.chunks(self.embeddings.batch_size().max(1)) {
            let texts: Vec<&str> = batch.iter().map(|doc| doc.page_content.as_str()).collect();
            let found = self.embeddings.embed(&texts, ctx).await?;
            vectors.extend(check_vectors("the embeddings", texts.len(), found)?);
        }
        blocking(move || Ok(snapshot(gathered, vectors))).await
    }
}

/// Work on many vectors, off the arbiter.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    // It breaks off only when it panicked, which the log tells, or the runtime ends.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!("work on vectors broke off: {error}");
        Err(NodeError::Unsupported("vectors could not be worked on; see the log".to_owned()))
    })
}

fn snapshot(gathered: Gathered, vectors: Vec<Vec<f32>>) -> Snapshot {
    let n_dimensions = vectors.first().map_or(0, Vec::len);
    let mut parts = SegmentParts::with_capacity(vectors.len(), n_dimensions);
    for ((id, document), vector) in gathered.ids.iter().zip(&gathered.documents).zip(&vectors) {
        // Metadata are texts and trees, which have no way to fail.
        let metadata = serde_json::to_string(&document.metadata).unwrap_or_default();
        parts.push(&Row { id: *id, vector, metadata: &metadata });
    }
    let contents = gathered.documents.into_iter().map(|document| document.page_content);
    let kept: Vec<_> = contents.zip(vectors).collect();
    let dead = Arc::new(Bits::none(kept.len()));
    let segment = Arc::new(Segment::new(parts, Box::new(Kept(kept))));
    Snapshot { n_dimensions, segments: vec![Live { segment, dead }] }
}
