//! Ollama's `/api/embeddings`: one text a call, no key.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DEFAULT_BASE, PROVIDER};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::Embeddings;
use crate::spans::{self, Asked};
use crate::wire::DEFAULT_TIMEOUT;
use crate::wire::http::Call;
use crate::wire::vectors::{self, Vectors};

/// Texts that are sent one after the other: small, so that little is lost when
/// a local model is slow and the caller leaves.
const BATCH_SIZE: usize = 16;
/// How long the model stays loaded (LangChain's default).
const KEEP_ALIVE: &str = "5m";

/// A node's embedding model and how it is asked.
pub(crate) struct OllamaEmbeddings {
    /// The address typed into the node; the operator's comes first.
    pub(crate) base: Option<String>,
    /// The model.
    pub(crate) model: String,
    /// The node's options, by Ollama's names.
    pub(crate) options: Map<String, Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    prompt: &'a str,
    model: &'a str,
    keep_alive: &'static str,
    options: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Answer {
    embedding: Vec<f32>,
}

impl Vectors for Answer {
    fn into_vectors(self) -> Vec<Vec<f32>> {
        vec![self.embedding]
    }
}

impl OllamaEmbeddings {
    async fn ask(&self, prompt: &str, ctx: &TurnCtx) -> Result<Vec<f32>, NodeError> {
        let span = spans::embeddings(Asked { provider: "ollama", model: &self.model });
        spans::within(span, self.send(prompt, ctx)).await
    }

    async fn send(&self, prompt: &str, ctx: &TurnCtx) -> Result<Vec<f32>, NodeError> {
        let operators = ctx.services.provider_url("ollama");
        let base = operators.as_deref().or(self.base.as_deref()).unwrap_or(DEFAULT_BASE);
        let url = format!("{}/api/embeddings", base.trim_end_matches('/'));
        let (model, options) = (self.model.as_str(), &self.options);
        let body = Body { prompt, model, keep_alive: KEEP_ALIVE, options };
        let body = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let call = Call::new(PROVIDER, ctx, DEFAULT_TIMEOUT, &[]);
        let reply = call
            .send(|http| {
                http.post(&url).header(CONTENT_TYPE, "application/json").body(body.clone())
            })
            .await?;
        vectors::only(PROVIDER, vectors::read::<Answer>(reply, 1).await?)
    }
}

impl Embeddings for OllamaEmbeddings {
    fn identity(&self) -> String {
        format!("ollama {}", self.model)
    }

    fn batch_size(&self) -> usize {
        BATCH_SIZE
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>> {
        async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for text in texts {
                vectors.push(self.ask(text, ctx).await?);
            }
            Ok(vectors)
        }
        .boxed()
    }

    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>> {
        self.ask(text, ctx).boxed()
    }
}
