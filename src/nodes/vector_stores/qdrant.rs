//! Flowise `qdrant`, version 5: a collection of a Qdrant server, over its
//! REST API, in the form of LangChain's Qdrant store.

mod search;
mod write;

use std::borrow::Cow;
use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::VectorStore;
use super::remote::{DOCUMENT, EMBEDDINGS, FILE_UPLOAD, RECORD_MANAGER, TOP_K};
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
    name: "qdrant",
    category: "Vector Stores",
    version: 5.0,
    about: "Finds chunks in a collection of a Qdrant server.",
    params: &[
        DOCUMENT,
        EMBEDDINGS,
        RECORD_MANAGER,
        Param::closed("qdrantServerUrl", Kind::Text),
        Param::closed("qdrantCollection", Kind::Text),
        FILE_UPLOAD,
        Param::closed("contentPayloadKey", Kind::Text),
        Param::closed("metadataPayloadKey", Kind::Text),
        Param::closed("batchSize", Kind::Integer),
        Param::closed("qdrantSimilarity", Kind::Choice(&["Cosine", "Euclid", "Dot"])),
        Param::closed("qdrantCollectionConfiguration", Kind::Json),
        TOP_K,
        Param::listed("qdrantFilter", Kind::Json),
    ],
    credential: Some(&CredentialSpec {
        kind: "qdrantApi",
        fields: &[("qdrantApiKey", Some("QDRANT_API_KEY"))],
    }),
    build,
};

/// Points of one call where the node says nothing.
const MOST_POINTS: usize = 500;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let collection = inputs.required_text("qdrantCollection")?.trim().to_owned();
    let url = inputs.required_text("qdrantServerUrl")?.trim().to_owned();
    let key = |name: &str, default: &str| inputs.text(name).unwrap_or_else(|| default.to_owned());
    let most = inputs.integer("batchSize", 1)?.and_then(|most| usize::try_from(most).ok());
    let index = Qdrant {
        title: inputs.title(),
        endpoint: Endpoint {
            provider: "qdrant",
            public: Cow::Borrowed(""),
            typed: Some(url),
            key: Key::of(inputs, "", "qdrantApiKey").or_none(),
        },
        secrets: inputs.optional_secret("qdrantApiKey").map(|(key, _)| key).into_iter().collect(),
        collection: collection.clone(),
        content: key("contentPayloadKey", "content"),
        metadata: key("metadataPayloadKey", "metadata"),
        similarity: similarity(inputs)?,
        configuration: inputs.object("qdrantCollectionConfiguration")?,
        most: most.map_or(MOST_POINTS, |most| most.min(MOST_POINTS)),
    };
    let store = VectorStore::assemble(inputs, SPEC.name, index, "qdrantFilter")?;
    Ok(store.with_records_name(Some(collection)).into_instance())
}

fn similarity(inputs: &Inputs) -> Result<&'static str, NodeError> {
    let known = ["Cosine", "Euclid", "Dot"];
    let Some(typed) = inputs.text("qdrantSimilarity") else { return Ok(known[0]) };
    let found = known.into_iter().find(|name| *name == typed);
    found.ok_or_else(|| inputs.bad("qdrantSimilarity", "must be Cosine, Euclid or Dot"))
}

/// A collection. One that is not there is made for the vectors that come, not
/// for `qdrantVectorDimension`: of any other size it could not be filled.
#[derive(Clone)]
struct Qdrant {
    title: String,
    endpoint: Endpoint,
    secrets: Vec<String>,
    collection: String,
    /// The key of a point's text.
    content: String,
    /// The key of a point's metadata.
    metadata: String,
    similarity: &'static str,
    /// What else a new collection is made with.
    configuration: Map<String, Value>,
    /// Points of one call.
    most: usize,
}

impl Qdrant {
    fn rest<'a>(&'a self, ctx: &'a TurnCtx) -> Result<Rest<'a>, NodeError> {
        let (address, key) = self.endpoint.resolve(ctx)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            secret_header(&mut headers, "api-key", key)?;
        }
        Ok(Rest {
            call: Call::new("Qdrant", ctx, DEFAULT_TIMEOUT, &self.secrets),
            base: format!("{address}/collections/{}", segment(&self.collection)),
            headers,
        })
    }
}

impl VectorIndex for Qdrant {
    fn identity(&self, ctx: &TurnCtx) -> String {
        let address = self.endpoint.resolve(ctx).map(|(address, _)| public_address(&address));
        format!("qdrant {} {}", address.unwrap_or_default(), self.collection)
    }

    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        async move { search::known(ids, &self.rest(ctx)?).await }.boxed()
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
        async move { write::take_out(ids, &self.rest(ctx)?).await }.boxed()
    }

    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move { search::matching(self, filter, most, &self.rest(ctx)?).await }.boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        async move { search::nearest(self, query, &self.rest(ctx)?).await }.boxed()
    }
}

#[cfg(test)]
mod tests;
