//! Follow-up prompts: after an answer, a model of the operator's choice
//! suggests what could be asked next. They are an extra: what goes wrong here
//! is logged and never costs the answer.

use std::sync::Arc;
use std::time::Duration;

use parlor_nodes::instance::ChatModel;
use parlor_nodes::model::{ChatRequest, ModelMessage, OutputSchema, Speaker};
use parlor_nodes::{Instance, TurnCtx};
use parlor_schemas::flow_file::{FlowNode, NodeData};
use parlor_schemas::{Chatflow, Fault};
use serde_json::{Map, Value, json};

use super::plan::{self, BindSecrets};

/// The caller waits for the suggestions, so a slow model must not hold the end of a turn for long.
const LIMIT: Duration = Duration::from_secs(30);

/// The settings of a chatflow's column `followUpPrompts`, with their model.
pub struct FollowUp {
    model: Arc<dyn ChatModel>,
    /// The author's text; `{history}` in it is the answer.
    prompt: String,
}

impl FollowUp {
    /// Reads the column; `None` where it is switched off or cannot work.
    pub fn of(chatflow: &Chatflow, bind: &BindSecrets<'_>) -> Option<Self> {
        let settings = Chatflow::settings(chatflow.follow_up_prompts.as_deref());
        if settings.get("status").and_then(Value::as_bool) != Some(true) {
            return None;
        }
        let provider = settings.get("selectedProvider")?.as_str()?;
        let chosen = settings.get(provider)?.as_object()?;
        let model = model(provider, chosen, bind).unwrap_or_else(|why| {
            tracing::warn!(chatflow = %chatflow.id, "no follow-up prompts: {why}");
            None
        })?;
        let prompt = chosen.get("prompt")?.as_str().filter(|text| !text.is_empty())?;
        Some(Self { model, prompt: prompt.to_owned() })
    }

    /// The questions that could follow, as JSON text of an array.
    pub async fn suggest(&self, answer: &str, ctx: &TurnCtx) -> Option<String> {
        let prompt = self.prompt.replace("{history}", answer);
        let request = ChatRequest {
            messages: vec![ModelMessage::text(Speaker::User, prompt)],
            output_schema: Some(schema()),
            ..ChatRequest::default()
        };
        let asked = tokio::time::timeout(LIMIT, self.model.call(request, ctx, false)).await;
        let problem = match asked {
            Ok(Ok(reply)) => match questions(&reply.text) {
                Some(questions) => return Some(questions),
                None => "the model's answer holds no questions".to_owned(),
            },
            Ok(Err(error)) => Fault::from(error).for_log().to_owned(),
            Err(_) => format!("the model took more than {} seconds", LIMIT.as_secs()),
        };
        tracing::warn!(chatflow = %ctx.chatflow, "no follow-up prompts: {problem}");
        None
    }
}

/// The node of that name with these settings; the setting `ollama` means the
/// node `chatOllama`.
fn model(
    provider: &str,
    chosen: &Map<String, Value>,
    bind: &BindSecrets<'_>,
) -> Result<Option<Arc<dyn ChatModel>>, String> {
    let name = if provider == "ollama" { "chatOllama" } else { provider };
    let credential = chosen.get("credentialId").and_then(Value::as_str);
    let node = FlowNode {
        id: format!("followUpPrompts_{name}"),
        data: NodeData {
            label: "Follow-up prompts".to_owned(),
            name: name.to_owned(),
            inputs: chosen.clone(),
            credential: credential.filter(|id| !id.is_empty()).map(str::to_owned),
            ..NodeData::default()
        },
        extra: Map::new(),
    };
    match plan::build_alone(&node, bind).map_err(|error| error.to_string())? {
        Some(Instance::ChatModel(model)) => Ok(Some(model)),
        _ => Err(format!("{name} is no chat model that Parlor runs")),
    }
}

fn schema() -> OutputSchema {
    OutputSchema {
        name: "follow_up_questions".to_owned(),
        schema: json!({
            "type": "object",
            "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
            "required": ["questions"],
            "additionalProperties": false,
        }),
        strict: true,
    }
}

fn questions(reply: &str) -> Option<String> {
    let reply: Value = serde_json::from_str(reply.trim()).ok()?;
    let listed = reply.get("questions")?.as_array()?;
    let texts: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
    (!texts.is_empty()).then(|| json!(texts).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_under_questions_are_taken() {
        let taken = questions(" {\"questions\": [\"Why?\", 7, \"How?\"]}\n");
        assert_eq!(taken.as_deref(), Some("[\"Why?\",\"How?\"]"));
        for reply in ["", "Why?", "[\"Why?\"]", "{\"questions\": []}", "{\"questions\": \"Why?\"}"]
        {
            assert_eq!(questions(reply), None, "{reply}");
        }
    }
}
