//! What the tools of a run brought: `usedTools`, `sourceDocuments` and
//! `artifacts` of the reply, and bounds on what the model reads of it.

use parlor_schemas::StreamEvent;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::NodeError;
use crate::events::EventSink;
use crate::instance::{Document, RunOutput};

/// Most bytes of one tool's output that a model reads.
pub(super) const MAX_OBSERVATION: usize = 100_000;
/// Most bytes of all outputs of a run together.
const MAX_OBSERVATIONS: usize = 1_000_000;

/// Stands where an output was cut.
const CUT: &str = "\n[the rest of this output is left out]";

/// A call as the reply tells it (contract of Flowise 2.2.8, section 1.7).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsedTool {
    /// The tool's name.
    pub(super) tool: String,
    /// What the model gave it.
    pub(super) tool_input: Value,
    /// What it returned; empty where it failed.
    pub(super) tool_output: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// What one call brought.
#[derive(Default)]
pub(super) struct Outcome {
    /// What the model shall read.
    pub(super) observation: String,
    /// Set when that is the run's answer.
    pub(super) is_answer: bool,
    /// The call, where there was such a tool.
    pub(super) used: Option<UsedTool>,
    /// Passages behind the output.
    pub(super) source_documents: Vec<Document>,
    /// Images and files.
    pub(super) artifacts: Vec<Value>,
}

/// What all calls of a run brought so far, in the order of the calls.
#[derive(Default)]
pub(super) struct Findings {
    used_tools: Vec<UsedTool>,
    source_documents: Vec<Document>,
    artifacts: Vec<Value>,
    n_read: usize,
}

impl Findings {
    /// Keeps what a call brought, and gives back what the model reads of it.
    pub(super) fn add(&mut self, outcome: Outcome) -> String {
        let room = MAX_OBSERVATION.min(MAX_OBSERVATIONS.saturating_sub(self.n_read));
        let observation = cut(outcome.observation, room);
        self.n_read += observation.len();
        self.used_tools.extend(outcome.used.map(|mut used| {
            used.tool_output = cut(used.tool_output, room);
            used
        }));
        self.source_documents.extend(outcome.source_documents);
        self.artifacts.extend(outcome.artifacts);
        observation
    }

    /// Tells a listening client, in the recorded order.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`] when the client left.
    pub(super) async fn announce(&self, events: &EventSink) -> Result<(), NodeError> {
        if !self.source_documents.is_empty() {
            events.emit(StreamEvent::SourceDocuments(json(&self.source_documents))).await?;
        }
        if !self.used_tools.is_empty() {
            events.emit(StreamEvent::UsedTools(json(&self.used_tools))).await?;
        }
        if !self.artifacts.is_empty() {
            events.emit(StreamEvent::Artifacts(json(&self.artifacts))).await?;
        }
        Ok(())
    }

    /// The run's output; what is empty is left out.
    pub(super) fn output(&self, text: impl Into<String>) -> RunOutput {
        let mut fields = Map::new();
        fields.insert("text".into(), Value::String(text.into()));
        let found = [
            ("sourceDocuments", json(&self.source_documents)),
            ("usedTools", json(&self.used_tools)),
            ("artifacts", json(&self.artifacts)),
        ];
        let found = found.into_iter().filter(|(_, value)| value != &Value::Array(Vec::new()));
        fields.extend(found.map(|(name, value)| (name.to_owned(), value)));
        RunOutput { fields }
    }
}

/// A text of at most `room` bytes, and a word where it was longer.
pub(super) fn cut(mut text: String, room: usize) -> String {
    if text.len() > room {
        text.truncate(text.floor_char_boundary(room));
        text.push_str(CUT);
    }
    text
}

/// Texts and trees have no way to fail.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(text: &str) -> Outcome {
        let used = UsedTool {
            tool: "t".to_owned(),
            tool_input: json!({}),
            tool_output: text.to_owned(),
            error: None,
        };
        Outcome { observation: text.to_owned(), used: Some(used), ..Outcome::default() }
    }

    #[test]
    fn an_output_too_long_is_cut_between_characters_and_says_so() {
        let mut findings = Findings::default();
        let text = "€".repeat(MAX_OBSERVATION);

        let observation = findings.add(outcome(&text));

        assert!(observation.len() <= MAX_OBSERVATION + CUT.len());
        assert!(observation.starts_with('€') && observation.ends_with(CUT));
        assert_eq!(findings.used_tools[0].tool_output, observation);
    }

    #[test]
    fn all_outputs_together_have_a_bound() {
        let mut findings = Findings::default();
        let text = "x".repeat(MAX_OBSERVATION);
        let n_read: usize = (0..100).map(|_| findings.add(outcome(&text)).len()).sum();

        assert!(n_read <= MAX_OBSERVATIONS + 100 * CUT.len(), "{n_read}");
        assert_eq!(findings.add(outcome(&text)), CUT);
        assert_eq!(findings.add(outcome("")), "");
    }

    #[test]
    fn the_reply_has_the_recorded_order_and_leaves_out_what_is_empty() {
        let mut findings = Findings::default();
        assert_eq!(findings.output("hi"), RunOutput::text("hi"));

        let document = Document::new("p", Map::new());
        let found = Outcome {
            source_documents: vec![document],
            artifacts: vec![json!({"type": "png"})],
            ..outcome("out")
        };
        findings.add(found);

        let output = findings.output("hi").fields;
        let names: Vec<_> = output.keys().map(String::as_str).collect();
        assert_eq!(names, ["text", "sourceDocuments", "usedTools", "artifacts"]);
        let used = r#"[{"tool":"t","toolInput":{},"toolOutput":"out"}]"#;
        assert_eq!(output["usedTools"].to_string(), used);
    }
}
