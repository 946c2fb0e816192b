//! Anthropic's Messages API.

mod body;
pub(super) mod reply;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::model::{ChatReply, ChatRequest};
use crate::spans::Asked;
use crate::wire::http::Call;
use crate::wire::openai::secret_header;
use crate::wire::{DEFAULT_TIMEOUT, Endpoint};

const PROVIDER: &str = "Anthropic";
/// The newest version of the protocol; models have names of their own.
const API_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// A node's model and how it is asked.
pub(crate) struct Anthropic {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// What goes into the body.
    pub(crate) settings: Settings,
}

/// The node's part of a body; an absent one leaves the choice to the provider.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The model.
    pub(crate) model: String,
    /// Tokens of the answer at most.
    pub(crate) max_tokens: i64,
    /// 0 to 1.
    pub(crate) temperature: Option<f64>,
    /// 0 to 1.
    pub(crate) top_p: Option<f64>,
    /// Among how many tokens the next one is chosen.
    pub(crate) top_k: Option<i64>,
    /// Tokens for thinking, which rules out the three above.
    pub(crate) thinking_budget: Option<i64>,
}

impl Anthropic {
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
        let (base, key) = self.endpoint.resolve(ctx)?;
        let url = format!("{base}/v1/messages");
        let headers = headers(key)?;
        let secrets: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let body = body::write(&self.settings, request, stream);
        let body = bytes::Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let call = Call::new(PROVIDER, ctx, DEFAULT_TIMEOUT, &secrets);
        let sent = call
            .send(|client| client.post(&url).headers(headers.clone()).body(body.clone()))
            .await?;
        let schema = request.output_schema.as_ref().map(|schema| schema.name.as_str());
        let reply = if stream {
            reply::read_stream(sent, schema).await?
        } else {
            reply::read_whole(sent, schema).await?
        };
        ctx.meter.add(reply.usage);
        Ok(reply)
    }
}

fn headers(key: Option<&str>) -> Result<HeaderMap, NodeError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("anthropic-version", API_VERSION);
    if let Some(key) = key {
        headers.insert("x-api-key", secret_header(key)?);
    }
    Ok(headers)
}
