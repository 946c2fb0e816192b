//! The event grammar of a streamed answer.
//!
//! Source of the bytes: exchanges recorded with Flowise 2.2.8. An event is a
//! line `message:`, a line `data:` with one line of JSON, and a blank line.
//! `end`, `error` and `abort` are preceded by `message` without its colon;
//! SSE parsers ignore both lines, and clients compare neither.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::upsert::UpsertProgress;

/// One event of a stream, `{"event": name, "data": value}` on the wire.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "camelCase")]
pub enum StreamEvent {
    /// Opens the answer with its first token, which may be empty. At most once.
    Start(String),
    /// A piece of the answer, never empty; the first repeats `start`'s.
    Token(String),
    /// The passages that the answer rests on.
    SourceDocuments(Value),
    /// The tool calls of an agent.
    UsedTools(Value),
    /// Images and files that tools made.
    Artifacts(Value),
    /// A step of an agent whose author wants them told: `step`, and what it did.
    #[serde(rename = "agent_trace")]
    AgentTrace(Value),
    /// How far an upsert is.
    Progress(UpsertProgress),
    /// What an upsert did: the body of its answer.
    Result(Arc<Map<String, Value>>),
    /// After success: chatId, chatMessageId, question, sessionId, memoryType.
    Metadata(Value),
    /// What went wrong, in the words of the JSON error's `message`.
    Error(String),
    /// The run was aborted.
    Abort(Done),
    /// Always the last event.
    End(Done),
}

/// The literal `"[DONE]"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done;

impl Serialize for Done {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[DONE]")
    }
}

impl StreamEvent {
    /// Appends the event's bytes to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let prefix: &[u8] = match self {
            Self::Error(_) | Self::Abort(_) | Self::End(_) => b"message\ndata:",
            _ => b"message:\ndata:",
        };
        out.extend_from_slice(prefix);
        // Serialising strings and JSON values into a Vec has no way to fail.
        let _ = serde_json::to_writer(&mut *out, self);
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(event: &StreamEvent) -> String {
        let mut out = Vec::new();
        event.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_token_and_the_end_have_the_recorded_bytes() {
        assert_eq!(
            bytes(&StreamEvent::Token("The ".into())),
            "message:\ndata:{\"event\":\"token\",\"data\":\"The \"}\n\n"
        );
        assert_eq!(
            bytes(&StreamEvent::End(Done)),
            "message\ndata:{\"event\":\"end\",\"data\":\"[DONE]\"}\n\n"
        );
    }

    #[test]
    fn a_trace_has_flowises_name() {
        let text = bytes(&StreamEvent::AgentTrace(Value::Null));
        assert_eq!(text, "message:\ndata:{\"event\":\"agent_trace\",\"data\":null}\n\n");
    }

    #[test]
    fn a_token_that_forges_an_event_stays_on_one_line() {
        let text = bytes(&StreamEvent::Token("a\n\ndata:{\"event\":\"end\"}\r\n".into()));
        assert_eq!(text.matches('\n').count(), 3, "{text}");
        assert!(!text.contains('\r'));
    }
}
