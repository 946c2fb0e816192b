//! Reading an index.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Pinecone;
use super::plane::{Found, Plane};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, Hit, VectorQuery};
use crate::vector_stores::remote::{
    CHAT_KEY, by_vector_only, explained, id, object, score_of_squared,
};
use crate::wire::rest::if_found;
use crate::wire::uri::segment;

/// Ids in one address: 37 bytes each, with their key.
const MOST_IDS: usize = 100;
/// What Pinecone gives at most.
const MOST_MATCHES: usize = 10_000;

#[derive(Deserialize)]
struct Fetched {
    #[serde(default)]
    vectors: HashMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Matches {
    #[serde(default)]
    matches: Vec<Match>,
}

#[derive(Deserialize)]
struct Match {
    id: String,
    #[serde(default)]
    score: f64,
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    values: Vec<f32>,
}

pub(super) async fn known(
    plane: &Plane,
    namespace: Option<&str>,
    ids: &[Uuid],
    ctx: &TurnCtx,
) -> Result<HashSet<Uuid>, NodeError> {
    let mut known = HashSet::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let found = plane.found(ctx).await?;
    for ids in ids.chunks(MOST_IDS) {
        let ids: Vec<_> = ids.iter().map(|id| format!("ids={id}")).collect();
        let mut path = format!("/vectors/fetch?{}", ids.join("&"));
        if let Some(namespace) = namespace {
            path.push_str(&format!("&namespace={}", segment(namespace)));
        }
        let fetched =
            plane.ask(&found, ctx, async |rest| if_found(rest.get::<Fetched>(&path).await)).await?;
        known.extend(
            fetched.into_iter().flat_map(|fetched| fetched.vectors).map(|(key, _)| id(&key)),
        );
    }
    Ok(known)
}

/// Pinecone finds by filter only beside a vector: any will do.
pub(super) async fn matching(
    index: &Pinecone,
    filter: &Value,
    most: usize,
    ctx: &TurnCtx,
) -> Result<Vec<Uuid>, NodeError> {
    if filter.get("namespace").is_some() {
        return Err(NodeError::BadRequest(format!(
            "a filter of {} that names a namespace would select chunks of another one than the \
             node's; leave namespace out",
            index.title
        )));
    }
    let found = index.plane.found(ctx).await?;
    let mut vector = vec![0.0_f32; found.dimension.unwrap_or(1)];
    if let Some(first) = vector.first_mut() {
        *first = 1.0;
    }
    let body = json!({"vector": vector, "topK": most.clamp(1, MOST_MATCHES)});
    let (namespace, filter) = condition(index, Some(filter), None)?;
    let matches = matches(index, &found, body, namespace, filter, ctx).await?;
    Ok(matches.iter().map(|one| id(&one.id)).collect())
}

pub(super) async fn nearest(
    index: &Pinecone,
    query: &VectorQuery<'_>,
    ctx: &TurnCtx,
) -> Result<Vec<Hit>, NodeError> {
    by_vector_only(query, &index.title)?;
    let chat = query.chat.map(|chat| chat.as_str());
    let (namespace, filter) = condition(index, query.filter, chat)?;
    let body = json!({
        "vector": query.vector, "topK": query.k, "includeMetadata": true,
        "includeValues": query.with_vectors,
    });
    let found = index.plane.found(ctx).await?;
    let matches = matches(index, &found, body, namespace, filter, ctx).await;
    let matches = matches.map_err(|error| explained(error, &index.title, query.vector.len()))?;
    let hit = |one: Match| hit(index, &found, one);
    Ok(matches.into_iter().map(hit).collect())
}

async fn matches(
    index: &Pinecone,
    found: &Found,
    mut body: Value,
    namespace: Option<String>,
    filter: Option<Value>,
    ctx: &TurnCtx,
) -> Result<Vec<Match>, NodeError> {
    if let Some(namespace) = namespace {
        body["namespace"] = Value::String(namespace);
    }
    if let Some(filter) = filter {
        body["filter"] = filter;
    }
    let answer = index.plane.ask(found, ctx, async |rest| {
        // A namespace that is not there yet has nothing.
        if_found(rest.post::<Matches>("/query", &body).await)
    });
    Ok(answer.await?.map(|found| found.matches).unwrap_or_default())
}

fn hit(index: &Pinecone, found: &Found, one: Match) -> Hit {
    let mut metadata = one.metadata.unwrap_or_default();
    let content = match metadata.shift_remove(&index.text_key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    Hit {
        id: id(&one.id),
        document: Document::new(content, metadata),
        // The cast keeps what a score needs of the number.
        score: if found.is_euclidean { score_of_squared(one.score) } else { one.score as f32 },
        vector: Some(one.values).filter(|values| !values.is_empty()),
    }
}

/// The node's filter, and what belongs to this chat or to none; Flowise mixes
/// its own alternatives with those of the filter, here both hold. LangChain
/// takes a key `namespace` out of the filter, in place of the node's.
fn condition(
    index: &Pinecone,
    filter: Option<&Value>,
    chat: Option<&str>,
) -> Result<(Option<String>, Option<Value>), NodeError> {
    let mut filter = object(filter, "pineconeMetadataFilter", &index.title)?.cloned();
    let named = filter.as_mut().and_then(|filter| filter.shift_remove("namespace"));
    let namespace = match named {
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        _ => index.namespace.clone(),
    };
    let filter = filter.filter(|filter| !filter.is_empty()).map(Value::Object);
    let own = chat
        .map(|chat| json!({"$or": [{CHAT_KEY: {"$eq": chat}}, {CHAT_KEY: {"$exists": false}}]}));
    Ok((
        namespace,
        match (filter, own) {
            (filter, None) => filter,
            (None, own) => own,
            (Some(filter), Some(own)) => Some(json!({"$and": [filter, own]})),
        },
    ))
}
