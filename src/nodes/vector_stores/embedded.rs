//! A collection of the embedded index as a vector store's index: opened by
//! name from the server's shelf when it is needed.

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_schemas::ChatflowId;
use serde_json::Value;
use uuid::Uuid;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::retrieval::{EmbeddedIndex, Hit, IndexWriter, VectorIndex, VectorQuery};
use crate::spec::{Kind, Param};

pub(super) use super::remote::{DOCUMENT, EMBEDDINGS, TOP_K};

/// Ours: which search, and what an MMR search needs.
pub(super) const SEARCH_TYPE: Param =
    Param::open("searchType", Kind::Choice(&["similarity", "mmr", "hybrid"]));
pub(super) const FETCH_K: Param = Param::open("fetchK", Kind::Integer);
pub(super) const LAMBDA: Param = Param::open("lambda", Kind::Number);
/// Ours: a filter as [`crate::vector_index::Filter`] reads it. It may be what
/// keeps tenants apart.
pub(super) const METADATA_FILTER: Param = Param::listed("metadataFilter", Kind::Json);

/// What the names of all collections of a chatflow's own begin with.
pub fn own_collections(chatflow: ChatflowId) -> String {
    format!("memory/{chatflow}/")
}

/// The chatflow whose own a collection of this name is.
pub fn owner(collection: &str) -> Option<ChatflowId> {
    let (chatflow, _) = collection.strip_prefix("memory/")?.split_once('/')?;
    ChatflowId::parse(chatflow).ok()
}

/// A collection by its name.
pub(super) struct Embedded {
    /// Label and id of the node, for errors.
    title: String,
    name: Name,
}

/// How a collection is named.
pub(super) enum Name {
    /// Of one node of one chatflow, filled by embeddings of this identity:
    /// with others it begins anew, since vectors of two do not mix.
    Own {
        /// Id of the node.
        node: String,
        /// [`crate::retrieval::Embeddings::identity`].
        embeddings: String,
    },
    /// Shared by all chatflows that name it so.
    Shared(String),
}

impl Embedded {
    pub(super) fn new(inputs: &Inputs, name: Name) -> Self {
        Self { title: inputs.title(), name }
    }

    async fn open(&self, ctx: &TurnCtx) -> Result<Arc<dyn EmbeddedIndex>, NodeError> {
        let shelf = ctx.services.shelf()?;
        shelf.open(&self.identity(ctx)).await.map_err(|error| self.named(error))
    }

    /// Errors of the index do not know whose it is.
    fn named(&self, error: NodeError) -> NodeError {
        match error {
            NodeError::BadRequest(problem) => {
                NodeError::BadRequest(format!("{}: {problem}", self.title))
            }
            other => other,
        }
    }
}

impl VectorIndex for Embedded {
    fn identity(&self, ctx: &TurnCtx) -> String {
        match &self.name {
            Name::Own { node, embeddings } => {
                format!("{}{node}/{embeddings}", own_collections(ctx.chatflow))
            }
            Name::Shared(name) => format!("faiss/{name}"),
        }
    }

    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        async move { self.open(ctx).await?.known(ids).await }.boxed()
    }

    fn writer<'a>(
        &'a self,
        n_dimensions: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Box<dyn IndexWriter>, NodeError>> {
        async move {
            let index = self.open(ctx).await?;
            index.writer(n_dimensions).map_err(|error| self.named(error))
        }
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move { self.open(ctx).await?.delete(ids).await.map(drop) }.boxed()
    }

    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move {
            let index = self.open(ctx).await?;
            index.matching(filter, most).await.map_err(|error| self.named(error))
        }
        .boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        async move {
            let index = self.open(ctx).await?;
            index.query(query).await.map_err(|error| self.named(error))
        }
        .boxed()
    }
}
