//! Flowise `pinecone`, version 5: a namespace of an index at Pinecone, over
//! its REST API, in the form of LangChain's Pinecone store. Pinecone is
//! eventually consistent: what was just written may take a moment to be found.

mod plane;
mod search;
mod write;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use uuid::Uuid;

use super::VectorStore;
use super::embedded::{FETCH_K, LAMBDA};
use super::remote::{DOCUMENT, EMBEDDINGS, FILE_UPLOAD, RECORD_MANAGER, TOP_K};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Hit, IndexWriter, VectorIndex, VectorQuery};
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::{Endpoint, Key};
use plane::Plane;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "pinecone",
    category: "Vector Stores",
    version: 5.0,
    about: "Finds chunks in an index at Pinecone.",
    params: &[
        DOCUMENT,
        EMBEDDINGS,
        RECORD_MANAGER,
        Param::closed("pineconeIndex", Kind::Text),
        Param::listed("pineconeNamespace", Kind::Text),
        FILE_UPLOAD,
        Param::closed("pineconeTextKey", Kind::Text),
        Param::listed("pineconeMetadataFilter", Kind::Json),
        TOP_K,
        Param::open("searchType", Kind::Choice(&["similarity", "mmr"])),
        FETCH_K,
        LAMBDA,
    ],
    credential: Some(&CredentialSpec {
        kind: "pineconeApi",
        fields: &[("pineconeApiKey", Some("PINECONE_API_KEY"))],
    }),
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let namespace = inputs.text("pineconeNamespace");
    let index = Pinecone {
        title: inputs.title(),
        plane: Arc::new(Plane::new(
            Endpoint {
                provider: "pinecone",
                public: Cow::Borrowed(plane::CONTROL),
                typed: None,
                key: Key::of(inputs, "", "pineconeApiKey"),
            },
            inputs.required_text("pineconeIndex")?.trim().to_owned(),
            inputs.optional_secret("pineconeApiKey").map(|(key, _)| key),
        )),
        namespace: namespace.clone(),
        text_key: inputs.text("pineconeTextKey").unwrap_or_else(|| "text".to_owned()),
    };
    let store = VectorStore::assemble(inputs, SPEC.name, index, "pineconeMetadataFilter")?;
    Ok(store.with_records_name(namespace).into_instance())
}

/// A namespace of an index; the nameless one with `None`.
struct Pinecone {
    title: String,
    plane: Arc<Plane>,
    namespace: Option<String>,
    text_key: String,
}

impl VectorIndex for Pinecone {
    fn identity(&self, ctx: &TurnCtx) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        format!("pinecone {} {namespace}", self.plane.identity(ctx))
    }

    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        async move { search::known(&self.plane, self.namespace.as_deref(), ids, ctx).await }.boxed()
    }

    fn writer<'a>(
        &'a self,
        n_dimensions: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Box<dyn IndexWriter>, NodeError>> {
        async move { write::open(self, n_dimensions, ctx).await }.boxed()
    }

    fn delete<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move { write::delete(self, ids, ctx).await }.boxed()
    }

    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move { search::matching(self, filter, most, ctx).await }.boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        async move { search::nearest(self, query, ctx).await }.boxed()
    }
}

#[cfg(test)]
mod tests;
