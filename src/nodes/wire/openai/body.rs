//! The body of a Chat Completions request, borrowed from the prompt.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::models::{reasons, refuses_stop_words};
use super::{Dialect, Settings};
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
    random_seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_prompt: Option<bool>,
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
    tool_call_id: Option<Cow<'a, str>>,
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
    id: Cow<'a, str>,
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
    dialect: Dialect,
    request: &'a ChatRequest,
    stream: bool,
) -> Body<'a> {
    let reasons = reasons(&settings.model);
    let sampled = |setting: Option<f64>| setting.filter(|_| !reasons);
    let tools = request.tools.iter().map(|tool| self::tool(tool, settings.strict_tools));
    let messages = request.messages.iter().map(|message| self::message(message, dialect));
    Body {
        model: &settings.model,
        messages: messages.collect(),
        temperature: sampled(settings.temperature),
        max_tokens: settings.max_tokens.filter(|_| !reasons),
        max_completion_tokens: settings.max_tokens.filter(|_| reasons),
        top_p: sampled(settings.top_p),
        frequency_penalty: sampled(settings.frequency_penalty),
        presence_penalty: sampled(settings.presence_penalty),
        stop: stop(settings, request),
        reasoning_effort: settings.reasoning_effort.as_deref(),
        tools: tools.collect(),
        tool_choice: choice(request, dialect),
        response_format: request.output_schema.as_ref().map(format),
        random_seed: settings.random_seed,
        safe_prompt: settings.safe_prompt.then_some(true),
        stream: stream.then_some(true),
        stream_options: (stream && dialect.asks_for_usage())
            .then_some(StreamOptions { include_usage: true }),
    }
}

fn stop<'a>(settings: &'a Settings, request: &'a ChatRequest) -> Vec<&'a str> {
    if refuses_stop_words(&settings.model) {
        return Vec::new();
    }
    settings.stop.iter().chain(&request.stop).map(String::as_str).collect()
}

fn message(message: &ModelMessage, dialect: Dialect) -> Message<'_> {
    // Mistral refuses a message that both says something and calls tools.
    let only_calls = dialect == Dialect::Mistral && !message.tool_calls.is_empty();
    Message {
        role: match message.speaker {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::Tool => "tool",
        },
        content: content(message).filter(|_| !only_calls),
        tool_calls: message.tool_calls.iter().map(|call| called(call, dialect)).collect(),
        tool_call_id: message.tool_call_id.as_deref().map(|id| dialect.call_id(id)),
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

fn called(call: &ToolCall, dialect: Dialect) -> Called<'_> {
    let function = CalledFunction { name: &call.name, arguments: call.arguments.to_string() };
    Called { id: dialect.call_id(&call.id), r#type: "function", function }
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
fn choice(request: &ChatRequest, dialect: Dialect) -> Option<Choice<'_>> {
    if request.tools.is_empty() {
        return None;
    }
    match &request.tool_choice {
        ToolChoice::Auto => None,
        ToolChoice::Required => Some(Choice::Word(dialect.any_tool())),
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_that_reasons_gets_its_own_limit_and_nothing_of_sampling() {
        let settings = |model: &str| Settings {
            model: model.to_owned(),
            temperature: Some(0.5),
            max_tokens: Some(9),
            top_p: Some(0.5),
            frequency_penalty: Some(1.0),
            presence_penalty: Some(1.0),
            ..Settings::default()
        };
        for model in ["o3-mini", "gpt-5-mini"] {
            let expected = json!({ "model": model, "messages": [], "max_completion_tokens": 9 });
            assert_eq!(body(&settings(model), Dialect::OpenAi, false), expected);
        }
        let expected = json!({
            "model": "gpt-4o", "messages": [], "temperature": 0.5, "max_tokens": 9,
            "top_p": 0.5, "frequency_penalty": 1.0, "presence_penalty": 1.0,
        });
        assert_eq!(body(&settings("gpt-4o"), Dialect::OpenAi, false), expected);
    }

    #[test]
    fn stop_words_go_to_models_that_take_them() {
        for (model, is_sent) in [("gpt-4o", true), ("o1", true), ("gpt-5", false)] {
            let stop = vec!["END".to_owned()];
            let settings = Settings { model: model.to_owned(), stop, ..Settings::default() };
            let body = body(&settings, Dialect::OpenAi, false);
            assert_eq!(body.get("stop").is_some(), is_sent, "{model}");
        }
    }

    #[test]
    fn only_who_can_is_asked_for_the_usage_of_a_stream() {
        for (dialect, is_asked) in [
            (Dialect::OpenAi, true),
            (Dialect::Azure { counts_streams: true }, true),
            (Dialect::Azure { counts_streams: false }, false),
            (Dialect::Mistral, false),
        ] {
            let body = body(&Settings::default(), dialect, true);
            assert_eq!(body["stream"], json!(true));
            assert_eq!(body.get("stream_options").is_some(), is_asked, "{dialect:?}");
        }
    }

    fn body(settings: &Settings, dialect: Dialect, stream: bool) -> Value {
        let request = ChatRequest::default();
        serde_json::to_value(write(settings, dialect, &request, stream)).unwrap()
    }
}
