//! The outputs `document` and `text` of a retriever: what it finds for a typed
//! query, or for the question, as documents that other nodes read.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::find;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{DocumentLoader, Loaded, Retriever};

/// The built node that loads what `retriever` finds for the input `query`,
/// or for the person's question where that is empty.
pub fn found(inputs: &Inputs, retriever: impl Retriever + 'static) -> Instance {
    let query = inputs.text("query").filter(|query| !query.trim().is_empty());
    Instance::Loader(Arc::new(Found { retriever, query }))
}

struct Found<R> {
    retriever: R,
    query: Option<String>,
}

impl<R: Retriever> DocumentLoader for Found<R> {
    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        async move {
            let query = self.query.as_deref().unwrap_or(&ctx.question);
            let documents = find(&self.retriever, query, ctx).await?;
            Ok(Loaded { documents, ..Loaded::default() })
        }
        .boxed()
    }
}
