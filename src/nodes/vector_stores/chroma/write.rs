//! Writing a collection. Chroma has no transactions.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::collection::Collection;
use super::{Chroma, metadata};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Chunk, IndexWriter};
use crate::vector_stores::remote::{last_of_each, n_bytes, same_dimension};
use crate::wire::rest::{Rest, batches};

/// Chunks of one call, and about its bytes: servers take some thousand chunks
/// and 40 MiB by default.
const MOST_CHUNKS: usize = 500;
const MOST_BYTES: usize = 16 << 20;

#[derive(Serialize)]
struct Records {
    ids: Vec<Uuid>,
    embeddings: Vec<Vec<f32>>,
    documents: Vec<String>,
    metadatas: Vec<Option<Map<String, Value>>>,
}

pub(super) async fn open(
    index: &Chroma,
    n_dimensions: usize,
    ctx: &TurnCtx,
) -> Result<Box<dyn IndexWriter>, NodeError> {
    let rest = index.rest(ctx)?;
    let collection = Collection::ensure(index, &rest).await?;
    same_dimension(&index.title, collection.dimension, n_dimensions)?;
    Ok(Box::new(Upsert { index: index.clone(), collection }))
}

pub(super) async fn delete(index: &Chroma, ids: &[Uuid], ctx: &TurnCtx) -> Result<(), NodeError> {
    let rest = index.rest(ctx)?;
    match Collection::find(index, &rest).await? {
        Some(collection) => take_out(&collection, ids, &rest).await,
        None => Ok(()),
    }
}

async fn take_out(collection: &Collection, ids: &[Uuid], rest: &Rest<'_>) -> Result<(), NodeError> {
    for ids in ids.chunks(MOST_CHUNKS) {
        let _: Value = rest.post(&collection.path("delete"), &json!({"ids": ids})).await?;
    }
    Ok(())
}

struct Upsert {
    index: Chroma,
    collection: Collection,
}

impl IndexWriter for Upsert {
    fn is_atomic(&self) -> bool {
        false
    }

    fn put<'a>(
        &'a mut self,
        chunks: Vec<Chunk>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            let rest = self.index.rest(ctx)?;
            for batch in batches(last_of_each(chunks), MOST_CHUNKS, MOST_BYTES, n_bytes) {
                let _: Value = rest.post(&self.collection.path("upsert"), &records(batch)).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn commit<'a>(
        self: Box<Self>,
        stale: Vec<Uuid>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move { take_out(&self.collection, &stale, &self.index.rest(ctx)?).await }.boxed()
    }
}

fn records(chunks: Vec<Chunk>) -> Records {
    let mut records = Records {
        ids: Vec::with_capacity(chunks.len()),
        embeddings: Vec::with_capacity(chunks.len()),
        documents: Vec::with_capacity(chunks.len()),
        metadatas: Vec::with_capacity(chunks.len()),
    };
    for chunk in chunks {
        records.ids.push(chunk.id);
        records.embeddings.push(chunk.vector);
        records.metadatas.push(metadata::stored(&chunk.document.metadata));
        records.documents.push(chunk.document.page_content);
    }
    records
}
