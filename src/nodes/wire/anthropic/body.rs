//! The body of a Messages request, borrowed from the prompt.

use serde::Serialize;
use serde_json::Value;

use super::Settings;
use crate::model::{ChatRequest, ModelMessage, Part, Speaker, ToolChoice};

/// The body.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    system: String,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

#[derive(Serialize)]
struct Thinking {
    r#type: &'static str,
    budget_tokens: i64,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    Image { source: Source<'a> },
    ToolUse { id: &'a str, name: &'a str, input: &'a Value },
    ToolResult { tool_use_id: &'a str, content: String },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: &'a Value,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Choice<'a> {
    Any,
    None,
    Tool { name: &'a str },
}

/// Puts the node's settings and the prompt into one body.
pub(super) fn write<'a>(
    settings: &'a Settings,
    request: &'a ChatRequest,
    stream: bool,
) -> Body<'a> {
    let budget = settings.thinking_budget.filter(|_| may_think(request));
    let thinks = budget.is_some();
    let thinking = |budget_tokens| Thinking { r#type: "enabled", budget_tokens };
    Body {
        model: &settings.model,
        max_tokens: settings.max_tokens,
        system: system(&request.messages),
        messages: messages(&request.messages),
        temperature: settings.temperature.filter(|_| !thinks),
        top_p: settings.top_p.filter(|_| !thinks),
        top_k: settings.top_k.filter(|_| !thinks),
        thinking: budget.map(thinking),
        // The provider refuses stop words of white space.
        stop_sequences: request
            .stop
            .iter()
            .map(String::as_str)
            .filter(|word| !word.trim().is_empty())
            .collect(),
        tools: tools(request),
        tool_choice: choice(request),
        stream: stream.then_some(true),
    }
}

/// A model that thought before it called a tool wants its thoughts back with
/// the tool's result, and our messages do not keep them; nor may a model that
/// thinks be forced to a tool.
fn may_think(request: &ChatRequest) -> bool {
    let has_called = request.messages.iter().any(|message| !message.tool_calls.is_empty());
    let is_forced = matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
    !has_called && !is_forced && request.output_schema.is_none()
}

fn system(messages: &[ModelMessage]) -> String {
    let texts = messages.iter().filter(|message| message.speaker == Speaker::System);
    let texts: Vec<String> =
        texts.map(ModelMessage::plain).filter(|text| !text.trim().is_empty()).collect();
    texts.join("\n\n")
}

/// The conversation. Speakers must alternate, so what follows from the same
/// one joins the message before it.
fn messages(messages: &[ModelMessage]) -> Vec<Message<'_>> {
    let mut merged: Vec<Message<'_>> = Vec::new();
    for message in messages {
        let role = match message.speaker {
            Speaker::System => continue,
            Speaker::User | Speaker::Tool => "user",
            Speaker::Assistant => "assistant",
        };
        let blocks = blocks(message);
        if blocks.is_empty() {
            continue;
        }
        match merged.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ => merged.push(Message { role, content: blocks }),
        }
    }
    merged
}

fn blocks(message: &ModelMessage) -> Vec<Block<'_>> {
    if message.speaker == Speaker::Tool {
        let tool_use_id = message.tool_call_id.as_deref().unwrap_or_default();
        return vec![Block::ToolResult { tool_use_id, content: message.plain() }];
    }
    let parts = message.parts.iter().filter_map(block);
    let calls = message.tool_calls.iter().map(|call| Block::ToolUse {
        id: &call.id,
        name: &call.name,
        input: &call.arguments,
    });
    parts.chain(calls).collect()
}

/// A part as a block; the provider refuses an empty text.
fn block(part: &Part) -> Option<Block<'_>> {
    match part {
        Part::Text(text) if text.trim().is_empty() => None,
        Part::Text(text) => Some(Block::Text { text }),
        Part::Image { url, .. } => Some(Block::Image { source: source(url) }),
    }
}

fn source(url: &str) -> Source<'_> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match data {
        Some((media_type, data)) => Source::Base64 { media_type, data },
        None => Source::Url { url },
    }
}

/// The tools; an output schema is one more, whose arguments are the answer.
fn tools(request: &ChatRequest) -> Vec<Tool<'_>> {
    let tools = request.tools.iter().map(|tool| Tool {
        name: &tool.name,
        description: &tool.description,
        input_schema: &tool.parameters,
    });
    let schema = request.output_schema.iter().map(|schema| Tool {
        name: &schema.name,
        description: "Gives the answer in the shape that is asked for.",
        input_schema: &schema.schema,
    });
    tools.chain(schema).collect()
}

fn choice(request: &ChatRequest) -> Option<Choice<'_>> {
    match (&request.output_schema, &request.tool_choice) {
        (Some(schema), _) => Some(Choice::Tool { name: &schema.name }),
        (None, _) if request.tools.is_empty() => None,
        (None, ToolChoice::Auto) => None,
        (None, ToolChoice::None) => Some(Choice::None),
        (None, ToolChoice::Required) => Some(Choice::Any),
        (None, ToolChoice::Named(name)) => Some(Choice::Tool { name }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ToolCall;

    fn body(request: &ChatRequest) -> Value {
        let settings = Settings {
            model: "m".to_owned(),
            max_tokens: 3000,
            temperature: Some(0.5),
            thinking_budget: Some(1024),
            ..Settings::default()
        };
        serde_json::to_value(write(&settings, request, false)).unwrap()
    }

    #[test]
    fn a_model_that_thinks_has_no_temperature() {
        let body = body(&ChatRequest::new(vec![ModelMessage::text(Speaker::User, "hi")]));

        assert_eq!(body["thinking"], json!({ "type": "enabled", "budget_tokens": 1024 }));
        assert_eq!(body.get("temperature"), None);
    }

    #[test]
    fn a_model_that_called_a_tool_answers_without_thinking() {
        let call = ToolCall { id: "c".to_owned(), name: "add".to_owned(), arguments: json!({}) };
        let called =
            ModelMessage { tool_calls: vec![call], ..ModelMessage::text(Speaker::Assistant, "") };

        let body = body(&ChatRequest::new(vec![called]));

        assert_eq!((body.get("thinking"), &body["temperature"]), (None, &json!(0.5)));
    }
}
