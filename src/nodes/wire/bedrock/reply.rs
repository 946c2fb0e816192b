//! Replies of Converse, whole and streamed.
//!
//! Source: Amazon Bedrock API Reference, "Converse", "ConverseStream" and
//! "ConverseStreamOutput". An event's name stands in the header of its frame,
//! its fields in the JSON after it.

use parlor_schemas::Usage;
use serde::Deserialize;
use serde_json::Value;

use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason};
use crate::wire::calls::{CallFragments, Fragment};
use crate::wire::eventstream::{Event, EventFrames};
use crate::wire::frames::FrameStream;
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::json::Text;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    stop_reason: Option<Stop>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// A block: a text, a call, or one that is not shown (reasoning).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
}

/// A call: whole; its beginning, without `input`; or a piece, `input` alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    input: Option<Value>,
}

/// The fields of all events of a stream that matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(default)]
    content_block_index: usize,
    #[serde(borrow)]
    start: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Block<'a>>,
    stop_reason: Option<Stop>,
    usage: Option<Tokens>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Stop {
    MaxTokens,
    ModelContextWindowExceeded,
    ToolUse,
    GuardrailIntervened,
    ContentFiltered,
    MalformedToolUse,
    MalformedModelOutput,
    #[serde(other)]
    Ended,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

/// Reads one reply that comes whole. The call of the tool `schema` is the answer.
pub(in crate::wire) async fn read_whole(
    reply: Reply<'_>,
    schema: Option<&str>,
) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let whole: Whole<'_> = serde_json::from_slice(&body).map_err(|_| no_json(&call))?;
    let mut answer = Answer { stop: whole.stop_reason, ..Answer::default() };
    answer.count(whole.usage);
    for (index, block) in whole.output.message.content.iter().enumerate() {
        answer.block(index, block, &call)?;
    }
    answer.done(schema, &call)
}

/// Reads a stream, and hands its text on as it arrives. Its last event,
/// `metadata`, holds the count; the answer is whole at `messageStop`.
pub(in crate::wire) async fn read_stream(
    reply: Reply<'_>,
    schema: Option<&str>,
) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut frames = FrameStream::<EventFrames>::new(reply);
    let mut answer = Answer::default();
    let mut has_all = false;
    while let Some(frame) = frames.next().await? {
        let event = Event::read(frame).map_err(|error| call.broken(error.problem()))?;
        if event.kind != "event" {
            return Err(complained(&event, &call));
        }
        answer.event(&event, &call).await?;
        if event.name == "metadata" {
            has_all = true;
            break;
        }
    }
    if answer.stop.is_none() {
        return Err(call.broken("broke off in the middle of its answer"));
    }
    if has_all {
        frames.drain().await;
    }
    let has_streamed = !answer.text.is_empty();
    let reply = answer.done(schema, &call)?;
    // An answer that came as a tool's arguments was not streamed as text.
    if !has_streamed && !reply.text.is_empty() {
        call.ctx.events.token(&reply.text).await?;
    }
    Ok(reply)
}

fn no_json(call: &Call<'_>) -> NodeError {
    call.broken("sent an answer that is no valid JSON")
}

/// The error of a stream that had begun with success, with the status that
/// the API reference gives its exception.
fn complained(event: &Event<'_>, call: &Call<'_>) -> NodeError {
    let status = match event.name {
        "throttlingException" => 429,
        "validationException" => 400,
        "modelTimeoutException" => 408,
        "modelStreamErrorException" => 424,
        "serviceUnavailableException" => 503,
        _ => 500,
    };
    let told = Some(event.message.to_owned()).filter(|message| !message.is_empty());
    let message = complaint(event.payload).or(told);
    let message = message.unwrap_or_else(|| "an error without a message".to_owned());
    call.status(status, &message, None)
}

/// An answer that is being put together.
#[derive(Default)]
struct Answer {
    text: String,
    calls: CallFragments,
    stop: Option<Stop>,
    usage: Usage,
}

impl Answer {
    async fn event(&mut self, event: &Event<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        // What another event means, or even that it holds JSON, is not known.
        let names = ["contentBlockStart", "contentBlockDelta", "messageStop", "metadata"];
        if !names.contains(&event.name) {
            return Ok(());
        }
        let fields: Fields<'_> =
            serde_json::from_slice(event.payload).map_err(|_| no_json(call))?;
        self.stop = fields.stop_reason.or(self.stop);
        self.count(fields.usage);
        let start = self.text.len();
        for block in fields.start.iter().chain(&fields.delta) {
            self.block(fields.content_block_index, block, call)?;
        }
        if self.text.len() > start {
            call.ctx.events.token(&self.text[start..]).await?;
        }
        Ok(())
    }

    fn block(&mut self, index: usize, block: &Block<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        self.text.push_str(block.text.as_deref().unwrap_or_default());
        let Some(tool_use) = &block.tool_use else { return Ok(()) };
        let id = tool_use.tool_use_id.as_deref().unwrap_or_default();
        let name = tool_use.name.as_deref().unwrap_or_default();
        // A stream has the arguments as pieces of text, a whole reply as a tree.
        let tree;
        let arguments = match &tool_use.input {
            None => "",
            Some(Value::String(piece)) => piece,
            Some(input) => {
                tree = input.to_string();
                &tree
            }
        };
        self.calls.add(&Fragment { index, id, name, arguments }, call)
    }

    /// Takes over the count; what was read from a cache or written to it is
    /// counted beside the fresh input.
    fn count(&mut self, tokens: Option<Tokens>) {
        let Some(tokens) = tokens else { return };
        let input =
            [tokens.input_tokens, tokens.cache_read_input_tokens, tokens.cache_write_input_tokens];
        self.usage = Usage {
            input_tokens: input.into_iter().flatten().fold(0, u64::saturating_add),
            output_tokens: tokens.output_tokens.unwrap_or_default(),
        };
    }

    fn done(self, schema: Option<&str>, call: &Call<'_>) -> Result<ChatReply, NodeError> {
        let mut finish = match self.stop {
            Some(Stop::MaxTokens | Stop::ModelContextWindowExceeded) => FinishReason::Length,
            Some(Stop::ToolUse) => FinishReason::ToolCalls,
            Some(Stop::GuardrailIntervened | Stop::ContentFiltered) if self.text.is_empty() => {
                return Err(NodeError::BadRequest(
                    "Bedrock withheld its answer; ask in other words".to_owned(),
                ));
            }
            Some(Stop::GuardrailIntervened | Stop::ContentFiltered) => FinishReason::ContentFilter,
            Some(Stop::MalformedToolUse | Stop::MalformedModelOutput) => {
                return Err(call.broken("wrote an answer that cannot be read"));
            }
            Some(Stop::Ended) | None => FinishReason::Stop,
        };
        let (mut text, mut tool_calls) = (self.text, self.calls.done(call)?);
        let answers = |name: &str| schema == Some(name);
        if let Some(at) = tool_calls.iter().position(|called| answers(&called.name)) {
            text = tool_calls.swap_remove(at).arguments.to_string();
            finish = FinishReason::Stop;
        }
        Ok(ChatReply { text, tool_calls, finish, usage: self.usage })
    }
}
