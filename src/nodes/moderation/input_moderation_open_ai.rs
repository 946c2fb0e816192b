//! Flowise `inputModerationOpenAI`, version 1: asks OpenAI's moderation endpoint.

use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::ERROR_MESSAGE;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Moderation};
use crate::spec::{CredentialSpec, NodeSpec};
use crate::wire::http::Call;
use crate::wire::openai::secret_header;
use crate::wire::{DEFAULT_TIMEOUT, Endpoint, Key};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "inputModerationOpenAI",
    category: "Moderation",
    version: 1.0,
    about: "Refuses questions that OpenAI's moderation flags.",
    params: &[ERROR_MESSAGE],
    credential: Some(&CredentialSpec {
        kind: "openAIApi",
        fields: &[("openAIApiKey", Some("OPENAI_API_KEY"))],
    }),
    build,
};

const DEFAULT_MESSAGE: &str =
    "Sorry, this message goes against OpenAI's usage policies and is not answered.";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let endpoint = Endpoint {
        provider: "openai",
        public: "https://api.openai.com/v1".into(),
        typed: None,
        key: Key::of(inputs, "openAIApiKey", "openAIApiKey"),
    };
    let message =
        inputs.text("moderationErrorMessage").unwrap_or_else(|| DEFAULT_MESSAGE.to_owned());
    Ok(Instance::Moderation(Arc::new(OpenAiModeration { endpoint, message })))
}

struct OpenAiModeration {
    endpoint: Endpoint,
    message: String,
}

/// The part of the reply that decides.
#[derive(Deserialize)]
struct Verdict {
    results: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    flagged: bool,
}

impl OpenAiModeration {
    async fn flags(&self, input: &str, ctx: &TurnCtx) -> Result<bool, NodeError> {
        let (base, key) = self.endpoint.resolve(ctx)?;
        let url = format!("{base}/moderations");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, secret_header(&format!("Bearer {key}"))?);
        }
        let secrets: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let body = bytes::Bytes::from(json!({"input": input}).to_string());
        let call = Call::new("OpenAI", ctx, DEFAULT_TIMEOUT, &secrets);
        let reply = call
            .send(|client| client.post(&url).headers(headers.clone()).body(body.clone()))
            .await?;
        let verdict: Option<Verdict> = serde_json::from_slice(&reply.whole().await?).ok();
        match verdict {
            // Without a finding nothing was checked.
            Some(Verdict { results }) if !results.is_empty() => {
                Ok(results.iter().any(|finding| finding.flagged))
            }
            _ => Err(call.broken("sent no moderation that Parlor understands")),
        }
    }
}

impl Moderation for OpenAiModeration {
    fn objection<'a>(
        &'a self,
        input: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Option<String>, NodeError>> {
        Box::pin(async move {
            let is_flagged = self.flags(input, ctx).await?;
            Ok(is_flagged.then(|| self.message.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::ErrorCode;

    use super::*;
    use crate::inputs::Secrets;
    use crate::test_support::{TestTurn, inputs, source};
    use crate::wire::test_server::TestServer;

    fn moderation() -> Arc<dyn Moderation> {
        let mut inputs = inputs([("moderationErrorMessage", source("Not here."))]);
        let fields = json!({"openAIApiKey": "sk-mock"}).as_object().unwrap().clone();
        inputs.secrets = Some(Ok(Secrets { fields, from_environment: false }));
        match build(&inputs).unwrap() {
            Instance::Moderation(moderation) => moderation,
            other => panic!("{}", other.kind()),
        }
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn a_flagged_question_is_objected_to_and_another_passes() {
        for (flagged, expected) in [(true, Some("Not here.")), (false, None)] {
            let body = json!({"id": "m", "results": [{"flagged": flagged, "categories": {}}]});
            let server = TestServer::answering(&[answer("200 OK", &body.to_string())]).await;
            let ctx = server.serving(TestTurn::asking("x").ctx());

            let objection = moderation().objection("a \"bad\" word", &ctx).await.unwrap();

            assert_eq!(objection.as_deref(), expected);
            assert!(server.head().starts_with("post /moderations "), "{}", server.head());
            assert!(server.head().contains("authorization: bearer sk-mock"));
            assert_eq!(server.body(), json!({"input": "a \"bad\" word"}));
        }
    }

    #[tokio::test]
    async fn what_could_not_be_checked_does_not_pass() {
        for (status, body) in [
            ("200 OK", "{\"results\":[]}"),
            ("200 OK", "{}"),
            ("200 OK", "<html>"),
            ("401 Unauthorized", "{\"error\":{\"message\":\"bad key sk-mock\"}}"),
        ] {
            let server = TestServer::answering(&[answer(status, body)]).await;
            let ctx = server.serving(TestTurn::asking("x").ctx());

            let error = moderation().objection("x", &ctx).await.unwrap_err();

            assert_eq!(error.code(), ErrorCode::UpstreamFailed, "{body}");
            assert!(!error.to_string().contains("sk-mock"), "{error}");
        }
    }
}
