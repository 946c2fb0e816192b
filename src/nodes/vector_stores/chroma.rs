//! Flowise `chroma`, version 2: a collection of a Chroma server, over version
//! 2 of its HTTP API, in the form of LangChain's Chroma store.

mod collection;
mod metadata;
mod search;
mod write;

use std::borrow::Cow;
use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use super::VectorStore;
use super::remote::{DOCUMENT, EMBEDDINGS, RECORD_MANAGER, TOP_K};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Hit, IndexWriter, VectorIndex, VectorQuery};
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::http::Call;
use crate::wire::rest::{Rest, public_address, secret_header};
use crate::wire::uri::segment;
use crate::wire::{DEFAULT_TIMEOUT, Endpoint, Key};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chroma",
    category: "Vector Stores",
    version: 2.0,
    about: "Finds chunks in a collection of a Chroma server.",
    params: &[
        DOCUMENT,
        EMBEDDINGS,
        RECORD_MANAGER,
        Param::closed("collectionName", Kind::Text),
        Param::closed("chromaURL", Kind::Text),
        Param::listed("chromaMetadataFilter", Kind::Json),
        TOP_K,
    ],
    credential: Some(&CredentialSpec {
        kind: "chromaApi",
        fields: &[
            ("chromaApiKey", Some("CHROMA_API_KEY")),
            ("chromaTenant", None),
            ("chromaDatabase", None),
        ],
    }),
    build,
};

const DEFAULT_URL: &str = "http://localhost:8000";
const DEFAULT_TENANT: &str = "default_tenant";
const DEFAULT_DATABASE: &str = "default_database";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let collection = inputs.required_text("collectionName")?.trim().to_owned();
    let field = |name: &str, default: &str| {
        inputs.optional_secret(name).map_or_else(|| default.to_owned(), |(value, _)| value)
    };
    let index = Chroma {
        title: inputs.title(),
        endpoint: Endpoint {
            provider: "chroma",
            public: Cow::Borrowed(DEFAULT_URL),
            typed: inputs.text("chromaURL").map(|url| url.trim().to_owned()),
            key: Key::of(inputs, "", "chromaApiKey").or_none(),
        },
        tenant: field("chromaTenant", DEFAULT_TENANT),
        database: field("chromaDatabase", DEFAULT_DATABASE),
        secrets: inputs.optional_secret("chromaApiKey").map(|(key, _)| key).into_iter().collect(),
        collection: collection.clone(),
    };
    let store = VectorStore::assemble(inputs, SPEC.name, index, "chromaMetadataFilter")?;
    Ok(store.with_records_name(Some(collection)).into_instance())
}

/// A collection.
#[derive(Clone)]
struct Chroma {
    title: String,
    endpoint: Endpoint,
    tenant: String,
    database: String,
    collection: String,
    secrets: Vec<String>,
}

impl Chroma {
    fn rest<'a>(&'a self, ctx: &'a TurnCtx) -> Result<Rest<'a>, NodeError> {
        let (address, key) = self.endpoint.resolve(ctx)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            // The first is what Flowise sends, the second what Chroma's cloud reads.
            secret_header(&mut headers, "authorization", &format!("Bearer {key}"))?;
            secret_header(&mut headers, "x-chroma-token", key)?;
        }
        let (tenant, database) = (segment(&self.tenant), segment(&self.database));
        Ok(Rest {
            call: Call::new("Chroma", ctx, DEFAULT_TIMEOUT, &self.secrets),
            base: format!("{address}/api/v2/tenants/{tenant}/databases/{database}/collections"),
            headers,
        })
    }
}

impl VectorIndex for Chroma {
    fn identity(&self, ctx: &TurnCtx) -> String {
        let address = self.endpoint.resolve(ctx).map(|(address, _)| public_address(&address));
        let address = address.unwrap_or_default();
        format!("chroma {address} {}/{}/{}", self.tenant, self.database, self.collection)
    }

    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        async move { search::known(self, ids, ctx).await }.boxed()
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
