//! Spans of requests, turns and upserts, for traces: what ran, how long and
//! how it ended, and no path, question, answer, key or error's text. Those of
//! model calls are made where they happen ([`parlor_nodes::spans`]).
//!
//! Names are those of OpenTelemetry's semantic conventions: 1.44 for HTTP
//! server spans, 0.1.0 of those for generative AI for a turn.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};
use parlor_nodes::spans::{TARGET, current, failed, watched};
use parlor_schemas::{ChatflowId, Fault, SessionKey};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::telemetry;

/// A request. The path itself is not told: it can hold a key or a chat's id.
pub fn request(request: &ServiceRequest) -> Span {
    let span = info_span!(
        target: TARGET, "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method(request.method()),
        http.route = Empty,
        http.response.status_code = Empty,
        url.scheme = "http",
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        telemetry::continue_trace(&span, request.headers());
        let method = method(request.method());
        let route = request.match_pattern();
        match &route {
            Some(route) => span.record("otel.name", format!("{method} {route}")),
            None => span.record("otel.name", method),
        };
        span.record("http.route", route);
    }
    span
}

/// The methods that the conventions know; a caller can send any word.
fn method(method: &Method) -> &str {
    match method.as_str() {
        known @ ("CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT"
        | "TRACE") => known,
        _ => "_OTHER",
    }
}

/// Notes the status of a request's answer.
pub fn answered(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        failed(span, status.as_u16());
    }
}

/// The run of a chatflow for a request of this span.
pub fn turn(request: &Span, key: &SessionKey) -> Span {
    info_span!(
        target: TARGET, parent: request, "invoke_workflow",
        otel.kind = "internal",
        otel.status_code = Empty,
        gen_ai.operation.name = "invoke_workflow",
        gen_ai.conversation.id = %Conversation::of(key),
        parlor.chatflow.id = %key.chatflow,
        "error.type" = Empty,
    )
}

/// An upsert. It may outlive the request that asks for it, so it is a trace
/// of its own with a link to that one.
pub fn upsert(chatflow: ChatflowId) -> Span {
    let span = info_span!(
        target: TARGET, parent: None, "upsert",
        otel.kind = "internal",
        otel.status_code = Empty,
        parlor.chatflow.id = %chatflow,
        "error.type" = Empty,
    );
    span.follows_from(current());
    span
}

/// Does the work within its span, and notes how it failed.
pub fn within<T>(
    span: Span,
    work: impl Future<Output = Result<T, Fault>>,
) -> impl Future<Output = Result<T, Fault>> {
    watched(span, work, |span, fault| failed(span, format_args!("{:?}", fault.code)))
}

/// A number that stands for a session while the server runs. A session's own
/// id may be a person's address, and who knows a chat's id may act in it.
struct Conversation(u64);

impl Conversation {
    fn of(key: &SessionKey) -> Self {
        static SECRET: OnceLock<RandomState> = OnceLock::new();
        Self(SECRET.get_or_init(RandomState::new).hash_one(key))
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
