//! A store that fills itself from its loaders before its first search.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::upsert::Book;
use super::{UpsertOptions, VectorStore};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::vector_index::Snapshot;

impl VectorStore {
    /// Fills the store once, where it is one that fills itself. Searches that
    /// come meanwhile wait; after an error the next search tries again. It
    /// costs no embedding where all chunks are there from an earlier start.
    /// What a request brings is returned instead of kept.
    ///
    /// # Errors
    /// Those of [`VectorStore::upsert`].
    pub(super) async fn ensure_filled(
        &self,
        ctx: &TurnCtx,
    ) -> Result<Option<Arc<Snapshot>>, NodeError> {
        // Without loaders, too: what the last one brought is taken out.
        if !self.fills_itself {
            return Ok(None);
        }
        if self.is_fleeting() {
            return self.pass(ctx).boxed().await.map(|passing| Some(Arc::new(passing)));
        }
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
            filled = self.filled.get_or_try_init(|| self.fill(ctx)) => filled.cloned(),
        }
    }

    fn fill<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Option<Arc<Snapshot>>, NodeError>> {
        async move {
            if self.is_passing() {
                return self.pass(ctx).await.map(|passing| Some(Arc::new(passing)));
            }
            // Whoever sent the files to the upsert API has left the loaders empty.
            let may_lack = Book::open(self, ctx)?.knows_of_requests().await?;
            let options = UpsertOptions { may_lack, ..UpsertOptions::default() };
            self.upsert(options, &(), ctx).await.map(|_| None)
        }
        .boxed()
    }
}
