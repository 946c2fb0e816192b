//! The body of a Converse request, borrowed from the prompt.
//!
//! Source: Amazon Bedrock API Reference, "Converse" and "ConverseStream".

use serde::Serialize;
use serde_json::{Value, json};

use super::Settings;
use crate::error::NodeError;
use crate::model::{ChatRequest, ModelMessage, Part, Speaker, ToolChoice};

/// The body; the model stands in the path.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    inference_config: Config<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// A block: an object with one field, named for its kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Block<'a> {
    Text(&'a str),
    Image(Image<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: &'a str,
        name: &'a str,
        input: &'a Value,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: &'a str,
        content: [ResultText; 1],
    },
}

#[derive(Serialize)]
struct Image<'a> {
    format: &'static str,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    /// Base64.
    bytes: &'a str,
}

#[derive(Serialize)]
struct ResultText {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tool<'a> {
    tool_spec: Spec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Schema,
}

#[derive(Serialize)]
struct Schema {
    json: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Any {},
    Tool { name: &'a str },
}

/// Puts the node's settings and the prompt into one body.
///
/// # Errors
/// [`NodeError::BadRequest`] for an image that Bedrock cannot take, and for a
/// prompt without a word of the conversation.
pub(super) fn write<'a>(
    settings: &Settings,
    request: &'a ChatRequest,
) -> Result<Body<'a>, NodeError> {
    let stop = request.stop.iter().map(String::as_str);
    Ok(Body {
        system: system(&request.messages),
        messages: messages(&request.messages)?,
        inference_config: Config {
            max_tokens: settings.max_tokens,
            temperature: settings.temperature,
            // The provider refuses an empty one.
            stop_sequences: stop.filter(|word| !word.is_empty()).collect(),
        },
        tool_config: tool_config(request),
    })
}

fn system(messages: &[ModelMessage]) -> Vec<Block<'_>> {
    let messages = messages.iter().filter(|message| message.speaker == Speaker::System);
    let texts = messages.flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::Text(text) => text_block(text),
        Part::Image { .. } => None,
    });
    texts.collect()
}

/// The conversation. Speakers must alternate, so what follows from the same
/// one joins the message before it.
fn messages(messages: &[ModelMessage]) -> Result<Vec<Message<'_>>, NodeError> {
    let mut merged: Vec<Message<'_>> = Vec::new();
    for message in messages {
        let role = match message.speaker {
            Speaker::System => continue,
            Speaker::User | Speaker::Tool => "user",
            Speaker::Assistant => "assistant",
        };
        let blocks = blocks(message)?;
        match merged.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.role == role => last.content.extend(blocks),
            _ => merged.push(Message { role, content: blocks }),
        }
    }
    if merged.is_empty() {
        return Err(NodeError::BadRequest("Bedrock needs a question; write one".to_owned()));
    }
    Ok(merged)
}

fn blocks(message: &ModelMessage) -> Result<Vec<Block<'_>>, NodeError> {
    if message.speaker == Speaker::Tool {
        let tool_use_id = message.tool_call_id.as_deref().unwrap_or_default();
        let text = message.plain();
        // A blank text is refused in all other blocks, so no model need see one.
        let text = if text.trim().is_empty() { "(no output)".to_owned() } else { text };
        return Ok(vec![Block::ToolResult { tool_use_id, content: [ResultText { text }] }]);
    }
    let mut blocks = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) => blocks.extend(text_block(text)),
            Part::Image { url, .. } => blocks.push(Block::Image(image(url)?)),
        }
    }
    blocks.extend(message.tool_calls.iter().map(|call| Block::ToolUse {
        tool_use_id: &call.id,
        name: &call.name,
        input: &call.arguments,
    }));
    Ok(blocks)
}

/// A text as a block; the provider refuses a blank one.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(text))
}

fn image(url: &str) -> Result<Image<'_>, NodeError> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let Some((mime, bytes)) = data else {
        return Err(NodeError::BadRequest(
            "Bedrock takes uploaded images only, not their addresses; upload the file".to_owned(),
        ));
    };
    let format = match mime {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => {
            return Err(NodeError::BadRequest(
                "Bedrock takes images of PNG, JPEG, GIF and WebP only; convert the file".to_owned(),
            ));
        }
    };
    Ok(Image { format, source: Source { bytes } })
}

/// The tools and the choice among them.
fn tool_config(request: &ChatRequest) -> Option<ToolConfig<'_>> {
    let tools = tools(request);
    let tool_choice = match (&request.output_schema, &request.tool_choice) {
        (Some(schema), _) => Some(Choice::Tool { name: &schema.name }),
        (None, ToolChoice::Required) => Some(Choice::Any {}),
        (None, ToolChoice::Named(name)) => Some(Choice::Tool { name }),
        (None, ToolChoice::Auto | ToolChoice::None) => None,
    };
    (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice })
}

/// The tools; an output schema is one more, whose arguments are the answer. A
/// conversation that holds calls is refused without tools, so there the called
/// ones are named again; and no choice forbids them, so that `None` offers
/// none where it can.
fn tools(request: &ChatRequest) -> Vec<Tool<'_>> {
    let mut tools = Vec::new();
    let has_called = request.messages.iter().any(|message| !message.tool_calls.is_empty());
    if request.tool_choice != ToolChoice::None || has_called {
        let offered = request.tools.iter();
        tools.extend(offered.map(|tool| spec(&tool.name, &tool.description, &tool.parameters)));
    }
    if let Some(schema) = &request.output_schema {
        let description = "Gives the answer in the shape that is asked for.";
        tools.push(spec(&schema.name, description, &schema.schema));
    }
    for call in request.messages.iter().flat_map(|message| &message.tool_calls) {
        if !tools.iter().any(|tool| tool.tool_spec.name == call.name) {
            tools.push(spec(&call.name, "", &Value::Null));
        }
    }
    tools
}

/// A tool; its schema must be one of an object.
fn spec<'a>(name: &'a str, description: &'a str, schema: &Value) -> Tool<'a> {
    let mut schema = if schema.is_object() { schema.clone() } else { json!({}) };
    if schema.get("type").is_none() {
        schema["type"] = "object".into();
    }
    Tool { tool_spec: Spec { name, description, input_schema: Schema { json: schema } } }
}
