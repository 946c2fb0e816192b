//! Gemini's `embedContent` and `batchEmbedContents` (Gemini API reference,
//! "Embeddings"), with line breaks as blanks, as LangChain sends them.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{PROVIDER, headers};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::Embeddings;
use crate::spans::{self, Asked};
use crate::wire::http::Call;
use crate::wire::vectors::{self, Vectors};
use crate::wire::{DEFAULT_TIMEOUT, Endpoint, uri};

/// Most texts of one call.
const BATCH_SIZE: usize = 100;

/// A node's embedding model and how it is asked.
pub(crate) struct GeminiEmbeddings {
    /// Where it is, without the version of the API.
    pub(crate) endpoint: Endpoint,
    /// The model, without `models/`.
    pub(crate) model: String,
    /// What the vectors are for, in Gemini's words.
    pub(crate) task_type: String,
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<Request<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    /// Only in a batch, where the path does not say it of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    content: Content,
    task_type: &'a str,
}

#[derive(Serialize)]
struct Content {
    role: &'static str,
    parts: [Part; 1],
}

#[derive(Serialize)]
struct Part {
    text: String,
}

#[derive(Deserialize)]
struct One {
    embedding: Embedding,
}

#[derive(Deserialize)]
struct Many {
    embeddings: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}

impl Vectors for One {
    fn into_vectors(self) -> Vec<Vec<f32>> {
        vec![self.embedding.values]
    }
}

impl Vectors for Many {
    fn into_vectors(self) -> Vec<Vec<f32>> {
        self.embeddings.into_iter().map(|embedding| embedding.values).collect()
    }
}

impl GeminiEmbeddings {
    fn request(&self, text: &str, in_batch: bool) -> Request<'_> {
        Request {
            model: in_batch.then(|| format!("models/{}", self.model)),
            content: Content { role: "user", parts: [Part { text: text.replace('\n', " ") }] },
            task_type: &self.task_type,
        }
    }

    async fn ask<T: Vectors>(
        &self,
        method: &str,
        body: Vec<u8>,
        n_texts: usize,
        ctx: &TurnCtx,
    ) -> Result<Vec<Vec<f32>>, NodeError> {
        let asked = Asked { provider: self.endpoint.provider, model: &self.model };
        spans::within(spans::embeddings(asked), self.send::<T>(method, body, n_texts, ctx)).await
    }

    async fn send<T: Vectors>(
        &self,
        method: &str,
        body: Vec<u8>,
        n_texts: usize,
        ctx: &TurnCtx,
    ) -> Result<Vec<Vec<f32>>, NodeError> {
        let (base, key) = self.endpoint.resolve(ctx)?;
        let url = format!("{base}/v1beta/models/{}:{method}", uri::segment(&self.model));
        let headers = headers(key)?;
        let secrets: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let body = Bytes::from(body);
        let call =
            Call::new(PROVIDER, ctx, DEFAULT_TIMEOUT, &secrets).reading_up_to(vectors::MAX_MIB);
        let reply =
            call.send(|http| http.post(&url).headers(headers.clone()).body(body.clone())).await?;
        vectors::read::<T>(reply, n_texts).await
    }
}

impl Embeddings for GeminiEmbeddings {
    fn identity(&self) -> String {
        format!("gemini {} for {}", self.model, self.task_type)
    }

    fn batch_size(&self) -> usize {
        BATCH_SIZE
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>> {
        let n_texts = texts.len();
        let requests = texts.iter().map(|text| self.request(text, true)).collect();
        let body = serde_json::to_vec(&Batch { requests }).unwrap_or_default();
        self.ask::<Many>("batchEmbedContents", body, n_texts, ctx).boxed()
    }

    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>> {
        let body = serde_json::to_vec(&self.request(text, false)).unwrap_or_default();
        async move {
            let vectors = self.ask::<One>("embedContent", body, 1, ctx).await?;
            vectors::only(PROVIDER, vectors)
        }
        .boxed()
    }
}
