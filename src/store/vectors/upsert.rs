//! A collection as nodes see it, and the writer of one upsert into it.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_nodes::retrieval::{Chunk, EmbeddedIndex, Hit, IndexWriter, VectorQuery};
use parlor_nodes::vector_index::{Filter, Search};
use parlor_nodes::{NodeError, TurnCtx};
use serde_json::Value;
use uuid::Uuid;

use super::collection::{Collection, fits};
use super::format::SegmentWriter;
use super::pool;

/// Longest vector; the longest that a provider makes is 4096.
const MAX_DIMENSIONS: usize = 65_536;

/// A collection that a node asked for. It stays open while anybody holds one.
pub(super) struct Handle(pub(super) Arc<Collection>);

impl EmbeddedIndex for Handle {
    fn known<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        let (snapshot, ids) = (self.0.snapshot(), ids.to_vec());
        pool::blocking(move || Ok(snapshot.known(&ids))).boxed()
    }

    fn writer(&self, n_dimensions: usize) -> Result<Box<dyn IndexWriter>, NodeError> {
        if n_dimensions == 0 || n_dimensions > MAX_DIMENSIONS {
            return Err(NodeError::BadRequest(format!(
                "vectors of {n_dimensions} dimensions cannot be stored; at most {MAX_DIMENSIONS} are possible"
            )));
        }
        fits(&self.0.snapshot(), n_dimensions)?;
        Ok(Box::new(Upsert {
            collection: self.0.clone(),
            n_dimensions,
            writer: None,
            is_broken: false,
        }))
    }

    fn delete<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<u64, NodeError>> {
        let (collection, ids) = (self.0.clone(), ids.to_vec());
        pool::blocking(move || collection.commit(None, &ids)).boxed()
    }

    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move {
            let (snapshot, filter) = (self.0.snapshot(), Filter::parse(filter)?);
            pool::blocking(move || Ok(snapshot.matching(&filter, most))).await
        }
        .boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        async move {
            let search = Search::new(query)?;
            let snapshot = self.0.snapshot();
            fits(&snapshot, search.n_dimensions())?;
            if search.needs_words() {
                pool::words(&snapshot).await?;
            }
            let wants_two = snapshot.is_worth_splitting();
            pool::tend(&snapshot);
            pool::search(wants_two, move |has_two| snapshot.search(&search, has_two)).await
        }
        .boxed()
    }
}

/// Writes one upsert: a segment that nobody sees before the commit.
struct Upsert {
    collection: Arc<Collection>,
    n_dimensions: usize,
    /// Made with the first chunks: an upsert of none leaves no file.
    writer: Option<SegmentWriter>,
    /// Chunks were lost: a commit would make half an upsert visible.
    is_broken: bool,
}

impl Upsert {
    fn refuse_bad(&self, chunks: &[Chunk]) -> Result<(), NodeError> {
        let expected = self.n_dimensions;
        for Chunk { vector, .. } in chunks {
            let found = vector.len();
            if found != expected {
                return Err(NodeError::BadRequest(format!(
                    "the embeddings made a vector of {found} dimensions after others of {expected}: all of one collection must have the same"
                )));
            }
            if !vector.iter().all(|x| x.is_finite()) {
                let problem = "the embeddings made a vector that holds something that is no number";
                return Err(NodeError::BadRequest(problem.to_owned()));
            }
        }
        Ok(())
    }
}

impl IndexWriter for Upsert {
    fn is_atomic(&self) -> bool {
        true
    }

    fn put<'a>(
        &'a mut self,
        chunks: Vec<Chunk>,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            if chunks.is_empty() {
                return Ok(());
            }
            // Until it is written, also when the caller leaves meanwhile.
            let was_broken = std::mem::replace(&mut self.is_broken, true);
            self.refuse_bad(&chunks)?;
            let (collection, n_dimensions) = (self.collection.clone(), self.n_dimensions);
            // After a failure there is no writer, and its files are gone.
            let writer = self.writer.take();
            let put = move || {
                let mut writer = match writer {
                    Some(writer) => writer,
                    None => collection.segment_writer(n_dimensions)?,
                };
                writer.put(&chunks)?;
                Ok(writer)
            };
            self.writer = Some(pool::blocking(put).await?);
            self.is_broken = was_broken;
            Ok(())
        }
        .boxed()
    }

    fn commit<'a>(
        self: Box<Self>,
        stale: Vec<Uuid>,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let Self { collection, writer, is_broken, .. } = *self;
        async move {
            if is_broken {
                let problem = "some of these chunks could not be written; begin the upsert again";
                return Err(NodeError::BadRequest(problem.to_owned()));
            }
            pool::blocking(move || collection.commit(writer, &stale)).await.map(drop)
        }
        .boxed()
    }
}
