//! Writing an index. Pinecone has no transactions.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Pinecone;
use super::plane::{Found, Plane};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Chunk, IndexWriter};
use crate::vector_stores::flat::flatten;
use crate::vector_stores::remote::{last_of_each, n_bytes, same_dimension};
use crate::wire::rest::{batches, if_found};

/// Vectors of one call, and about its bytes: Pinecone takes 2 MB.
const MOST_VECTORS: usize = 100;
const MOST_BYTES: usize = 1_500_000;
/// Ids of one deletion.
const MOST_IDS: usize = 1_000;

#[derive(Serialize)]
struct Vectors<'a> {
    vectors: Vec<Vector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
struct Vector {
    id: Uuid,
    values: Vec<f32>,
    metadata: Map<String, Value>,
}

pub(super) async fn open(
    index: &Pinecone,
    n_dimensions: usize,
    ctx: &TurnCtx,
) -> Result<Box<dyn IndexWriter>, NodeError> {
    let found = index.plane.found(ctx).await?;
    same_dimension(&index.title, found.dimension, n_dimensions)?;
    Ok(Box::new(Upsert {
        plane: Arc::clone(&index.plane),
        found,
        namespace: index.namespace.clone(),
        text_key: index.text_key.clone(),
    }))
}

pub(super) async fn delete(index: &Pinecone, ids: &[Uuid], ctx: &TurnCtx) -> Result<(), NodeError> {
    let found = index.plane.found(ctx).await?;
    take_out(&index.plane, &found, index.namespace.as_deref(), ids, ctx).await
}

async fn take_out(
    plane: &Plane,
    found: &Found,
    namespace: Option<&str>,
    ids: &[Uuid],
    ctx: &TurnCtx,
) -> Result<(), NodeError> {
    for ids in ids.chunks(MOST_IDS) {
        let mut body = json!({"ids": ids});
        if let Some(namespace) = namespace {
            body["namespace"] = json!(namespace);
        }
        let taken = plane.ask(found, ctx, async |rest| {
            if_found(rest.post::<Value>("/vectors/delete", &body).await)
        });
        taken.await?;
    }
    Ok(())
}

struct Upsert {
    plane: Arc<Plane>,
    found: Arc<Found>,
    namespace: Option<String>,
    text_key: String,
}

impl Upsert {
    fn vector(&self, chunk: Chunk) -> Vector {
        let mut metadata = flatten(&chunk.document.metadata, true);
        metadata.insert(self.text_key.clone(), Value::String(chunk.document.page_content));
        Vector { id: chunk.id, values: chunk.vector, metadata }
    }
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
            for batch in batches(last_of_each(chunks), MOST_VECTORS, MOST_BYTES, n_bytes) {
                let vectors = batch.into_iter().map(|chunk| self.vector(chunk)).collect();
                let body = Vectors { vectors, namespace: self.namespace.as_deref() };
                let written = self.plane.ask(&self.found, ctx, async |rest| {
                    rest.post::<Value>("/vectors/upsert", &body).await
                });
                written.await?;
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
        async move {
            let namespace = self.namespace.as_deref();
            take_out(&self.plane, &self.found, namespace, &stale, ctx).await
        }
        .boxed()
    }
}
