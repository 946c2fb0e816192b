//! Writing the table: one upsert is one transaction, which its connection
//! undoes when it is dropped.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use uuid::Uuid;

use super::{Postgres, table};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Chunk, IndexWriter};
use crate::vector_stores::remote::{last_of_each, n_bytes};
use crate::wire::postgres::{Lease, Type};
use crate::wire::rest::batches;

/// Rows of one statement, and about the bytes of one.
const MOST_ROWS: usize = 500;
const MOST_BYTES: usize = 8 << 20;

/// Opens the table for one upsert.
pub(super) async fn open(
    index: &Postgres,
    n_dimensions: usize,
    ctx: &TurnCtx,
) -> Result<Box<dyn IndexWriter>, NodeError> {
    let mut lease = index.server.lease_to_write(ctx).await?;
    let content = table::ready(index, n_dimensions, &mut lease, ctx).await?;
    lease.begin(ctx).await?;
    let name = &index.table.name;
    Ok(Box::new(Upsert {
        lease,
        insert: format!(
            "INSERT INTO {name} (id, {content}, metadata, embedding) \
             SELECT c.id, c.content, c.metadata::jsonb, c.embedding::vector \
             FROM unnest($1, $2, $3, $4) AS c(id, content, metadata, embedding) \
             ON CONFLICT (id) DO UPDATE SET {content} = EXCLUDED.{content}, \
             metadata = EXCLUDED.metadata, embedding = EXCLUDED.embedding"
        ),
        delete: deletion(name),
    }))
}

/// Takes rows out.
pub(super) async fn delete(index: &Postgres, ids: &[Uuid], ctx: &TurnCtx) -> Result<(), NodeError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut lease = index.server.lease(ctx).await?;
    let statement = deletion(&index.table.name);
    match lease.execute(&statement, &[(&ids, Type::UUID_ARRAY)], ctx).await {
        Err(refusal) if refusal.is_missing_table() => Ok(()),
        taken => Ok(taken.map(drop)?),
    }
}

fn deletion(table: &str) -> String {
    format!("DELETE FROM {table} WHERE id = ANY($1)")
}

struct Upsert {
    lease: Lease,
    insert: String,
    delete: String,
}

impl IndexWriter for Upsert {
    fn is_atomic(&self) -> bool {
        true
    }

    fn put<'a>(
        &'a mut self,
        chunks: Vec<Chunk>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            for batch in batches(last_of_each(chunks), MOST_ROWS, MOST_BYTES, n_bytes) {
                let rows = Rows::of(batch);
                let parameters: [crate::wire::postgres::Parameter; 4] = [
                    (&rows.ids, Type::UUID_ARRAY),
                    (&rows.contents, Type::TEXT_ARRAY),
                    (&rows.metadata, Type::TEXT_ARRAY),
                    (&rows.vectors, Type::TEXT_ARRAY),
                ];
                self.lease.execute(&self.insert, &parameters, ctx).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn commit<'a>(
        mut self: Box<Self>,
        stale: Vec<Uuid>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            if !stale.is_empty() {
                self.lease.execute(&self.delete, &[(&stale, Type::UUID_ARRAY)], ctx).await?;
            }
            Ok(self.lease.commit(ctx).await?)
        }
        .boxed()
    }
}

/// Chunks as the columns of a statement.
struct Rows {
    ids: Vec<Uuid>,
    contents: Vec<String>,
    metadata: Vec<String>,
    vectors: Vec<String>,
}

impl Rows {
    fn of(chunks: Vec<Chunk>) -> Self {
        let n_rows = chunks.len();
        let mut rows = Self {
            ids: Vec::with_capacity(n_rows),
            contents: Vec::with_capacity(n_rows),
            metadata: Vec::with_capacity(n_rows),
            vectors: Vec::with_capacity(n_rows),
        };
        for chunk in chunks {
            rows.ids.push(chunk.id);
            rows.contents.push(chunk.document.page_content.replace('\0', ""));
            let mut metadata = Value::Object(chunk.document.metadata);
            without_nul(&mut metadata);
            rows.metadata.push(metadata.to_string());
            let numbers: Vec<_> = chunk.vector.iter().map(f32::to_string).collect();
            rows.vectors.push(format!("[{}]", numbers.join(",")));
        }
        rows
    }
}

/// PostgreSQL has no place for the character NUL, which PDFs like to hold.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', ""),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                let renamed = std::mem::take(map).into_iter();
                *map = renamed.map(|(key, value)| (key.replace('\0', ""), value)).collect();
            }
            map.values_mut().for_each(without_nul);
        }
        _ => {}
    }
}
