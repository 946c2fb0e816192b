//! A store that fills itself from its loaders before its first search.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{UpsertOptions, VectorStore};
use crate::ctx::TurnCtx;
use crate::error::NodeError;

impl VectorStore {
    /// Fills the store once, where it is one that fills itself. Searches that
    /// come meanwhile wait; after an error the next search tries again. It
    /// costs no embedding where all chunks are there from an earlier start.
    ///
    /// # Errors
    /// Those of [`VectorStore::upsert`].
    pub(super) async fn ensure_filled(&self, ctx: &TurnCtx) -> Result<(), NodeError> {
        if !self.fills_itself || self.loaders.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
            filled = self.filled.get_or_try_init(|| self.fill(ctx)) => filled.map(|_| ()),
        }
    }

    fn fill<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<(), NodeError>> {
        async move { self.upsert(UpsertOptions::default(), &(), ctx).await.map(|_| ()) }.boxed()
    }
}
