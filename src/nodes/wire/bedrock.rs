//! Amazon Bedrock's Converse and ConverseStream, one protocol for the models
//! of all its vendors, signed or with a key of Bedrock's own.

mod body;
pub(super) mod reply;

use bytes::Bytes;
use chrono::Utc;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::model::{ChatReply, ChatRequest};
use crate::spans::Asked;
use crate::wire::http::Call;
use crate::wire::openai::secret_header;
use crate::wire::sigv4::{Scope, Signer, Unsigned};
use crate::wire::{DEFAULT_TIMEOUT, uri};

const PROVIDER: &str = "Amazon Bedrock";
const JSON: &str = "application/json";
/// The name of Bedrock in signatures (Service Authorization Reference,
/// "Amazon Bedrock"); its host has a longer one.
const SERVICE: &str = "bedrock";

/// A node's model and how it is asked.
pub(crate) struct Bedrock {
    /// `us-east-1`: letters, digits and hyphens, for it becomes part of a host.
    pub(crate) region: String,
    /// Who asks.
    pub(crate) auth: Auth,
    /// The model, which goes into the path, and what goes into the body.
    pub(crate) settings: Settings,
}

/// The node's part of a request; an absent one leaves the choice to the provider.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The id of a model, or the ARN of an inference profile.
    pub(crate) model: String,
    /// 0 to 1.
    pub(crate) temperature: Option<f64>,
    /// Tokens of the answer at most.
    pub(crate) max_tokens: Option<i64>,
}

/// How a request proves whose it is.
pub(crate) enum Auth {
    /// An access key of AWS, which signs.
    Signed(Signer),
    /// A key of Bedrock's own (Amazon Bedrock User Guide, "Use an Amazon
    /// Bedrock API key").
    Bearer(String),
    /// Not at all, with the sentence that says how it could.
    Missing(NodeError),
}

impl Bedrock {
    /// Which model it asks, for traces.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { provider: "bedrock", model: &self.settings.model }
    }

    /// Asks the model; with `stream`, its text goes to the client as it arrives.
    ///
    /// # Errors
    /// Those of [`Call::send`]; [`NodeError::MissingCredential`]; and
    /// [`NodeError::BadRequest`] for an answer that is withheld, for an image
    /// that Bedrock cannot take, and for a prompt without a question.
    pub(crate) async fn call(
        &self,
        request: &ChatRequest,
        ctx: &TurnCtx,
        stream: bool,
    ) -> Result<ChatReply, NodeError> {
        let secrets = self.auth.secrets();
        let call = Call::new(PROVIDER, ctx, DEFAULT_TIMEOUT, &secrets);
        let url = self.url(ctx, stream)?;
        let url = Url::parse(&url).map_err(|_| call.broken("has no valid address"))?;
        let body = body::write(&self.settings, request)?;
        let body = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        // Once for all tries: a signature holds longer than they last.
        let headers = self.headers(&url, &body)?;
        let sent = call
            .send(|client| client.post(url.clone()).headers(headers.clone()).body(body.clone()))
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

    /// Where the model is asked: at AWS, or at the address that the operator set.
    fn url(&self, ctx: &TurnCtx, stream: bool) -> Result<String, NodeError> {
        let base = match (ctx.services.provider_url("bedrock"), &self.auth) {
            (Some(operators), _) => operators.trim_end_matches('/').to_owned(),
            (None, Auth::Missing(error)) => return Err(error.clone()),
            (None, _) => format!("https://bedrock-runtime.{}.amazonaws.com", self.region),
        };
        let method = if stream { "converse-stream" } else { "converse" };
        Ok(format!("{base}/model/{}/{method}", uri::segment(&self.settings.model)))
    }

    fn headers(&self, url: &Url, body: &[u8]) -> Result<HeaderMap, NodeError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        match &self.auth {
            Auth::Missing(_) => {}
            Auth::Bearer(key) => {
                headers.insert(AUTHORIZATION, secret_header(&format!("Bearer {key}"))?);
            }
            Auth::Signed(signer) => self.sign(signer, url, body, &mut headers)?,
        }
        Ok(headers)
    }

    fn sign(
        &self,
        signer: &Signer,
        url: &Url,
        body: &[u8],
        headers: &mut HeaderMap,
    ) -> Result<(), NodeError> {
        let (host, path) = (host(url), url.path());
        let request =
            Unsigned { method: "POST", host: &host, path, content_type: Some(JSON), body };
        let scope = Scope { region: &self.region, service: SERVICE, now: Utc::now() };
        let signature = signer.sign(&request, &scope);
        headers.insert("x-amz-date", secret_header(&signature.date)?);
        headers.insert(AUTHORIZATION, secret_header(&signature.authorization)?);
        if let Some(session) = &signer.session {
            headers.insert("x-amz-security-token", secret_header(session)?);
        }
        Ok(())
    }
}

impl Auth {
    /// What is cut out of error texts.
    fn secrets(&self) -> Vec<String> {
        match self {
            Self::Missing(_) => Vec::new(),
            Self::Bearer(key) => vec![key.clone()],
            Self::Signed(signer) => {
                let sent = [&signer.key_id, &signer.secret];
                sent.into_iter().chain(&signer.session).cloned().collect()
            }
        }
    }
}

/// The `Host` header of a request to this address: a port that its scheme has
/// anyway is not named.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_is_signed_names_a_port_only_where_the_header_does() {
        for (url, expected) in [
            (
                "https://bedrock-runtime.eu-west-1.amazonaws.com/x",
                "bedrock-runtime.eu-west-1.amazonaws.com",
            ),
            ("https://proxy:443/x", "proxy"),
            ("http://[::1]:8080/x", "[::1]:8080"),
        ] {
            assert_eq!(host(&Url::parse(url).unwrap()), expected);
        }
    }
}
