//! The body of a generateContent request, borrowed from the prompt.
//!
//! Source: Gemini API reference, "Generating content" and "Caching" (`Content`,
//! `Part`, `Tool`, `ToolConfig`).

use serde::Serialize;
use serde_json::Value;

use super::call_id::CallId;
use super::{Safety, Settings, schema};
use crate::error::NodeError;
use crate::model::{ChatRequest, ModelMessage, Part, Speaker, ToolCall, ToolChoice};

/// The body; Gemini calls a message a content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    generation_config: Config<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    safety_settings: &'a [Safety],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Piece<'a>>,
}

/// A part: one of its fields, and the signature beside a call.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Returned<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
struct Called<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    args: &'a Value,
}

#[derive(Serialize)]
struct Returned<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Output,
}

#[derive(Serialize)]
struct Output {
    output: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_schema: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

/// Puts the node's settings and the prompt into one body.
///
/// # Errors
/// [`NodeError::BadRequest`] for an image that Gemini would have to fetch, and
/// for a prompt without a word of the conversation.
pub(super) fn write<'a>(
    settings: &'a Settings,
    request: &'a ChatRequest,
) -> Result<Body<'a>, NodeError> {
    Ok(Body {
        system_instruction: system(request),
        contents: contents(request)?,
        generation_config: config(settings, request),
        safety_settings: &settings.safety,
        tools: tools(request),
        tool_config: tool_config(request),
    })
}

fn config<'a>(settings: &'a Settings, request: &'a ChatRequest) -> Config<'a> {
    let schema = request.output_schema.as_ref();
    Config {
        temperature: settings.temperature,
        top_p: settings.top_p,
        top_k: settings.top_k,
        max_output_tokens: settings.max_tokens,
        stop_sequences: words(&request.stop),
        response_mime_type: schema.map(|_| "application/json"),
        response_schema: schema.map(|schema| schema::of_answer(&schema.schema)),
    }
}

/// The stop words; the provider refuses an empty one.
fn words(stop: &[String]) -> Vec<&str> {
    stop.iter().map(String::as_str).filter(|word| !word.is_empty()).collect()
}

fn system(request: &ChatRequest) -> Option<Content<'_>> {
    let messages = request.messages.iter().filter(|message| message.speaker == Speaker::System);
    let texts = messages.flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::Text(text) if !text.trim().is_empty() => Some(text_piece(text)),
        _ => None,
    });
    let parts: Vec<Piece<'_>> = texts.collect();
    (!parts.is_empty()).then_some(Content { role: None, parts })
}

/// The conversation. What follows from the same speaker joins the message
/// before it: all results of a message's calls must stand in one content.
fn contents(request: &ChatRequest) -> Result<Vec<Content<'_>>, NodeError> {
    let mut merged: Vec<Content<'_>> = Vec::new();
    for message in &request.messages {
        let role = match message.speaker {
            Speaker::System => continue,
            Speaker::User | Speaker::Tool => Some("user"),
            Speaker::Assistant => Some("model"),
        };
        let parts = pieces(message, request)?;
        match merged.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == role => last.parts.extend(parts),
            _ => merged.push(Content { role, parts }),
        }
    }
    if merged.is_empty() {
        return Err(NodeError::BadRequest("Gemini needs a question; write one".to_owned()));
    }
    Ok(merged)
}

fn pieces<'a>(
    message: &'a ModelMessage,
    request: &'a ChatRequest,
) -> Result<Vec<Piece<'a>>, NodeError> {
    if message.speaker == Speaker::Tool {
        return Ok(vec![returned(message, request)]);
    }
    let mut pieces = Vec::new();
    for part in &message.parts {
        match part {
            // The provider refuses an empty text.
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => pieces.push(text_piece(text)),
            Part::Image { url, .. } => pieces.push(image(url)?),
        }
    }
    pieces.extend(message.tool_calls.iter().map(called));
    Ok(pieces)
}

fn text_piece(text: &str) -> Piece<'_> {
    Piece { text: Some(text), ..Piece::default() }
}

fn image(url: &str) -> Result<Piece<'_>, NodeError> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (mime_type, data) = data.ok_or_else(|| {
        NodeError::BadRequest(
            "Gemini takes uploaded images only, not their addresses; upload the file".to_owned(),
        )
    })?;
    Ok(Piece { inline_data: Some(Blob { mime_type, data }), ..Piece::default() })
}

fn called(call: &ToolCall) -> Piece<'_> {
    let CallId { id, signature } = CallId::unpack(&call.id);
    Piece {
        function_call: Some(Called { id, name: &call.name, args: &call.arguments }),
        thought_signature: signature,
        ..Piece::default()
    }
}

/// A tool's result: Gemini knows it by the tool's name, and wants an object.
fn returned<'a>(message: &'a ModelMessage, request: &'a ChatRequest) -> Piece<'a> {
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    let mut calls = request.messages.iter().flat_map(|message| &message.tool_calls);
    let name = calls.find(|call| call.id == id).map_or(id, |call| call.name.as_str());
    let response = Output { output: message.plain() };
    let returned = Returned { id: CallId::unpack(id).id, name, response };
    Piece { function_response: Some(returned), ..Piece::default() }
}

fn tools(request: &ChatRequest) -> Vec<Tools<'_>> {
    if request.tools.is_empty() {
        return Vec::new();
    }
    let declarations = request.tools.iter().map(|tool| Declaration {
        name: &tool.name,
        description: &tool.description,
        parameters: schema::of_arguments(&tool.parameters),
    });
    vec![Tools { function_declarations: declarations.collect() }]
}

fn tool_config(request: &ChatRequest) -> Option<ToolConfig<'_>> {
    let (mode, name) = match &request.tool_choice {
        _ if request.tools.is_empty() => return None,
        ToolChoice::Auto => return None,
        ToolChoice::Required => ("ANY", None),
        ToolChoice::None => ("NONE", None),
        ToolChoice::Named(name) => ("ANY", Some([name.as_str()])),
    };
    let function_calling_config = Calling { mode, allowed_function_names: name };
    Some(ToolConfig { function_calling_config })
}
