//! Reading a collection.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Qdrant;
use crate::error::NodeError;
use crate::retrieval::{Document, Hit, VectorQuery};
use crate::vector_stores::remote::{
    CHAT_KEY, by_vector_only, explained, id, object, score_of_squared,
};
use crate::wire::rest::{Rest, if_found};

const MOST_IDS: usize = 1_000;

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

#[derive(Deserialize)]
struct Points {
    points: Vec<Point>,
}

/// A point. Its id is a UUID or, of other programs, a number.
#[derive(Deserialize)]
struct Point {
    id: Value,
    #[serde(default)]
    score: f64,
    payload: Option<Map<String, Value>>,
    vector: Option<Vec<f32>>,
}

impl Point {
    fn id(&self) -> Uuid {
        self.id.as_str().map(id).unwrap_or_default()
    }
}

pub(super) async fn known(ids: &[Uuid], rest: &Rest<'_>) -> Result<HashSet<Uuid>, NodeError> {
    let mut known = HashSet::new();
    for ids in ids.chunks(MOST_IDS) {
        let body = json!({"ids": ids, "with_payload": false, "with_vector": false});
        let found = if_found(rest.post::<Answer<Vec<Point>>>("/points", &body).await)?;
        known.extend(found.into_iter().flat_map(|found| found.result).map(|point| point.id()));
    }
    Ok(known)
}

pub(super) async fn matching(
    index: &Qdrant,
    filter: &Value,
    most: usize,
    rest: &Rest<'_>,
) -> Result<Vec<Uuid>, NodeError> {
    let filter = condition(index, Some(filter), None)?;
    let mut body = json!({"limit": most.max(1), "with_payload": false, "with_vector": false});
    if let Some(filter) = filter {
        body["filter"] = filter;
    }
    let found = if_found(rest.post::<Answer<Points>>("/points/scroll", &body).await)?;
    Ok(found.into_iter().flat_map(|found| found.result.points).map(|point| point.id()).collect())
}

pub(super) async fn nearest(
    index: &Qdrant,
    query: &VectorQuery<'_>,
    rest: &Rest<'_>,
) -> Result<Vec<Hit>, NodeError> {
    by_vector_only(query, &index.title)?;
    let chat = query.chat.map(|chat| chat.as_str());
    let mut body = json!({
        "limit": query.k, "with_payload": [index.metadata, index.content],
        "with_vector": query.with_vectors,
    });
    if let Some(filter) = condition(index, query.filter, chat)? {
        body["filter"] = filter;
    }
    let points = found(query.vector, body, rest).await;
    let points = points.map_err(|error| explained(error, &index.title, query.vector.len()))?;
    Ok(points.into_iter().map(|point| hit(index, point)).collect())
}

/// Asks as Qdrant 1.10 and later want it, and then as older ones do, which do
/// not know the first path. A collection that is not there is at neither.
async fn found(vector: &[f32], mut body: Value, rest: &Rest<'_>) -> Result<Vec<Point>, NodeError> {
    body["query"] = json!(vector);
    if let Some(found) = if_found(rest.post::<Answer<Points>>("/points/query", &body).await)? {
        return Ok(found.result.points);
    }
    body["vector"] = body["query"].take();
    if let Some(body) = body.as_object_mut() {
        body.remove("query");
    }
    let found = if_found(rest.post::<Answer<Vec<Point>>>("/points/search", &body).await)?;
    Ok(found.map(|found| found.result).unwrap_or_default())
}

fn hit(index: &Qdrant, mut point: Point) -> Hit {
    let payload = point.payload.take().unwrap_or_default();
    let metadata = payload.get(&index.metadata).and_then(Value::as_object);
    let content = payload.get(&index.content).and_then(Value::as_str).unwrap_or_default();
    Hit {
        id: point.id(),
        document: Document::new(content, metadata.cloned().unwrap_or_default()),
        score: match index.similarity {
            "Euclid" => score_of_squared(point.score * point.score),
            // The cast keeps what a score needs of the number.
            _ => point.score as f32,
        },
        vector: point.vector,
    }
}

/// The node's filter, and what belongs to this chat or to none. Flowise mixes
/// its own alternatives with those of the filter, and asks for a fixed key;
/// here both hold, under the node's own key.
fn condition(
    index: &Qdrant,
    filter: Option<&Value>,
    chat: Option<&str>,
) -> Result<Option<Value>, NodeError> {
    let filter = object(filter, "qdrantFilter", &index.title)?;
    let key = format!("{}.{CHAT_KEY}", index.metadata);
    let own = chat.map(|chat| {
        json!({"should": [
            {"key": key, "match": {"value": chat}},
            {"is_empty": {"key": key}},
        ]})
    });
    Ok(match (filter, own) {
        (None, own) => own,
        (Some(filter), None) => Some(Value::Object(filter.clone())),
        (Some(filter), Some(own)) => Some(json!({"must": [filter, own]})),
    })
}
