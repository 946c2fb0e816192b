//! Replies of `/api/chat`: one line of JSON, or many of which the last is `done`.

use parlor_schemas::Usage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason, ToolCall};
use crate::spans;
use crate::wire::calls::new_id;
use crate::wire::frames::FrameStream;
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::lines::JsonLines;

#[derive(Deserialize)]
struct Line {
    model: Option<String>,
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: String,
    tool_calls: Option<Vec<Called>>,
}

#[derive(Deserialize)]
struct Called {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// Reads one reply that comes whole.
pub(in crate::wire) async fn read_whole(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let mut answer = ChatReply::default();
    let line = parse(&body, &call)?;
    if !line.done {
        return Err(call.broken("broke off in the middle of its answer"));
    }
    add(&mut answer, line);
    Ok(answer)
}

/// Reads a stream, and hands its text on as it arrives.
pub(in crate::wire) async fn read_stream(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut lines = FrameStream::<JsonLines>::new(reply);
    let mut answer = ChatReply::default();
    while let Some(line) = lines.next().await? {
        let line = parse(line, &call)?;
        let is_done = line.done;
        let start = answer.text.len();
        add(&mut answer, line);
        if answer.text.len() > start {
            call.ctx.events.token(&answer.text[start..]).await?;
        }
        if is_done {
            lines.drain().await;
            return Ok(answer);
        }
    }
    Err(call.broken("broke off in the middle of its answer"))
}

fn parse(json: &[u8], call: &Call<'_>) -> Result<Line, NodeError> {
    let line: Line = serde_json::from_slice(json)
        .map_err(|_| call.broken("sent an answer that is no valid JSON"))?;
    if line.error.is_some() {
        // The status line said success before the error was known.
        let message = complaint(json).unwrap_or_else(|| "an error without a message".to_owned());
        return Err(call.status(500, &message, None));
    }
    Ok(line)
}

fn add(answer: &mut ChatReply, line: Line) {
    if let Some(message) = line.message {
        answer.text.push_str(&message.content);
        answer.tool_calls.extend(message.tool_calls.into_iter().flatten().map(tool_call));
    }
    if !line.done {
        return;
    }
    spans::answered_by(line.model.as_deref());
    answer.finish = match line.done_reason.as_deref() {
        Some("length") => FinishReason::Length,
        _ if !answer.tool_calls.is_empty() => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    };
    answer.usage = Usage {
        input_tokens: line.prompt_eval_count.unwrap_or_default(),
        output_tokens: line.eval_count.unwrap_or_default(),
    };
}

/// A call with an id of ours where there is none, as of older versions of Ollama.
fn tool_call(called: Called) -> ToolCall {
    let id = called.id.filter(|id| !id.is_empty()).unwrap_or_else(new_id);
    ToolCall { id, name: called.function.name, arguments: called.function.arguments }
}
