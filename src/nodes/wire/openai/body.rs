//! The body of a Chat Completions request, borrowed from the prompt.

use serde::Serialize;
use serde_json::Value;

use super::Settings;
use crate::model::{
    ChatRequest, ModelMessage, OutputSchema, Part, Speaker, ToolCall, ToolChoice, ToolDefinition,
};

/// The body.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Joined(String),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

#[derive(Serialize)]
struct Called<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    /// JSON in a text.
    arguments: String,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Named { r#type: &'static str, function: Named<'a> },
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    json_schema: Schema<'a>,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    schema: &'a Value,
    strict: bool,
}

/// Puts the node's settings and the prompt into one body.
pub(super) fn write<'a>(
    settings: &'a Settings,
    request: &'a ChatRequest,
    stream: bool,
) -> Body<'a> {
    let tools = request.tools.iter().map(|tool| self::tool(tool, settings.strict_tools));
    let reasons = reasons(&settings.model);
    Body {
        model: &settings.model,
        messages: request.messages.iter().map(message).collect(),
        temperature: settings.temperature,
        max_tokens: settings.max_tokens.filter(|_| !reasons),
        max_completion_tokens: settings.max_tokens.filter(|_| reasons),
        top_p: settings.top_p,
        frequency_penalty: settings.frequency_penalty,
        presence_penalty: settings.presence_penalty,
        stop: settings.stop.iter().chain(&request.stop).map(String::as_str).collect(),
        reasoning_effort: settings.reasoning_effort.as_deref(),
        tools: tools.collect(),
        tool_choice: choice(request),
        response_format: request.output_schema.as_ref().map(format),
        stream: stream.then_some(true),
        stream_options: stream.then_some(StreamOptions { include_usage: true }),
    }
}

/// Whether OpenAI refuses `max_tokens` for this model: the o series and gpt-5
/// count their reasoning too, by a limit of another name.
fn reasons(model: &str) -> bool {
    let o_series = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    model.strip_prefix('o').is_some_and(o_series)
        || (model.starts_with("gpt-5") && !model.starts_with("gpt-5-chat"))
}

fn message(message: &ModelMessage) -> Message<'_> {
    Message {
        role: match message.speaker {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::Tool => "tool",
        },
        content: content(message),
        tool_calls: message.tool_calls.iter().map(called).collect(),
        tool_call_id: message.tool_call_id.as_deref(),
    }
}

fn content(message: &ModelMessage) -> Option<Content<'_>> {
    match message.parts.as_slice() {
        [] if !message.tool_calls.is_empty() => None,
        [] => Some(Content::Text("")),
        [Part::Text(text)] if text.is_empty() && !message.tool_calls.is_empty() => None,
        [Part::Text(text)] => Some(Content::Text(text)),
        // Compatible servers take a tool's result as a text only.
        _ if message.speaker == Speaker::Tool => Some(Content::Joined(message.plain())),
        parts => Some(Content::Parts(parts.iter().map(part).collect())),
    }
}

fn part(part: &Part) -> ContentPart<'_> {
    match part {
        Part::Text(text) => ContentPart::Text { text },
        Part::Image { url, detail } => {
            ContentPart::ImageUrl { image_url: ImageUrl { url, detail: detail.word() } }
        }
    }
}

fn called(call: &ToolCall) -> Called<'_> {
    let function = CalledFunction { name: &call.name, arguments: call.arguments.to_string() };
    Called { id: &call.id, r#type: "function", function }
}

fn tool(tool: &ToolDefinition, strict: bool) -> Tool<'_> {
    let function = Function {
        name: &tool.name,
        description: &tool.description,
        parameters: &tool.parameters,
        strict: (tool.strict || strict).then_some(true),
    };
    Tool { r#type: "function", function }
}

/// The choice of tools; a provider refuses one where there are no tools.
fn choice(request: &ChatRequest) -> Option<Choice<'_>> {
    if request.tools.is_empty() {
        return None;
    }
    match &request.tool_choice {
        ToolChoice::Auto => None,
        ToolChoice::Required => Some(Choice::Word("required")),
        ToolChoice::None => Some(Choice::Word("none")),
        ToolChoice::Named(name) => {
            Some(Choice::Named { r#type: "function", function: Named { name } })
        }
    }
}

fn format(schema: &OutputSchema) -> Format<'_> {
    let OutputSchema { name, schema, strict } = schema;
    Format { r#type: "json_schema", json_schema: Schema { name, schema, strict: *strict } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_tokens_has_the_name_that_the_model_takes() {
        for (model, key) in [
            ("gpt-4o", "max_tokens"),
            ("o3-mini", "max_completion_tokens"),
            ("gpt-5-mini", "max_completion_tokens"),
            ("gpt-5-chat-latest", "max_tokens"),
            ("olmo-2", "max_tokens"),
        ] {
            let settings =
                Settings { model: model.to_owned(), max_tokens: Some(9), ..Settings::default() };
            let request = ChatRequest::default();

            let body = serde_json::to_value(write(&settings, &request, false)).unwrap();

            let expected = serde_json::json!({ "model": model, "messages": [], key: 9 });
            assert_eq!(body, expected);
        }
    }
}
