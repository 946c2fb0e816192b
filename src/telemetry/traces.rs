//! Traces over OTLP/HTTP. Where they go, how they are sampled and what they say
//! of the service is set by OpenTelemetry's own environment variables; without
//! an endpoint among them none are made.
//!
//! A span that ends is put into a bounded queue, or dropped where that is full;
//! a thread of its own sends them, so no request waits for a collector.

mod lists;
mod sender;

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use anyhow::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use parlor_nodes::spans::{TARGET, current};
use parlor_schemas::TraceId;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;

use super::BoxedLayer;
use lists::Lists;
use sender::Sender;

/// The standard's variables that say where traces go.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// How long the last spans may take when the server leaves.
const FAREWELL: Duration = Duration::from_secs(2);
const NAME: &str = "parlor";

/// Sends spans, if an endpoint is set.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    pub(super) fn begin() -> anyhow::Result<(Self, Option<BoxedLayer>)> {
        if !is_wanted() {
            return Ok((Self(None), None));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new()?)
            .build()
            .context("traces cannot be sent; look at the variables OTEL_EXPORTER_OTLP_*")?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Lists(BatchSpanProcessor::builder(exporter).build()))
            .with_resource(resource())
            .build();
        // Only the spans that are made for traces, and no line of the log.
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(NAME))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(Targets::new().with_target(TARGET, Level::INFO));
        Ok((Self(Some(provider)), Some(layer.boxed())))
    }

    /// Sends what is left, and gives up after two seconds.
    pub async fn flush(self) {
        let Some(provider) = self.0 else { return };
        // Not on this thread: it would stand still meanwhile.
        let sending = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FAREWELL));
        if !matches!(sending.await, Ok(Ok(()))) {
            tracing::warn!("the last traces were not sent");
        }
    }
}

fn is_wanted() -> bool {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled = std::env::var("OTEL_SDK_DISABLED");
    ENDPOINTS.iter().any(is_set)
        && !disabled.is_ok_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// What the environment says of the service, which is called `parlor` where it
/// says nothing.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let told = Resource::builder().build();
    let name = told.get(&Key::from_static_str("service.name"));
    let is_told = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attribute(version);
    if is_told { resource.build() } else { resource.with_service_name(NAME).build() }
}

/// The trace of the request that is being handled, where it is collected.
pub fn trace_id() -> Option<TraceId> {
    let span = current();
    if span.is_disabled() {
        return None;
    }
    TraceId::from_bytes(span.context().span().span_context().trace_id().to_bytes())
}

/// Makes a span part of its caller's trace, where the caller takes part in one.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&TraceParent(headers));
    if parent.span().span_context().is_valid() {
        // An error says that the span was sent already, which a new one was not.
        let _ = span.set_parent(parent);
    }
}

/// The one header of a caller that is read: `tracestate` is free text.
struct TraceParent<'a>(&'a HeaderMap);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = (key == "traceparent").then(|| self.0.get(key)).flatten();
        value.and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}
