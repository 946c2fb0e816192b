//! Reading a collection.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::collection::Collection;
use super::{Chroma, metadata};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, Hit, VectorQuery};
use crate::vector_stores::remote::{by_vector_only, explained, id, object, same_dimension};
use crate::wire::rest::Rest;

const MOST_IDS: usize = 1_000;

#[derive(Deserialize)]
struct Found {
    ids: Vec<String>,
}

/// One list for each question that was asked, with a place for each hit.
type Lists<T> = Option<Vec<Vec<Option<T>>>>;

#[derive(Deserialize)]
struct Nearest {
    ids: Vec<Vec<String>>,
    distances: Lists<f64>,
    documents: Lists<String>,
    metadatas: Lists<Map<String, Value>>,
    embeddings: Lists<Vec<f32>>,
}

pub(super) async fn known(
    index: &Chroma,
    ids: &[Uuid],
    ctx: &TurnCtx,
) -> Result<HashSet<Uuid>, NodeError> {
    let rest = index.rest(ctx)?;
    match Collection::find(index, &rest).await? {
        Some(collection) => known_in(&collection, ids, &rest).await,
        None => Ok(HashSet::new()),
    }
}

pub(super) async fn known_in(
    collection: &Collection,
    ids: &[Uuid],
    rest: &Rest<'_>,
) -> Result<HashSet<Uuid>, NodeError> {
    let mut known = HashSet::new();
    for ids in ids.chunks(MOST_IDS) {
        let body = json!({"ids": ids, "include": []});
        let found: Found = rest.post(&collection.path("get"), &body).await?;
        known.extend(found.ids.iter().map(|text| id(text)));
    }
    Ok(known)
}

pub(super) async fn matching(
    index: &Chroma,
    filter: &Value,
    most: usize,
    ctx: &TurnCtx,
) -> Result<Vec<Uuid>, NodeError> {
    let rest = index.rest(ctx)?;
    let mut body = json!({"limit": most, "include": []});
    if let Some(filter) = condition(Some(filter), &index.title)? {
        body["where"] = filter;
    }
    let Some(collection) = Collection::find(index, &rest).await? else { return Ok(Vec::new()) };
    let found: Found = rest.post(&collection.path("get"), &body).await?;
    Ok(found.ids.iter().map(|text| id(text)).collect())
}

pub(super) async fn nearest(
    index: &Chroma,
    query: &VectorQuery<'_>,
    ctx: &TurnCtx,
) -> Result<Vec<Hit>, NodeError> {
    by_vector_only(query, &index.title)?;
    if query.chat.is_some() {
        // Flowise's node has no such switch, and Chroma no question for what is absent.
        let problem = format!("{} cannot keep the files of chats apart", index.title);
        return Err(NodeError::Unsupported(problem));
    }
    let mut body = json!({
        "query_embeddings": [query.vector], "n_results": query.k,
        "include": ["documents", "metadatas", "distances"],
    });
    if query.with_vectors {
        body["include"] = json!(["documents", "metadatas", "distances", "embeddings"]);
    }
    if let Some(filter) = condition(query.filter, &index.title)? {
        body["where"] = filter;
    }
    let rest = index.rest(ctx)?;
    let Some(collection) = Collection::find(index, &rest).await? else { return Ok(Vec::new()) };
    if collection.dimension.is_none() {
        return Ok(Vec::new());
    }
    same_dimension(&index.title, collection.dimension, query.vector.len())?;
    let found = rest.post(&collection.path("query"), &body).await;
    let found = found.map_err(|error| explained(error, &index.title, query.vector.len()))?;
    Ok(hits(found, &collection))
}

fn hits(found: Nearest, collection: &Collection) -> Vec<Hit> {
    let ids = found.ids.into_iter().next().unwrap_or_default();
    let mut distances = first(found.distances);
    let mut documents = first(found.documents);
    let mut metadatas = first(found.metadatas);
    let mut embeddings = first(found.embeddings);
    let hit = |text: String| {
        let metadata = metadatas.next().flatten().map(metadata::read).unwrap_or_default();
        let content = documents.next().flatten().unwrap_or_default();
        Hit {
            id: id(&text),
            document: Document::new(content, metadata),
            score: distances.next().flatten().map_or(0.0, |away| collection.score(away)),
            vector: embeddings.next().flatten(),
        }
    };
    ids.into_iter().map(hit).collect()
}

fn first<T>(lists: Lists<T>) -> std::vec::IntoIter<Option<T>> {
    lists.unwrap_or_default().into_iter().next().unwrap_or_default().into_iter()
}

/// The filter as Chroma's `where`, which takes one key: several are joined.
fn condition(filter: Option<&Value>, title: &str) -> Result<Option<Value>, NodeError> {
    let Some(filter) = object(filter, "chromaMetadataFilter", title)? else { return Ok(None) };
    if filter.len() == 1 {
        return Ok(Some(Value::Object(filter.clone())));
    }
    let parts: Vec<_> = filter
        .iter()
        .map(|(key, value)| Value::Object(Map::from_iter([(key.clone(), value.clone())])))
        .collect();
    Ok(Some(json!({"$and": parts})))
}
