//! Attributes that are lists: a field of a span holds one value.

use std::time::Duration;

use opentelemetry::{Array, Context, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

/// A list in OpenTelemetry's conventions, of which a call has one.
const LIST: &str = "gen_ai.response.finish_reasons";

/// Makes lists of the attributes that are some, and hands the span on.
#[derive(Debug)]
pub(super) struct Lists<P>(pub(super) P);

impl<P: SpanProcessor> SpanProcessor for Lists<P> {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.0.on_start(span, cx);
    }

    fn on_end(&self, mut span: SpanData) {
        for attribute in &mut span.attributes {
            if attribute.key.as_str() == LIST
                && let Value::String(only) = &attribute.value
            {
                attribute.value = Value::Array(Array::String(vec![only.clone()]));
            }
        }
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
