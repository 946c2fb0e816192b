//! Reading the table.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use super::filter::{Bound, Condition};
use super::{Distance, Postgres};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, Hit, VectorQuery};
use crate::vector_stores::remote::{by_vector_only, id, other_dimension, score_of_squared};
use crate::wire::postgres::{Parameter, Row, Type};

pub(super) async fn known(
    index: &Postgres,
    ids: &[Uuid],
    ctx: &TurnCtx,
) -> Result<HashSet<Uuid>, NodeError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = format!("SELECT id::text FROM {} WHERE id = ANY($1)", index.table.name);
    let rows = index.server.rows(&statement, &[(&ids, Type::UUID_ARRAY)], ctx).await?;
    Ok(rows.iter().map(row_id).collect())
}

pub(super) async fn matching(
    index: &Postgres,
    filter: &Value,
    most: usize,
    ctx: &TurnCtx,
) -> Result<Vec<Uuid>, NodeError> {
    let condition = Condition::of(Some(filter), 2, &index.title)?;
    let statement =
        format!("SELECT id::text FROM {} WHERE {} LIMIT $1", index.table.name, condition.sql);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut parameters: Vec<Parameter> = vec![(&most, Type::INT8)];
    parameters.extend(condition.parameters.iter().map(Bound::parameter));
    Ok(index.server.rows(&statement, &parameters, ctx).await?.iter().map(row_id).collect())
}

pub(super) async fn nearest(
    index: &Postgres,
    query: &VectorQuery<'_>,
    ctx: &TurnCtx,
) -> Result<Vec<Hit>, NodeError> {
    by_vector_only(query, &index.title)?;
    let chat = query.chat.map(|chat| chat.as_str());
    let condition = Condition::of(query.filter, 3, &index.title)?.in_chat(chat, 3);
    let k = i64::try_from(query.k).unwrap_or(i64::MAX);
    let mut parameters: Vec<Parameter> =
        vec![(&query.vector, Type::FLOAT4_ARRAY), (&k, Type::INT8)];
    parameters.extend(condition.parameters.iter().map(Bound::parameter));
    let mut lease = index.server.lease(ctx).await?;
    for content in index.table.content_columns() {
        let statement = statement(index, content, &condition.sql, query.with_vectors);
        match lease.query(&statement, &parameters, ctx).await {
            Ok(rows) => return rows.iter().map(|row| hit(row, index.table.distance)).collect(),
            Err(refusal) if refusal.is_missing_table() => return Ok(Vec::new()),
            Err(refusal)
                if refusal.is_missing_column() && content != super::table::PAGE_CONTENT => {}
            Err(refusal) if refusal.is_wrong_dimension() => {
                return Err(other_dimension(&index.title, query.vector.len()));
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(Vec::new())
}

fn statement(index: &Postgres, content: &str, condition: &str, with_vectors: bool) -> String {
    let operator = match index.table.distance {
        Distance::Cosine => "<=>",
        Distance::Euclidean => "<->",
        Distance::InnerProduct => "<#>",
    };
    let distance = format!("embedding {operator} $1::real[]::vector");
    let vector = if with_vectors { "embedding::real[]" } else { "NULL::real[]" };
    // The order names the operator itself: only then an index can be used.
    format!(
        "SELECT id::text, {content}, metadata::text, ({distance})::float8, {vector} FROM {} \
         WHERE {condition} AND {content} IS NOT NULL AND embedding IS NOT NULL \
         ORDER BY {distance} LIMIT $2",
        index.table.name
    )
}

fn hit(row: &Row, distance: Distance) -> Result<Hit, NodeError> {
    let unreadable = |_| crate::wire::postgres::broken("holds a row that could not be read");
    let metadata: String = row.try_get(2).map_err(unreadable)?;
    let metadata = match serde_json::from_str(&metadata) {
        Ok(Value::Object(metadata)) => metadata,
        _ => serde_json::Map::new(),
    };
    let away: f64 = row.try_get(3).map_err(unreadable)?;
    Ok(Hit {
        id: row_id(row),
        document: Document::new(row.try_get::<_, String>(1).map_err(unreadable)?, metadata),
        score: match distance {
            // The casts keep what a score needs of the number.
            Distance::Cosine => (1.0 - away) as f32,
            Distance::Euclidean => score_of_squared(away * away),
            Distance::InnerProduct => -away as f32,
        },
        vector: row.try_get(4).map_err(unreadable)?,
    })
}

fn row_id(row: &Row) -> Uuid {
    row.try_get::<_, String>(0).map(|text| id(&text)).unwrap_or_default()
}
