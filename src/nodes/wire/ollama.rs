//! Ollama's `/api/chat`: lines of JSON, no key.

pub(crate) mod embeddings;
pub(super) mod reply;

use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::model::{ChatReply, ChatRequest, ModelMessage, Part, Speaker, ToolChoice};
use crate::spans::Asked;
use crate::wire::DEFAULT_TIMEOUT;
use crate::wire::http::Call;

const PROVIDER: &str = "Ollama";
const DEFAULT_BASE: &str = "http://localhost:11434";

/// A node's model and how it is asked.
#[derive(Debug, Default)]
pub(crate) struct Ollama {
    /// The address typed into the node; the operator's comes first.
    pub(crate) base: Option<String>,
    /// The model.
    pub(crate) model: String,
    /// The node's options, by Ollama's names.
    pub(crate) options: Map<String, Value>,
    /// How long the model stays loaded, `5m`.
    pub(crate) keep_alive: Option<String>,
    /// Asks for an answer in JSON.
    pub(crate) json_mode: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    options: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<KeepAlive<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    /// Always there: Ollama streams where it is absent.
    stream: bool,
}

/// Text must have a unit (`5m`); a number is of seconds, and -1 is for ever.
#[derive(Serialize)]
#[serde(untagged)]
enum KeepAlive<'a> {
    Seconds(i64),
    Duration(&'a str),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Word(&'static str),
    Schema(&'a Value),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
    /// Which tool a result comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Called<'a> {
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a Value,
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
}

impl Ollama {
    /// Which model it asks, for traces.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { provider: "ollama", model: &self.model }
    }

    /// Asks the model; with `stream`, its text goes to the client as it arrives.
    ///
    /// # Errors
    /// Those of [`Call::send`], and [`NodeError::BadRequest`] for an image
    /// that Ollama would have to fetch.
    pub(crate) async fn call(
        &self,
        request: &ChatRequest,
        ctx: &TurnCtx,
        stream: bool,
    ) -> Result<ChatReply, NodeError> {
        let operators = ctx.services.provider_url("ollama");
        let base = operators.as_deref().or(self.base.as_deref()).unwrap_or(DEFAULT_BASE);
        let url = format!("{}/api/chat", base.trim_end_matches('/'));
        let body = self.body(request, stream)?;
        let body = bytes::Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let call = Call::new(PROVIDER, ctx, DEFAULT_TIMEOUT, &[]);
        let sent = call
            .send(|client| {
                client.post(&url).header(CONTENT_TYPE, "application/json").body(body.clone())
            })
            .await?;
        let reply =
            if stream { reply::read_stream(sent).await? } else { reply::read_whole(sent).await? };
        ctx.meter.add(reply.usage);
        Ok(reply)
    }

    fn body<'a>(&'a self, request: &'a ChatRequest, stream: bool) -> Result<Body<'a>, NodeError> {
        let schema = request.output_schema.as_ref().map(|schema| Format::Schema(&schema.schema));
        let messages: Result<_, _> = request.messages.iter().map(|m| message(m, request)).collect();
        Ok(Body {
            model: &self.model,
            messages: messages?,
            options: self.options_with(&request.stop),
            keep_alive: self.keep_alive.as_deref().map(keep_alive),
            format: schema.or_else(|| self.json_mode.then_some(Format::Word("json"))),
            tools: tools(request),
            stream,
        })
    }

    fn options_with(&self, stop: &[String]) -> Map<String, Value> {
        let mut options = self.options.clone();
        if !stop.is_empty() {
            let words = options.entry("stop").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(words) = words {
                words.extend(stop.iter().cloned().map(Value::String));
            }
        }
        options
    }
}

fn message<'a>(
    message: &'a ModelMessage,
    request: &'a ChatRequest,
) -> Result<Message<'a>, NodeError> {
    let images = message.parts.iter().filter_map(|part| match part {
        Part::Text(_) => None,
        Part::Image { url, .. } => Some(image(url)),
    });
    let called = message.tool_calls.iter().map(|call| Called {
        function: CalledFunction { name: &call.name, arguments: &call.arguments },
    });
    Ok(Message {
        role: match message.speaker {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::Tool => "tool",
        },
        content: message.plain(),
        images: images.collect::<Result<_, _>>()?,
        tool_calls: called.collect(),
        tool_name: message.tool_call_id.as_deref().and_then(|id| called_tool(request, id)),
    })
}

/// The tool of a call: Ollama knows results by it, and not by the call's id.
fn called_tool<'a>(request: &'a ChatRequest, id: &str) -> Option<&'a str> {
    let mut calls = request.messages.iter().flat_map(|message| &message.tool_calls);
    calls.find(|call| call.id == id).map(|call| call.name.as_str())
}

fn keep_alive(text: &str) -> KeepAlive<'_> {
    text.trim().parse().map_or(KeepAlive::Duration(text), KeepAlive::Seconds)
}

/// The base64 of a `data:` URI: Ollama fetches nothing.
fn image(url: &str) -> Result<&str, NodeError> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    data.map(|(_, data)| data).ok_or_else(|| {
        NodeError::BadRequest(
            "Ollama takes uploaded images only, not their addresses; upload the file".to_owned(),
        )
    })
}

/// The tools; Ollama knows no choice among them, so `None` offers none.
fn tools(request: &ChatRequest) -> Vec<Tool<'_>> {
    if request.tool_choice == ToolChoice::None {
        return Vec::new();
    }
    let tools = request.tools.iter().map(|tool| Tool {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: &tool.description,
            parameters: &tool.parameters,
        },
    });
    tools.collect()
}
