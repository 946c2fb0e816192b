//! Google's Gemini API: generateContent, whole and as server-sent events.

mod body;
mod call_id;
pub(crate) mod embeddings;
pub(super) mod reply;
mod schema;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::model::{ChatReply, ChatRequest};
use crate::spans::Asked;
use crate::wire::http::Call;
use crate::wire::openai::secret_header;
use crate::wire::{DEFAULT_TIMEOUT, Endpoint, uri};

const PROVIDER: &str = "Gemini";

/// A node's model and how it is asked.
pub(crate) struct Gemini {
    /// Where it is, without the version of the API.
    pub(crate) endpoint: Endpoint,
    /// What goes into the body, and the model, which goes into the path.
    pub(crate) settings: Settings,
}

/// The node's part of a request; an absent one leaves the choice to the provider.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The model: `gemini-1.5-pro`, `models/gemini-1.5-pro` or `tunedModels/mine`.
    pub(crate) model: String,
    /// 0 to 2.
    pub(crate) temperature: Option<f64>,
    /// 0 to 1.
    pub(crate) top_p: Option<f64>,
    /// Among how many tokens the next one is chosen.
    pub(crate) top_k: Option<i64>,
    /// Tokens of the answer at most.
    pub(crate) max_tokens: Option<i64>,
    /// From what likelihood on a kind of harm is blocked.
    pub(crate) safety: Vec<Safety>,
}

/// One kind of harm, in Gemini's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Safety {
    /// `HARM_CATEGORY_HARASSMENT`.
    pub(crate) category: String,
    /// `BLOCK_ONLY_HIGH`.
    pub(crate) threshold: String,
}

impl Gemini {
    /// Which model it asks, for traces.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { provider: self.endpoint.provider, model: &self.settings.model }
    }

    /// Asks the model; with `stream`, its text goes to the client as it arrives.
    ///
    /// # Errors
    /// Those of [`Call::send`]; [`NodeError::MissingCredential`]; and
    /// [`NodeError::BadRequest`] for a prompt or an answer that Gemini blocks,
    /// for an image that it would have to fetch, and for a prompt without a
    /// question.
    pub(crate) async fn call(
        &self,
        request: &ChatRequest,
        ctx: &TurnCtx,
        stream: bool,
    ) -> Result<ChatReply, NodeError> {
        let (base, key) = self.endpoint.resolve(ctx)?;
        let url = format!("{base}/v1beta/{}", path(&self.settings.model, stream));
        let headers = headers(key)?;
        let secrets: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let body = body::write(&self.settings, request)?;
        let body = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let call = Call::new(PROVIDER, ctx, DEFAULT_TIMEOUT, &secrets);
        let sent = call
            .send(|client| client.post(&url).headers(headers.clone()).body(body.clone()))
            .await?;
        let reply =
            if stream { reply::read_stream(sent).await? } else { reply::read_whole(sent).await? };
        ctx.meter.add(reply.usage);
        Ok(reply)
    }
}

/// Where a model is asked. Without `alt=sse`, a stream would be one JSON array
/// (Gemini API reference, "Generating content", `streamGenerateContent`).
fn path(model: &str, stream: bool) -> String {
    let (collection, name) = match model.split_once('/') {
        Some((collection @ ("models" | "tunedModels"), name)) => (collection, name),
        _ => ("models", model),
    };
    let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    format!("{collection}/{}:{method}", uri::segment(name))
}

fn headers(key: Option<&str>) -> Result<HeaderMap, NodeError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = key {
        headers.insert("x-goog-api-key", secret_header(key)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_in_a_path_and_nothing_more() {
        for (model, expected) in [
            ("gemini-1.5-pro", "models/gemini-1.5-pro:generateContent"),
            ("models/gemini-1.5-pro", "models/gemini-1.5-pro:generateContent"),
            ("tunedModels/mine", "tunedModels/mine:generateContent"),
            ("../../x?y=1#", "models/..%2F..%2Fx%3Fy%3D1%23:generateContent"),
        ] {
            assert_eq!(path(model, false), expected);
        }
        assert_eq!(path("m", true), "models/m:streamGenerateContent?alt=sse");
    }
}
