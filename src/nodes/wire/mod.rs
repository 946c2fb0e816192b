//! One client per provider protocol, over one way to send and to read.
//!
//! - `http`: time limits, cancelling, retries and errors
//! - `frames`, `lines`, `sse`, `eventstream`: lines of JSON, server-sent events and
//!   AWS's binary events out of byte chunks
//! - `calls`: tool calls out of fragments; `json`: text that is not copied
//! - `uri`: names in a path; `sigv4`: signatures of AWS; `vectors`: replies of embeddings;
//!   `parse`: large replies off the arbiter
//! - `rest`: JSON questions of a database's HTTP API; `postgres`: connections to PostgreSQL
//! - `openai`, `anthropic`, `ollama`, `gemini`, `bedrock`: bodies and replies
//!
//! A secret never leaves in an error text.

pub(crate) mod http;

pub(crate) mod calls;
pub(crate) mod eventstream;
pub(crate) mod frames;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod parse;
pub(crate) mod postgres;
pub(crate) mod rest;
pub(crate) mod sigv4;
pub(crate) mod sse;
pub(crate) mod uri;
pub(crate) mod vectors;

pub(crate) mod anthropic;
pub(crate) mod bedrock;
pub(crate) mod gemini;
pub(crate) mod ollama;
pub(crate) mod openai;

#[cfg(test)]
pub(crate) mod test_server;

use std::borrow::Cow;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::model::{ChatReply, ChatRequest};
use crate::spans::Asked;

/// A client of one provider's protocol.
pub(crate) trait ChatClient: Send + Sync {
    /// Which model it asks, for traces.
    fn asked(&self) -> Asked<'_>;

    /// Asks the model once; with `stream`, its words go to the turn's events.
    fn call<'a>(
        &'a self,
        request: &'a ChatRequest,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<ChatReply, NodeError>>;
}

macro_rules! chat_client {
    ($($client:ty),*) => {$(
        impl ChatClient for $client {
            fn asked(&self) -> Asked<'_> {
                <$client>::asked(self)
            }

            fn call<'a>(
                &'a self,
                request: &'a ChatRequest,
                ctx: &'a TurnCtx,
                stream: bool,
            ) -> BoxFuture<'a, Result<ChatReply, NodeError>> {
                <$client>::call(self, request, ctx, stream).boxed()
            }
        }
    )*};
}

chat_client!(
    openai::OpenAi,
    anthropic::Anthropic,
    ollama::Ollama,
    gemini::Gemini,
    bedrock::Bedrock
);

/// The names under which an operator can set a provider's address: what stands
/// before the paths that its client adds, and in Azure before the deployment.
pub const PROVIDERS: &[&str] = &[
    "anthropic",
    "assemblyai",
    "azure",
    "azure-speech",
    "bedrock",
    "chroma",
    "deepseek",
    "fireworks",
    "gemini",
    "groq",
    "localai",
    "mistral",
    "nvidia",
    "ollama",
    "openai",
    "openrouter",
    "pinecone",
    "together",
    "xai",
];

/// How long a provider may take to its first byte where the node does not say.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Where a node's model is, and the key for it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// One of [`PROVIDERS`].
    pub(crate) provider: &'static str,
    /// The provider's own address.
    pub(crate) public: Cow<'static, str>,
    /// The address typed into the node.
    pub(crate) typed: Option<String>,
    /// The key, or why there is none. Whether one is needed shows only in a
    /// turn, when the operator's address is known.
    pub(crate) key: Key,
}

/// The key of a node.
#[derive(Clone)]
pub(crate) enum Key {
    /// Stored for this node: it goes wherever the node points.
    Given(String),
    /// From the environment: whoever imports a flow must not be able to send
    /// it to an address of their own.
    FromEnvironment(String),
    /// None, with the sentence that says how to provide one.
    Missing(NodeError),
    /// None, and the provider may well need none.
    None,
}

impl Key {
    /// The key in this input, else in this field of the credential.
    pub(crate) fn of(inputs: &Inputs, input: &str, field: &str) -> Self {
        if let Some(key) = inputs.text(input) {
            return Self::Given(key);
        }
        match inputs.optional_secret(field) {
            Some((key, false)) => Self::Given(key),
            Some((key, true)) => Self::FromEnvironment(key),
            None => match inputs.secret(field) {
                Ok(key) => Self::Given(key),
                Err(error) => Self::Missing(error),
            },
        }
    }

    /// The same key, of a provider that may need none.
    pub(crate) fn or_none(self) -> Self {
        match self {
            Self::Missing(_) => Self::None,
            key => key,
        }
    }
}

impl Endpoint {
    /// The address without a slash at its end, and the key to send there.
    ///
    /// # Errors
    /// [`NodeError::MissingCredential`] when the provider's own address is
    /// meant and there is no key.
    pub(crate) fn resolve(&self, ctx: &TurnCtx) -> Result<(String, Option<&str>), NodeError> {
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        if let Some(typed) = &self.typed {
            let key = match &self.key {
                Key::Given(key) => Some(key.as_str()),
                Key::FromEnvironment(_) | Key::Missing(_) | Key::None => None,
            };
            return Ok((base(typed), key));
        }
        let operators = ctx.services.provider_url(self.provider);
        let address = base(operators.as_deref().unwrap_or(&self.public));
        match &self.key {
            Key::Given(key) | Key::FromEnvironment(key) => Ok((address, Some(key))),
            Key::None => Ok((address, None)),
            Key::Missing(_) if operators.is_some() => Ok((address, None)),
            Key::Missing(error) => Err(error.clone()),
        }
    }
}

/// The node's `timeout`, in milliseconds. A request may override it, but not
/// beyond what a whole call may take.
///
/// # Errors
/// [`NodeError::BadInput`] when it is no whole number above zero.
pub(crate) fn timeout(inputs: &Inputs) -> Result<Duration, NodeError> {
    let ms = inputs.integer("timeout", 1)?.and_then(|ms| u64::try_from(ms).ok());
    Ok(ms.map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms).min(http::MAX_CALL)))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
