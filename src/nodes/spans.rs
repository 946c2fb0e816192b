//! Spans of what nodes ask of others, for traces: names, counts and how it
//! ended, and never a word of a prompt, an answer, a key or an error's text.
//!
//! Names are those of OpenTelemetry's semantic conventions for generative AI,
//! 0.1.0 ("Client inference", "Client embeddings", "Execute tool"). A span
//! costs a look at a static flag where nobody collects [`TARGET`].

use futures::FutureExt;
use reqwest::Url;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span, info_span, span_enabled};

use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason};

/// The target of all spans that are meant for traces.
pub const TARGET: &str = "parlor_spans";

/// What stands where a name is none: the conventions' own word.
const OTHER: &str = "_OTHER";
/// A longer name is none.
const MAX_NAME_BYTES: usize = 128;

/// A text that others chose, where it can be the name of something and no
/// sentence: a request may override a model's name, and a model server may
/// write what it likes in a reply.
pub fn name(text: &str) -> &str {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+".contains(&byte);
    let is_name = (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed);
    if is_name { text } else { OTHER }
}

/// Which model is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// One of [`crate::PROVIDERS`].
    pub(crate) provider: &'a str,
    /// Its model.
    pub(crate) model: &'a str,
}

impl Asked<'_> {
    /// `gen_ai.provider.name`: the well-known value, where there is one.
    fn provider_name(&self) -> &str {
        match self.provider {
            "azure" => "azure.ai.openai",
            "bedrock" => "aws.bedrock",
            "gemini" => "gcp.gemini",
            "mistral" => "mistral_ai",
            "xai" => "x_ai",
            other => other,
        }
    }
}

/// A call of a chat model.
pub(crate) fn chat(asked: Asked<'_>, stream: bool) -> Span {
    info_span!(
        target: TARGET, "chat",
        otel.name = %format_args!("chat {}", name(asked.model)),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = asked.provider_name(),
        gen_ai.request.model = name(asked.model),
        gen_ai.request.stream = stream.then_some(true),
        gen_ai.response.model = Empty,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        server.address = Empty,
        server.port = Empty,
        "error.type" = Empty,
    )
}

/// A call of a model that makes vectors.
pub(crate) fn embeddings(asked: Asked<'_>) -> Span {
    info_span!(
        target: TARGET, "embeddings",
        otel.name = %format_args!("embeddings {}", name(asked.model)),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "embeddings",
        gen_ai.provider.name = asked.provider_name(),
        gen_ai.request.model = name(asked.model),
        server.address = Empty,
        server.port = Empty,
        "error.type" = Empty,
    )
}

/// A call of a tool of an agent.
pub(crate) fn tool(tool: &str) -> Span {
    info_span!(
        target: TARGET, "execute_tool",
        otel.name = %format_args!("execute_tool {}", name(tool)),
        otel.kind = "internal",
        otel.status_code = Empty,
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = name(tool),
        "gen_ai.tool.type" = "function",
        "error.type" = Empty,
    )
}

/// Does the work within its span, and lets `note` say on it how it failed. Not an
/// `async fn`, which would hold the work twice.
pub fn watched<T, E>(
    span: Span,
    work: impl Future<Output = Result<T, E>>,
    note: impl FnOnce(&Span, &E),
) -> impl Future<Output = Result<T, E>> {
    work.instrument(span.clone()).inspect(move |result| match result {
        Err(error) if !span.is_disabled() => note(&span, error),
        _ => {}
    })
}

/// Does the work of a node within its span, and notes how it failed.
pub(crate) fn within<T>(
    span: Span,
    work: impl Future<Output = Result<T, NodeError>>,
) -> impl Future<Output = Result<T, NodeError>> {
    watched(span, work, |span, error| {
        // A field of chats alone; a span without it leaves it out.
        span.record("gen_ai.response.finish_reasons", "error");
        failed(span, error_type(error));
    })
}

/// Notes the class of an error on a span.
pub fn failed(span: &Span, error_type: impl std::fmt::Display) {
    span.record("error.type", tracing::field::display(error_type));
    span.record("otel.status_code", "ERROR");
}

/// The provider's status where it gave one, else the code of the error.
fn error_type(error: &NodeError) -> String {
    match error {
        NodeError::UpstreamStatus { status, .. } => status.to_string(),
        other => format!("{:?}", other.code()),
    }
}

/// The span of what is under way; a disabled one, without a look for it, where
/// nobody collects any.
pub fn current() -> Span {
    if span_enabled!(target: TARGET, Level::INFO) { Span::current() } else { Span::none() }
}

/// Notes the address that the call under way goes to.
pub(crate) fn asks(url: &Url) {
    let span = current();
    if !span.is_disabled() {
        span.record("server.address", url.host_str());
        span.record("server.port", url.port_or_known_default().map(i64::from));
    }
}

/// Notes the model that the call under way says it is answered by.
pub(crate) fn answered_by(model: Option<&str>) {
    let span = current();
    if !span.is_disabled() {
        span.record("gen_ai.response.model", model.map(name));
    }
}

/// Notes why a model stopped, and what it counted.
pub(crate) fn answered(span: &Span, reply: &ChatReply) {
    if span.is_disabled() {
        return;
    }
    let reason = match reply.finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter => "content_filter",
    };
    span.record("gen_ai.response.finish_reasons", reason);
    // Counted by a provider; one that counts nothing sends no zeros.
    let count = |n: u64| i64::try_from(n).ok().filter(|n| *n > 0);
    span.record("gen_ai.usage.input_tokens", count(reply.usage.input_tokens));
    span.record("gen_ai.usage.output_tokens", count(reply.usage.output_tokens));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_no_name() {
        for model in ["gpt-4o", "openai/gpt-oss-120b", "ft:o4-mini:acme", "arn:aws:x/y@1"] {
            assert_eq!(name(model), model);
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for other in ["", "who am I", "a\nb", "\u{fc}", &long] {
            assert_eq!(name(other), OTHER);
        }
    }

    #[test]
    fn an_error_is_told_by_its_class_alone() {
        let told = |error| error_type(&error);
        let status = NodeError::UpstreamStatus {
            provider: "OpenAI".to_owned(),
            status: 529,
            message: "their words".to_owned(),
            retry_after_s: None,
        };
        assert_eq!(told(status), "529");
        assert_eq!(told(NodeError::Cancelled), "Cancelled");
    }
}
