//! A server whose traces are collected, and what the collector got.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::stores::StoreServer;
use crate::support::{Caller, Options, Parlor};

/// A span as it came.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    pub name: String,
    pub kind: String,
    pub trace_id: String,
    pub span_id: String,
    pub parent: String,
    pub links: Vec<String>,
    pub events: u64,
    pub status: String,
    pub attributes: Map<String, Value>,
    pub resource: Map<String, Value>,
    pub headers: Map<String, Value>,
}

impl Span {
    /// An attribute, null where there is none.
    pub fn attribute(&self, name: &str) -> Value {
        self.attributes.get(name).cloned().unwrap_or_default()
    }
}

/// A server and its collector.
pub struct Traced {
    pub server: Parlor,
    collector: StoreServer,
}

impl Traced {
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        // It decodes with OpenTelemetry's own classes.
        let collector = StoreServer::script("otlp_server.py");
        let options = options.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
        Self { server: Parlor::start_with(options), collector }
    }

    /// Stops the server, so that it sends what it has; all spans, in the order of
    /// their ends, and all bytes.
    pub async fn collect(mut self) -> (Spans, String) {
        let status = self.server.terminate().await;
        assert!(status.success(), "{status}");
        let caller = Caller::new(self.collector.url());
        let spans = serde_json::from_str(&caller.get("/spans").await.expect(200).body).unwrap();
        (Spans(spans), caller.get("/bytes").await.expect(200).body)
    }
}

/// What was collected.
#[derive(Debug)]
pub struct Spans(pub Vec<Span>);

impl Spans {
    /// The spans of this name.
    pub fn named(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    /// The only span of this name.
    pub fn only(&self, name: &str) -> &Span {
        let found = self.named(name);
        let names: Vec<_> = self.0.iter().map(|span| &span.name).collect();
        assert_eq!(found.len(), 1, "{name}: {names:?}");
        found[0]
    }

    /// Its children of this name.
    pub fn under(&self, parent: &Span, name: &str) -> Vec<&Span> {
        let named = self.named(name).into_iter();
        named
            .filter(|span| span.parent == parent.span_id && span.trace_id == parent.trace_id)
            .collect()
    }
}
