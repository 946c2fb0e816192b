//! OpenAI's `/embeddings`, which many servers speak.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Dialect, OpenAi, secrets};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::Embeddings;
use crate::spans;
use crate::wire::http::Call;
use crate::wire::vectors::{self, Vectors};

/// A node's embedding model and how it is asked.
pub(crate) struct OpenAiEmbeddings {
    /// The client; of its settings only the model is used.
    pub(crate) client: OpenAi,
    /// Provider and model, where the model alone does not say it.
    pub(crate) identity: String,
    /// Most texts of one call.
    pub(crate) batch_size: usize,
    /// Whether line breaks are sent as blanks.
    pub(crate) strips_lines: bool,
    /// How long vectors should be; the model's own length without it.
    pub(crate) dimensions: Option<i64>,
}

/// The body as recorded: a list for documents, a text for a question, and no
/// `encoding_format` except Mistral's.
#[derive(Serialize)]
struct Body<'a> {
    input: Input<'a>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Many(Vec<String>),
    One(&'a str),
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: usize,
    embedding: Vec<f32>,
}

impl Vectors for Answer {
    /// The sort is stable: a server that numbers nothing keeps its order.
    fn into_vectors(mut self) -> Vec<Vec<f32>> {
        self.data.sort_by_key(|item| item.index);
        self.data.into_iter().map(|item| item.embedding).collect()
    }
}

impl OpenAiEmbeddings {
    fn cleaned(&self, text: &str) -> String {
        if self.strips_lines { text.replace('\n', " ") } else { text.to_owned() }
    }

    fn body(&self, input: Input<'_>) -> Bytes {
        let mistrals = self.client.dialect == Dialect::Mistral;
        let body = Body {
            input,
            model: &self.client.settings.model,
            dimensions: self.dimensions,
            encoding_format: mistrals.then_some("float"),
        };
        Bytes::from(serde_json::to_vec(&body).unwrap_or_default())
    }

    async fn ask(
        &self,
        body: Bytes,
        n_texts: usize,
        ctx: &TurnCtx,
    ) -> Result<Vec<Vec<f32>>, NodeError> {
        let span = spans::embeddings(self.client.asked());
        spans::within(span, self.send(body, n_texts, ctx)).await
    }

    async fn send(
        &self,
        body: Bytes,
        n_texts: usize,
        ctx: &TurnCtx,
    ) -> Result<Vec<Vec<f32>>, NodeError> {
        let client = &self.client;
        let (base, key) = client.endpoint.resolve(ctx)?;
        let url = format!("{base}{}", client.path);
        let headers = client.all_headers(key)?;
        let secrets = secrets(key, &client.headers);
        let call =
            Call::new(client.name, ctx, client.timeout, &secrets).reading_up_to(vectors::MAX_MIB);
        let reply =
            call.send(|http| http.post(&url).headers(headers.clone()).body(body.clone())).await?;
        vectors::read::<Answer>(reply, n_texts).await
    }
}

impl Embeddings for OpenAiEmbeddings {
    fn identity(&self) -> String {
        match self.dimensions {
            None => self.identity.clone(),
            Some(n) => format!("{} of {n} dimensions", self.identity),
        }
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>> {
        let n_texts = texts.len();
        let body = self.body(Input::Many(texts.iter().map(|text| self.cleaned(text)).collect()));
        self.ask(body, n_texts, ctx).boxed()
    }

    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>> {
        let body = self.body(Input::One(&self.cleaned(text)));
        async move { vectors::only(self.client.name, self.ask(body, 1, ctx).await?) }.boxed()
    }
}
