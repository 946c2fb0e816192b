//! Replies of the Messages API, whole and streamed.
//!
//! An event is read into one flat struct: its type comes first, but an enum
//! tagged by it would be copied once more before it is read.

use parlor_schemas::Usage;
use serde::Deserialize;
use serde_json::Value;

use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason};
use crate::spans;
use crate::wire::calls::{CallFragments, Fragment};
use crate::wire::frames::FrameStream;
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::json::Text;
use crate::wire::sse::SseEvents;

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    stop_reason: Option<Stop>,
    usage: Option<Tokens>,
}

/// A block: a text, a call, or one that is not shown (thinking).
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: BlockKind,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    input: Option<Value>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum BlockKind {
    Text,
    ToolUse,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: EventKind,
    #[serde(default)]
    index: usize,
    #[serde(borrow)]
    message: Option<Start<'a>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    usage: Option<Tokens>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum EventKind {
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    usage: Option<Tokens>,
}

/// What a `text_delta`, an `input_json_delta` or a `message_delta` brings.
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    partial_json: Option<Text<'a>>,
    stop_reason: Option<Stop>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Stop {
    MaxTokens,
    ModelContextWindowExceeded,
    ToolUse,
    Refusal,
    #[serde(other)]
    Ended,
}

#[derive(Deserialize, Clone, Copy)]
struct Tokens {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
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
    spans::answered_by(whole.model.as_deref());
    let mut answer = Answer { stop: whole.stop_reason, ..Answer::default() };
    answer.count(whole.usage);
    for (index, block) in whole.content.iter().enumerate() {
        answer.begin(index, block, &call)?;
    }
    answer.done(schema, &call)
}

/// Reads a stream, and hands its text on as it arrives.
pub(in crate::wire) async fn read_stream(
    reply: Reply<'_>,
    schema: Option<&str>,
) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut events = FrameStream::<SseEvents>::new(reply);
    let mut answer = Answer::default();
    loop {
        let Some(data) = events.next().await? else {
            return Err(call.broken("broke off in the middle of its answer"));
        };
        let event: Event<'_> = serde_json::from_slice(data).map_err(|_| no_json(&call))?;
        match event.kind {
            EventKind::MessageStop => break,
            EventKind::Error => return Err(complained(data, &call)),
            EventKind::Other => answer.event(&event, &call).await?,
        }
    }
    events.drain().await;
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

/// The error of a stream that had begun with success.
fn complained(data: &[u8], call: &Call<'_>) -> NodeError {
    #[derive(Deserialize)]
    struct Complaint {
        error: Kind,
    }
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    let kind = serde_json::from_slice(data).map(|complaint: Complaint| complaint.error.r#type);
    // The statuses of Anthropic's API reference, "Errors".
    let status = match kind.as_deref() {
        Ok("rate_limit_error") => 429,
        Ok("timeout_error") => 504,
        Ok("overloaded_error") => 529,
        _ => 500,
    };
    let message = complaint(data).unwrap_or_else(|| "an error without a message".to_owned());
    call.status(status, &message, None)
}

/// An answer that is being put together.
#[derive(Default)]
struct Answer {
    text: String,
    calls: CallFragments,
    stop: Option<Stop>,
    usage: Usage,
    /// Input tokens by their kind: fresh, written to a cache, read from it.
    input: [u64; 3],
}

impl Answer {
    async fn event(&mut self, event: &Event<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        if let Some(start) = &event.message {
            spans::answered_by(start.model.as_deref());
            self.count(start.usage);
        }
        self.count(event.usage);
        if let Some(block) = &event.content_block {
            let start = self.text.len();
            self.begin(event.index, block, call)?;
            if self.text.len() > start {
                call.ctx.events.token(&self.text[start..]).await?;
            }
        }
        let Some(delta) = &event.delta else { return Ok(()) };
        self.stop = delta.stop_reason.or(self.stop);
        // The provider's own tools stream their input too.
        if let Some(json) = &delta.partial_json
            && self.calls.has(event.index)
        {
            let arguments = Fragment { index: event.index, arguments: json, ..Fragment::default() };
            self.calls.add(&arguments, call)?;
        }
        if let Some(text) = &delta.text {
            self.text.push_str(text);
            call.ctx.events.token(text).await?;
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, block: &Block<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        match block.kind {
            BlockKind::Text => self.text.push_str(block.text.as_deref().unwrap_or_default()),
            BlockKind::ToolUse => {
                // A stream begins with `{}` and sends the arguments in pieces.
                let input = block
                    .input
                    .as_ref()
                    .filter(|input| input.as_object().is_none_or(|map| !map.is_empty()));
                let arguments = input.map(Value::to_string).unwrap_or_default();
                let id = block.id.as_deref().unwrap_or_default();
                let name = block.name.as_deref().unwrap_or_default();
                self.calls.add(&Fragment { index, id, name, arguments: &arguments }, call)?;
            }
            BlockKind::Other => {}
        }
        Ok(())
    }

    /// Takes over a count; later ones include earlier ones.
    fn count(&mut self, tokens: Option<Tokens>) {
        let Some(tokens) = tokens else { return };
        let counted = [
            tokens.input_tokens,
            tokens.cache_creation_input_tokens,
            tokens.cache_read_input_tokens,
        ];
        for (sum, counted) in self.input.iter_mut().zip(counted) {
            *sum = counted.unwrap_or(*sum);
        }
        self.usage.input_tokens = self.input.iter().fold(0, |sum, n| sum.saturating_add(*n));
        self.usage.output_tokens = tokens.output_tokens.unwrap_or(self.usage.output_tokens);
    }

    fn done(self, schema: Option<&str>, call: &Call<'_>) -> Result<ChatReply, NodeError> {
        let mut finish = match self.stop {
            Some(Stop::MaxTokens | Stop::ModelContextWindowExceeded) => FinishReason::Length,
            Some(Stop::ToolUse) => FinishReason::ToolCalls,
            Some(Stop::Refusal) => FinishReason::ContentFilter,
            Some(Stop::Ended) | None => FinishReason::Stop,
        };
        let (mut text, mut tool_calls) = (self.text, self.calls.done(call)?);
        let answers = |name: &str| schema == Some(name);
        if let Some(at) = tool_calls.iter().position(|called| answers(&called.name)) {
            text = match tool_calls.swap_remove(at).arguments {
                Value::String(broken) => broken,
                arguments => arguments.to_string(),
            };
            finish = FinishReason::Stop;
        }
        Ok(ChatReply { text, tool_calls, finish, usage: self.usage })
    }
}
