//! OpenAI's Chat Completions, which many servers speak.

mod body;
mod content;
mod dialect;
pub(crate) mod embeddings;
mod models;
pub(crate) mod reply;

use std::borrow::Cow;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

pub(crate) use dialect::Dialect;
pub(crate) use models::reasons;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::model::{ChatReply, ChatRequest};
use crate::spans::Asked;
use crate::wire::Endpoint;
use crate::wire::http::Call;

/// A node's model and how it is asked.
pub(crate) struct OpenAi {
    /// Its name in error texts.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// What follows the address, with its query.
    pub(crate) path: Cow<'static, str>,
    /// Where its wire differs from OpenAI's own.
    pub(crate) dialect: Dialect,
    /// Headers beside the key's.
    pub(crate) headers: HeaderMap,
    /// The time to the first byte.
    pub(crate) timeout: Duration,
    /// What goes into the body.
    pub(crate) settings: Settings,
}

/// The node's part of a body; an absent one leaves the choice to the provider.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The model.
    pub(crate) model: String,
    /// 0 to 2.
    pub(crate) temperature: Option<f64>,
    /// Tokens of the answer at most.
    pub(crate) max_tokens: Option<i64>,
    /// 0 to 1.
    pub(crate) top_p: Option<f64>,
    /// -2 to 2.
    pub(crate) frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub(crate) presence_penalty: Option<f64>,
    /// Where to stop.
    pub(crate) stop: Vec<String>,
    /// How long a reasoning model thinks.
    pub(crate) reasoning_effort: Option<String>,
    /// Holds every tool's arguments to their schema.
    pub(crate) strict_tools: bool,
    /// Mistral's alone: equal seeds give equal answers.
    pub(crate) random_seed: Option<i64>,
    /// Mistral's alone: puts its safety prompt before the conversation.
    pub(crate) safe_prompt: bool,
}

impl OpenAi {
    /// Which model it asks, for traces.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { provider: self.endpoint.provider, model: &self.settings.model }
    }

    /// Asks the model; with `stream`, its text goes to the client as it arrives.
    ///
    /// # Errors
    /// Those of [`Call::send`], and [`NodeError::MissingCredential`].
    pub(crate) async fn call(
        &self,
        request: &ChatRequest,
        ctx: &TurnCtx,
        stream: bool,
    ) -> Result<ChatReply, NodeError> {
        let stop: Vec<_> = self.settings.stop.iter().chain(&request.stop).collect();
        if stop.is_empty() || !models::refuses_stop_words(&self.settings.model) {
            return self.ask(request, ctx, stream).await;
        }
        // The provider cannot be told where to stop, so the answer comes whole
        // and is cut before anybody reads it.
        let mut reply = self.ask(request, ctx, false).await?;
        models::stop_at(&mut reply.text, &stop);
        if stream {
            ctx.events.token(&reply.text).await?;
        }
        Ok(reply)
    }

    async fn ask(
        &self,
        request: &ChatRequest,
        ctx: &TurnCtx,
        stream: bool,
    ) -> Result<ChatReply, NodeError> {
        let (base, key) = self.endpoint.resolve(ctx)?;
        let url = format!("{base}{}", self.path);
        let headers = self.all_headers(key)?;
        let secrets = secrets(key, &self.headers);
        let body = body::write(&self.settings, self.dialect, request, stream);
        let body = bytes::Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let call = Call::new(self.name, ctx, self.timeout, &secrets);
        let sent = call
            .send(|client| client.post(&url).headers(headers.clone()).body(body.clone()))
            .await?;
        let reply =
            if stream { reply::read_stream(sent).await? } else { reply::read_whole(sent).await? };
        ctx.meter.add(reply.usage);
        Ok(reply)
    }

    fn all_headers(&self, key: Option<&str>) -> Result<HeaderMap, NodeError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            let (name, value) = self.dialect.key_header(key);
            headers.insert(name, secret_header(&value)?);
        }
        // The operator's own headers win, an `Authorization` among them too.
        headers.extend(self.headers.clone());
        Ok(headers)
    }
}

/// A header that no log shows.
///
/// # Errors
/// [`NodeError::MissingCredential`] for a key that no header can hold.
pub(crate) fn secret_header(value: &str) -> Result<HeaderValue, NodeError> {
    let mut header = HeaderValue::from_str(value).map_err(|_| {
        NodeError::MissingCredential(
            "the key holds a line break or another control character; store it again".to_owned(),
        )
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn secrets(key: Option<&str>, headers: &HeaderMap) -> Vec<String> {
    let typed = headers.values().filter_map(|value| value.to_str().ok());
    key.into_iter().chain(typed).map(str::to_owned).collect()
}
