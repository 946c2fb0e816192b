//! Searching a vector store.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::passing::blocking;
use super::{SearchKind, VectorStore, mmr};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Document, Hit, QueryKind, Retriever, VectorQuery};
use crate::vector_index::Search;

impl VectorStore {
    /// The hits of a search as the node says, best first; `k` in place of its `topK`.
    ///
    /// # Errors
    /// The embeddings' and the store's, and where it fills itself before its
    /// first search those of an upsert.
    pub async fn hits(
        &self,
        query: &str,
        k: Option<usize>,
        ctx: &TurnCtx,
    ) -> Result<Vec<Hit>, NodeError> {
        let passing = self.ensure_filled(ctx).await?;
        let k = k.unwrap_or(self.search.top_k).max(1);
        let vector = self.embeddings.embed_query(query, ctx).await?;
        let (fetched, kind, with_vectors) = match self.search.kind {
            SearchKind::Similarity => (k, QueryKind::Similarity, false),
            SearchKind::Hybrid => (k, QueryKind::Hybrid, false),
            SearchKind::Mmr { fetch_k, .. } => (fetch_k.max(k), QueryKind::Similarity, true),
        };
        let query = VectorQuery {
            vector: &vector,
            text: query,
            k: fetched,
            filter: self.search.filter.as_ref(),
            chat: self.by_chat.then_some(&ctx.chat_id),
            with_vectors,
            kind,
        };
        let hits = match passing {
            Some(passing) => {
                let search = Search::new(&query)?;
                blocking(move || passing.search(&search, false)).await?
            }
            None => self.index.query(&query, ctx).await?,
        };
        match self.search.kind {
            SearchKind::Mmr { lambda, .. } => {
                let title = self.title.clone();
                blocking(move || mmr::choose(&title, &vector, hits, k, lambda)).await
            }
            SearchKind::Similarity | SearchKind::Hybrid => Ok(hits),
        }
    }
}

impl Retriever for VectorStore {
    fn retrieve<'a>(
        &'a self,
        query: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Document>, NodeError>> {
        async move {
            let hits = self.hits(query, None, ctx).await?;
            Ok(hits.into_iter().map(|hit| hit.document).collect())
        }
        .boxed()
    }
}
