//! Steps of an agent told as they happen, where its author wants them told
//! (`enableDetailedStreaming`): the events `agent_trace` of Flowise 2.2.8.

use parlor_schemas::StreamEvent;
use serde_json::{Value, json};
use uuid::Uuid;

use super::findings::{MAX_OBSERVATION, cut};
use crate::error::NodeError;
use crate::events::EventSink;

/// Tells the steps of one run, or nothing.
pub(super) struct Trace {
    events: EventSink,
    run_id: Uuid,
}

/// One call of a tool.
pub(super) struct ToolRun<'a> {
    trace: &'a Trace,
    run_id: Uuid,
}

impl Trace {
    /// A trace that nobody hears.
    pub(super) fn off() -> Self {
        Self::to(&EventSink::none())
    }

    /// A trace that the request's client hears.
    pub(super) fn to(events: &EventSink) -> Self {
        Self { events: events.clone(), run_id: Uuid::new_v4() }
    }

    /// The model wants a tool.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`] when the client left, here and below.
    pub(super) async fn action(&self, tool: &str, input: &Value) -> Result<(), NodeError> {
        if !self.events.is_open() {
            return Ok(());
        }
        let action = json!({"tool": tool, "toolInput": input, "log": ""}).to_string();
        let step = json!({
            "step": "agent_action", "action": action, "runId": self.run_id, "parentRunId": null,
        });
        self.events.emit(StreamEvent::AgentTrace(step)).await
    }

    /// A tool begins.
    pub(super) async fn start(&self, tool: &str, input: &Value) -> Result<ToolRun<'_>, NodeError> {
        let run = ToolRun { trace: self, run_id: Uuid::new_v4() };
        if self.events.is_open() {
            run.emit("tool_start", &[("name", tool), ("input", &input.to_string())]).await?;
        }
        Ok(run)
    }
}

impl ToolRun<'_> {
    /// The tool returned.
    pub(super) async fn end(&self, output: &str) -> Result<(), NodeError> {
        self.emit("tool_end", &[("output", output)]).await
    }

    /// The tool failed.
    pub(super) async fn error(&self, error: &str) -> Result<(), NodeError> {
        self.emit("tool_error", &[("error", error)]).await
    }

    async fn emit(&self, step: &str, details: &[(&str, &str)]) -> Result<(), NodeError> {
        if !self.trace.events.is_open() {
            return Ok(());
        }
        let mut event = json!({"step": step});
        for (name, text) in details {
            event[*name] = Value::String(cut((*text).to_owned(), MAX_OBSERVATION));
        }
        event["runId"] = json!(self.run_id);
        event["parentRunId"] = json!(self.trace.run_id);
        self.trace.events.emit(StreamEvent::AgentTrace(event)).await
    }
}
