//! Where an index is. Pinecone's control plane knows the host of each index;
//! an address that the operator sets is that host itself. A key goes to these
//! two only, whatever the control plane answers.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::wire::http::Call;
use crate::wire::rest::{Rest, if_found, public_address, secret_header};
use crate::wire::uri::segment;
use crate::wire::{DEFAULT_TIMEOUT, Endpoint};

/// Pinecone's own address.
pub(super) const CONTROL: &str = "https://api.pinecone.io";
/// Where the hosts of its indexes are.
const HOSTS: &str = ".pinecone.io";
/// The newest version of its API that this was written for.
const VERSION: &str = "2025-10";

/// An index and how to reach it.
pub(super) struct Plane {
    endpoint: Endpoint,
    index: String,
    secrets: Vec<String>,
    /// Found once, and again after an error.
    found: Mutex<Option<Arc<Found>>>,
}

/// What is known of an index.
pub(super) struct Found {
    base: String,
    pub(super) dimension: Option<usize>,
    /// Whether scores are squared distances.
    pub(super) is_euclidean: bool,
}

#[derive(Deserialize)]
struct Described {
    host: String,
    dimension: Option<usize>,
    metric: Option<String>,
}

impl Plane {
    pub(super) fn new(endpoint: Endpoint, index: String, key: Option<String>) -> Self {
        Self { endpoint, index, secrets: key.into_iter().collect(), found: Mutex::default() }
    }

    /// The index by where it is, without a secret.
    pub(super) fn identity(&self, ctx: &TurnCtx) -> String {
        match self.endpoint.resolve(ctx) {
            Ok((address, _)) => format!("{} {}", public_address(&address), self.index),
            Err(_) => self.index.clone(),
        }
    }

    /// What is known of the index, asked for once.
    pub(super) async fn found(&self, ctx: &TurnCtx) -> Result<Arc<Found>, NodeError> {
        let kept = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(found) = kept {
            return Ok(found);
        }
        let found = Arc::new(self.find(ctx).await?);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Asks the index; after an error its host is looked up anew.
    pub(super) async fn ask<T>(
        &self,
        found: &Found,
        ctx: &TurnCtx,
        question: impl AsyncFnOnce(&Rest<'_>) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let answer = question(&self.rest(&found.base, ctx)?).await;
        if answer.is_err() {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        answer
    }

    async fn find(&self, ctx: &TurnCtx) -> Result<Found, NodeError> {
        let (address, _) = self.endpoint.resolve(ctx)?;
        if address != CONTROL {
            return self.operators(address, ctx).await;
        }
        let rest = self.rest(CONTROL, ctx)?;
        let path = format!("/indexes/{}", segment(&self.index));
        let Some(described) = if_found(rest.get::<Described>(&path).await)? else {
            return Err(rest.call.broken(format!(
                "has no index named \"{}\" for this key; make it there first",
                self.index
            )));
        };
        let base = index_address(&described.host)
            .ok_or_else(|| rest.call.broken("named a host for this index that is not its own"))?;
        Ok(Found {
            base,
            dimension: described.dimension,
            is_euclidean: described.metric.as_deref() == Some("euclidean"),
        })
    }

    /// The operator's own server: it says of itself what it holds, or nothing.
    async fn operators(&self, base: String, ctx: &TurnCtx) -> Result<Found, NodeError> {
        let rest = self.rest(&base, ctx)?;
        let stats = if_found(rest.post::<Value>("/describe_index_stats", &json!({})).await)?;
        let stats = stats.unwrap_or_default();
        let dimension = stats.get("dimension").and_then(Value::as_u64).filter(|size| *size > 0);
        let metric = stats.get("metric").and_then(Value::as_str);
        Ok(Found {
            dimension: dimension.and_then(|size| usize::try_from(size).ok()),
            is_euclidean: metric == Some("euclidean"),
            base,
        })
    }

    fn rest<'a>(&'a self, base: &str, ctx: &'a TurnCtx) -> Result<Rest<'a>, NodeError> {
        let (_, key) = self.endpoint.resolve(ctx)?;
        let mut headers = HeaderMap::new();
        headers.insert("x-pinecone-api-version", HeaderValue::from_static(VERSION));
        if let Some(key) = key {
            secret_header(&mut headers, "api-key", key)?;
        }
        let call = Call::new("Pinecone", ctx, DEFAULT_TIMEOUT, &self.secrets);
        Ok(Rest { call, base: base.to_owned(), headers })
    }
}

/// The address of an index at the host that the control plane names, if that
/// is one of Pinecone's.
pub(super) fn index_address(host: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{}", host.trim_start_matches("https://"))).ok()?;
    let is_theirs = url.host_str()?.ends_with(HOSTS) && url.username().is_empty();
    is_theirs.then(|| url.as_str().trim_end_matches('/').to_owned())
}
