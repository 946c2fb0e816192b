//! Writing a collection. Qdrant has no transactions.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{MOST_POINTS, Qdrant};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Chunk, IndexWriter};
use crate::vector_stores::remote::{last_of_each, n_bytes, same_dimension};
use crate::wire::rest::{Rest, batches, if_found};

/// About the bytes of one call; servers take 32 MiB by default.
const MOST_BYTES: usize = 16 << 20;

#[derive(Serialize)]
struct Points {
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    id: Uuid,
    vector: Vec<f32>,
    payload: Map<String, Value>,
}

pub(super) async fn open(
    index: &Qdrant,
    n_dimensions: usize,
    ctx: &TurnCtx,
) -> Result<Box<dyn IndexWriter>, NodeError> {
    let rest = index.rest(ctx)?;
    let there = match if_found(rest.get::<Value>("").await)? {
        Some(found) => found.pointer("/result/config/params/vectors/size").and_then(Value::as_u64),
        None => {
            make(index, n_dimensions, &rest).await?;
            None
        }
    };
    let there = there.and_then(|size| usize::try_from(size).ok());
    same_dimension(&index.title, there, n_dimensions)?;
    Ok(Box::new(Upsert { index: index.clone() }))
}

async fn make(index: &Qdrant, n_dimensions: usize, rest: &Rest<'_>) -> Result<(), NodeError> {
    let mut body = index.configuration.clone();
    let vectors = body.get("vectors").and_then(Value::as_object);
    let mut vectors = vectors.cloned().unwrap_or_default();
    vectors.insert("size".to_owned(), json!(n_dimensions));
    vectors.insert("distance".to_owned(), json!(index.similarity));
    body.insert("vectors".to_owned(), Value::Object(vectors));
    match rest.put::<Value>("", &body).await {
        // Another upsert made it a moment ago.
        Err(NodeError::UpstreamStatus { status: 409, .. }) => Ok(()),
        made => made.map(|_| ()),
    }
}

pub(super) async fn take_out(ids: &[Uuid], rest: &Rest<'_>) -> Result<(), NodeError> {
    for ids in ids.chunks(MOST_POINTS) {
        let body = json!({"points": ids});
        let _: Option<Value> = if_found(rest.post("/points/delete?wait=true", &body).await)?;
    }
    Ok(())
}

struct Upsert {
    index: Qdrant,
}

impl Upsert {
    fn point(&self, chunk: Chunk) -> Point {
        let payload = [
            (self.index.content.clone(), Value::String(chunk.document.page_content)),
            (self.index.metadata.clone(), Value::Object(chunk.document.metadata)),
        ];
        Point { id: chunk.id, vector: chunk.vector, payload: payload.into_iter().collect() }
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
            let rest = self.index.rest(ctx)?;
            for batch in batches(last_of_each(chunks), self.index.most, MOST_BYTES, n_bytes) {
                let points = batch.into_iter().map(|chunk| self.point(chunk)).collect();
                let _: Value = rest.put("/points?wait=true", &Points { points }).await?;
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
        async move { take_out(&stale, &self.index.rest(ctx)?).await }.boxed()
    }
}
