//! Replies of the Messages API, whole and streamed.

use std::collections::BTreeMap;

use parlor_schemas::Usage;
use serde::Deserialize;
use serde_json::Value;

use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason, ToolCall};
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::openai::reply::arguments;
use crate::wire::sse::events;

#[derive(Deserialize)]
struct Whole {
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    /// Thinking, and kinds of the future.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: usize,
        content_block: Block,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta,
    },
    MessageDelta {
        delta: Finish,
        usage: Option<Tokens>,
    },
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Finish {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

/// Reads one reply that comes whole. The call of the tool `schema` is the answer.
pub(super) async fn read_whole(
    reply: Reply<'_>,
    schema: Option<&str>,
) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let whole: Whole = serde_json::from_slice(&body).map_err(|_| no_json(&call))?;
    let mut answer = Answer { finish: whole.stop_reason, ..Answer::default() };
    answer.count(whole.usage);
    for (index, block) in whole.content.into_iter().enumerate() {
        answer.begin(index, block);
    }
    answer.done(schema, &call)
}

/// Reads a stream, and hands its text on as it arrives.
pub(super) async fn read_stream(
    reply: Reply<'_>,
    schema: Option<&str>,
) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut events = events(reply);
    let mut answer = Answer::default();
    while !answer.is_whole {
        let event = match events.next().await {
            Err(NodeError::UpstreamBroken { .. }) if answer.finish.is_some() => None,
            event => event?,
        };
        match event {
            Some(event) => answer.event(&event.data, &call).await?,
            None if answer.finish.is_some() => break,
            None => return Err(call.broken("broke off in the middle of its answer")),
        }
    }
    let n_streamed = answer.text.len();
    let reply = answer.done(schema, &call)?;
    // An answer that came as a tool's arguments was not streamed as text.
    if n_streamed == 0 && !reply.text.is_empty() {
        call.ctx.events.token(&reply.text).await?;
    }
    Ok(reply)
}

fn no_json(call: &Call<'_>) -> NodeError {
    call.broken("sent an answer that is no valid JSON")
}

/// An answer that is being put together.
#[derive(Default)]
struct Answer {
    text: String,
    calls: BTreeMap<usize, Partial>,
    finish: Option<String>,
    usage: Usage,
    is_whole: bool,
}

struct Partial {
    id: String,
    name: String,
    input: Value,
    /// The input in fragments, in place of `input` when there are any.
    json: String,
}

impl Answer {
    async fn event(&mut self, data: &str, call: &Call<'_>) -> Result<(), NodeError> {
        match serde_json::from_str(data).map_err(|_| no_json(call))? {
            Event::MessageStart { message } => self.count(message.usage),
            Event::ContentBlockStart { index, content_block } => {
                let start = self.text.len();
                self.begin(index, content_block);
                if self.text.len() > start {
                    call.ctx.events.token(&self.text[start..]).await?;
                }
            }
            Event::ContentBlockDelta { index, delta } => self.delta(index, delta, call).await?,
            Event::MessageDelta { delta, usage } => {
                self.finish = delta.stop_reason.or(self.finish.take());
                self.count(usage);
            }
            Event::MessageStop => self.is_whole = true,
            Event::Error => {
                // The status line said success before the error was known.
                let message = complaint(data.as_bytes());
                let message = message.as_deref().unwrap_or("an error without a message");
                return Err(call.status(500, message, None));
            }
            Event::Other => {}
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, block: Block) {
        match block {
            Block::Text { text } => self.text.push_str(&text),
            Block::ToolUse { id, name, input } => {
                self.calls.insert(index, Partial { id, name, input, json: String::new() });
            }
            Block::Other => {}
        }
    }

    async fn delta(
        &mut self,
        index: usize,
        delta: Delta,
        call: &Call<'_>,
    ) -> Result<(), NodeError> {
        match delta {
            Delta::Text { text } => {
                call.ctx.events.token(&text).await?;
                self.text.push_str(&text);
            }
            Delta::InputJson { partial_json } => {
                if let Some(partial) = self.calls.get_mut(&index) {
                    partial.json.push_str(&partial_json);
                }
            }
            Delta::Other => {}
        }
        Ok(())
    }

    /// Takes over a count; later ones include earlier ones.
    fn count(&mut self, tokens: Option<Tokens>) {
        let Some(tokens) = tokens else { return };
        let cached = [tokens.cache_creation_input_tokens, tokens.cache_read_input_tokens];
        if let Some(input) = tokens.input_tokens {
            let cached: u64 = cached.into_iter().flatten().sum();
            self.usage.input_tokens = input.saturating_add(cached);
        }
        self.usage.output_tokens = tokens.output_tokens.unwrap_or(self.usage.output_tokens);
    }

    fn done(self, schema: Option<&str>, call: &Call<'_>) -> Result<ChatReply, NodeError> {
        let mut finish = match self.finish.as_deref() {
            Some("max_tokens") => FinishReason::Length,
            Some("tool_use") => FinishReason::ToolCalls,
            Some("refusal") => FinishReason::ContentFilter,
            _ => FinishReason::Stop,
        };
        let mut text = self.text;
        let mut tool_calls = Vec::new();
        for Partial { id, name, input, json } in self.calls.into_values() {
            let arguments = if json.is_empty() { input } else { arguments(&json, call)? };
            if schema == Some(name.as_str()) {
                text = arguments.to_string();
                finish = FinishReason::Stop;
            } else {
                tool_calls.push(ToolCall { id, name, arguments });
            }
        }
        Ok(ChatReply { text, tool_calls, finish, usage: self.usage })
    }
}
