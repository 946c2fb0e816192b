//! Replies of Chat Completions, whole and streamed.

use std::collections::BTreeMap;

use parlor_schemas::Usage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason, ToolCall};
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::sse::events;

#[derive(Deserialize)]
struct Completion {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    /// The whole message.
    message: Option<Delta>,
    /// A piece of it.
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Vec<Fragment>>,
}

#[derive(Deserialize)]
struct Fragment {
    index: Option<usize>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Reads one reply that comes whole.
pub(super) async fn read_whole(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let completion = parse(&body, &call)?;
    let mut answer = Answer::default();
    let mut choices = completion.choices.unwrap_or_default().into_iter();
    let Some(choice) = choices.next() else {
        return Err(call.broken("sent a reply without an answer"));
    };
    if let Some(message) = choice.message {
        answer.text = message.content.unwrap_or_default();
        answer.calls.add(message.tool_calls);
    }
    answer.finish = choice.finish_reason;
    answer.usage = completion.usage;
    answer.done(&call)
}

/// Reads a stream, and hands its text on as it arrives.
pub(super) async fn read_stream(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut events = events(reply);
    let mut answer = Answer::default();
    let mut is_done = false;
    while !is_done {
        let event = match events.next().await {
            // Some servers hang up after the finish without an orderly end.
            Err(NodeError::UpstreamBroken { .. }) if answer.finish.is_some() => None,
            event => event?,
        };
        match event {
            Some(event) if event.data.trim() == "[DONE]" => is_done = true,
            Some(event) => answer.chunk(parse(event.data.as_bytes(), &call)?, &call).await?,
            None if answer.finish.is_some() => is_done = true,
            None => return Err(call.broken("broke off in the middle of its answer")),
        }
    }
    answer.done(&call)
}

fn parse(json: &[u8], call: &Call<'_>) -> Result<Completion, NodeError> {
    let completion: Completion = serde_json::from_slice(json)
        .map_err(|_| call.broken("sent an answer that is no valid JSON"))?;
    if completion.error.is_some() {
        // The status line said success before the error was known.
        let message = complaint(json).unwrap_or_else(|| "an error without a message".to_owned());
        return Err(call.status(500, &message, None));
    }
    Ok(completion)
}

/// An answer that is being put together.
#[derive(Default)]
struct Answer {
    text: String,
    calls: Calls,
    finish: Option<String>,
    usage: Option<Tokens>,
}

impl Answer {
    async fn chunk(&mut self, chunk: Completion, call: &Call<'_>) -> Result<(), NodeError> {
        self.usage = chunk.usage.or(self.usage.take());
        let Some(choice) = chunk.choices.unwrap_or_default().into_iter().next() else {
            return Ok(());
        };
        self.finish = choice.finish_reason.or(self.finish.take());
        let Some(delta) = choice.delta else { return Ok(()) };
        self.calls.add(delta.tool_calls);
        if let Some(content) = delta.content {
            call.ctx.events.token(&content).await?;
            self.text.push_str(&content);
        }
        Ok(())
    }

    fn done(self, call: &Call<'_>) -> Result<ChatReply, NodeError> {
        let usage = self.usage.map_or_else(Usage::default, |tokens| Usage {
            input_tokens: tokens.prompt_tokens.unwrap_or_default(),
            output_tokens: tokens.completion_tokens.unwrap_or_default(),
        });
        let finish = match self.finish.as_deref() {
            Some("length") => FinishReason::Length,
            Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
            Some("content_filter") => FinishReason::ContentFilter,
            _ => FinishReason::Stop,
        };
        Ok(ChatReply { text: self.text, tool_calls: self.calls.done(call)?, finish, usage })
    }
}

/// Calls by their index, in fragments.
#[derive(Default)]
struct Calls(BTreeMap<usize, Partial>);

#[derive(Default)]
struct Partial {
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    fn add(&mut self, fragments: Option<Vec<Fragment>>) {
        for fragment in fragments.unwrap_or_default() {
            // Whole calls need no index.
            let index = fragment.index.unwrap_or(self.0.len());
            let partial = self.0.entry(index).or_default();
            if let Some(id) = fragment.id.filter(|id| !id.is_empty()) {
                partial.id = id;
            }
            let Some(function) = fragment.function else { continue };
            if let Some(name) = function.name.filter(|name| !name.is_empty()) {
                partial.name = name;
            }
            partial.arguments.push_str(&function.arguments.unwrap_or_default());
        }
    }

    fn done(self, call: &Call<'_>) -> Result<Vec<ToolCall>, NodeError> {
        self.0.into_values().map(|partial| partial.done(call)).collect()
    }
}

impl Partial {
    fn done(self, call: &Call<'_>) -> Result<ToolCall, NodeError> {
        let id =
            if self.id.is_empty() { format!("call_{}", Uuid::new_v4().simple()) } else { self.id };
        let arguments = arguments(&self.arguments, call)?;
        Ok(ToolCall { id, name: self.name, arguments })
    }
}

/// The arguments of a call; none at all is an empty object.
///
/// # Errors
/// [`NodeError::UpstreamBroken`] when they are no JSON.
pub(crate) fn arguments(json: &str, call: &Call<'_>) -> Result<Value, NodeError> {
    if json.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_str(json)
        .map_err(|_| call.broken("called a tool with arguments that are no valid JSON"))
}
