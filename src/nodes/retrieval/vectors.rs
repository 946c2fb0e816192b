//! Embeddings and vector indexes. An index knows vectors and documents by
//! their ids; what is written to it, and when, is decided by
//! [`crate::vector_stores`].

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use parlor_schemas::ChatId;
use serde_json::Value;
use uuid::Uuid;

use super::Document;
use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// A model that turns texts into vectors.
pub trait Embeddings: Send + Sync {
    /// Provider, model and settings in one text: vectors of two identities do
    /// not belong into one index.
    fn identity(&self) -> String;

    /// Most texts that one call takes.
    fn batch_size(&self) -> usize;

    /// The vectors of at most [`Self::batch_size`] texts, in order.
    ///
    /// # Errors
    /// The provider's; [`NodeError::UpstreamBroken`] when it sends another
    /// number of vectors than of texts, an empty one, or one that is not finite.
    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>>;

    /// The vector of a question.
    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>>;
}

/// A document with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Made of content and metadata: the same text is the same chunk.
    pub id: Uuid,
    /// Its vector.
    pub vector: Vec<f32>,
    /// The document.
    pub document: Document,
}

/// One collection of a vector store.
pub trait VectorIndex: Send + Sync {
    /// Type, address and collection: upserts of one identity run one after
    /// the other, from whichever chatflow. No secret in it.
    fn identity(&self, ctx: &TurnCtx) -> String;

    /// Which of these ids are there.
    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>>;

    /// Opens the collection for writing, made for vectors of `n_dimensions`
    /// where it is not there yet.
    ///
    /// # Errors
    /// The store's; [`NodeError::BadRequest`] where it holds vectors of
    /// another dimension, saying both.
    fn writer<'a>(
        &'a self,
        n_dimensions: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Box<dyn IndexWriter>, NodeError>>;

    /// Takes chunks out by id; unknown ids are left out.
    fn delete<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>>;

    /// Ids of the chunks whose metadata match a filter in the store's own
    /// language ([`VectorQuery::filter`]), at most `most`.
    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>>;

    /// The nearest chunks, best first. A collection that is not there yet has none.
    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>>;
}

/// Writes one upsert into an index.
pub trait IndexWriter: Send {
    /// True when nothing can be seen before [`Self::commit`] and all of it
    /// after, also across a crash. Otherwise the ids are in the ledger before
    /// they are written, and taken out again after a crash.
    fn is_atomic(&self) -> bool;

    /// Writes chunks; one of the same id is replaced.
    fn put<'a>(
        &'a mut self,
        chunks: Vec<Chunk>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>>;

    /// Ends the upsert: takes the stale chunks out and makes it all lasting.
    fn commit<'a>(
        self: Box<Self>,
        stale: Vec<Uuid>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>>;
}

/// A search.
#[derive(Debug, Clone)]
pub struct VectorQuery<'a> {
    /// Vector of the question.
    pub vector: &'a [f32],
    /// The question, for keyword search.
    pub text: &'a str,
    /// Most hits, at least 1.
    pub k: usize,
    /// A filter in the store's own language, as its node documents it.
    pub filter: Option<&'a Value>,
    /// With file uploads: only chunks of this chat (`flowise_chatId`) and
    /// those of no chat.
    pub chat: Option<&'a ChatId>,
    /// Whether hits carry their vectors, which MMR needs.
    pub with_vectors: bool,
    /// Which search.
    pub kind: QueryKind,
}

/// Which search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueryKind {
    /// By vector.
    #[default]
    Similarity,
    /// By vector and by words (BM25), the ranks fused. Only the embedded index
    /// has it; the others answer [`NodeError::Unsupported`].
    Hybrid,
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id; nil where the store keeps ids of another kind.
    pub id: Uuid,
    /// The document.
    pub document: Document,
    /// Similarity, greater is better: 1 for the same direction where the
    /// store measures cosine.
    pub score: f32,
    /// Its vector, where it was asked for.
    pub vector: Option<Vec<f32>>,
}

/// The indexes that Parlor keeps itself, in its data folder.
pub trait IndexShelf: Send + Sync {
    /// Opens a collection by name, made when it is first written to.
    fn open<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Arc<dyn EmbeddedIndex>, NodeError>>;
}

/// A collection on the shelf: [`VectorIndex`] without a turn.
pub trait EmbeddedIndex: Send + Sync {
    /// See [`VectorIndex::known`]. Looks off the arbiters.
    fn known<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>>;
    /// See [`VectorIndex::writer`].
    ///
    /// # Errors
    /// As there.
    fn writer(&self, n_dimensions: usize) -> Result<Box<dyn IndexWriter>, NodeError>;
    /// See [`VectorIndex::delete`]. Gives the number taken.
    fn delete<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<u64, NodeError>>;
    /// See [`VectorIndex::matching`]. Looks off the arbiters.
    ///
    /// # Errors
    /// [`NodeError::BadRequest`] for a filter that cannot be read.
    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>>;
    /// See [`VectorIndex::query`]. Computes off the arbiters.
    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>>;
}

/// The vectors that a provider sent for so many texts, if they can be used.
///
/// # Errors
/// [`NodeError::UpstreamBroken`] for another number of vectors, an empty one,
/// or one that is not finite.
pub(crate) fn check_vectors(
    provider: &str,
    n_texts: usize,
    vectors: Vec<Vec<f32>>,
) -> Result<Vec<Vec<f32>>, NodeError> {
    let broken =
        |problem: String| NodeError::UpstreamBroken { provider: provider.to_owned(), problem };
    if vectors.len() != n_texts {
        return Err(broken(format!("sent {} vectors for {n_texts} texts", vectors.len())));
    }
    for vector in &vectors {
        if vector.is_empty() {
            return Err(broken("sent an empty vector".to_owned()));
        }
        if !vector.iter().all(|x| x.is_finite()) {
            return Err(broken("sent a vector that holds no finite numbers".to_owned()));
        }
    }
    Ok(vectors)
}
