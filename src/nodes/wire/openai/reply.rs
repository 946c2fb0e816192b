//! Replies of Chat Completions. A reply that comes whole is read as a stream
//! of one chunk.

use std::borrow::Cow;

use parlor_schemas::Usage;
use serde::Deserialize;

use super::content::Words;
use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason};
use crate::spans;
use crate::wire::calls::{CallFragments, Fragment};
use crate::wire::frames::FrameStream;
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::json::Text;
use crate::wire::sse::SseEvents;

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<Tokens>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// A piece of the message, or all of it.
    #[serde(borrow, alias = "message")]
    delta: Option<Delta<'a>>,
    finish_reason: Option<Finish>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Words<'a>>,
    /// Stands in place of the content when the model declines a schema.
    #[serde(borrow)]
    refusal: Option<Words<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallPiece<'a>>>,
}

#[derive(Deserialize)]
struct CallPiece<'a> {
    index: Option<usize>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Finish {
    /// Some servers send an empty reason until there is one.
    #[serde(rename = "")]
    NotYet,
    /// Mistral tells its own limit from the caller's.
    #[serde(alias = "model_length")]
    Length,
    ToolCalls,
    FunctionCall,
    ContentFilter,
    #[serde(other)]
    Stop,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Reads one reply that comes whole.
pub(in crate::wire) async fn read_whole(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let mut answer = Answer::default();
    answer.take(parse(&body, &call)?, &call)?;
    if !answer.has_begun {
        return Err(call.broken("sent a reply without an answer"));
    }
    answer.done(&call)
}

/// Reads a stream, and hands its text on as it arrives.
pub(in crate::wire) async fn read_stream(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut events = FrameStream::<SseEvents>::new(reply);
    let mut answer = Answer::default();
    while let Some(data) = events.next().await? {
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            events.drain().await;
            return answer.done(&call);
        }
        if !data.is_empty()
            && let Some(text) = answer.take(parse(data, &call)?, &call)?
        {
            call.ctx.events.token(&text).await?;
        }
    }
    // Some servers end the stream in good order without the last word.
    if answer.finish.is_none() {
        return Err(call.broken("broke off in the middle of its answer"));
    }
    answer.done(&call)
}

fn parse<'a>(json: &'a [u8], call: &Call<'_>) -> Result<Completion<'a>, NodeError> {
    let completion: Completion<'a> = serde_json::from_slice(json)
        .map_err(|_| call.broken("sent an answer that is no valid JSON"))?;
    if let Some(error) = &completion.error {
        // The status line said success before the error was known. OpenRouter
        // says in the error which status it would have been.
        let status = error.get("code").and_then(serde_json::Value::as_u64);
        let status = status.and_then(|code| u16::try_from(code).ok());
        let status = status.filter(|code| (400..600).contains(code)).unwrap_or(500);
        let message = complaint(json).unwrap_or_else(|| "an error without a message".to_owned());
        return Err(call.status(status, &message, None));
    }
    Ok(completion)
}

/// An answer that is being put together.
#[derive(Default)]
struct Answer {
    text: String,
    calls: CallFragments,
    finish: Option<Finish>,
    usage: Usage,
    has_begun: bool,
    is_refused: bool,
}

impl Answer {
    /// Adds a chunk, and gives back the piece of text in it.
    fn take<'a>(
        &mut self,
        chunk: Completion<'a>,
        call: &Call<'_>,
    ) -> Result<Option<Cow<'a, str>>, NodeError> {
        if let Some(tokens) = chunk.usage {
            self.usage = Usage {
                input_tokens: tokens.prompt_tokens.unwrap_or_default(),
                output_tokens: tokens.completion_tokens.unwrap_or_default(),
            };
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(None) };
        let finish = choice.finish_reason.filter(|reason| !matches!(reason, Finish::NotYet));
        self.finish = finish.or(self.finish);
        let Some(delta) = choice.delta else { return Ok(None) };
        if !self.has_begun {
            spans::answered_by(chunk.model.as_deref());
        }
        self.has_begun = true;
        for piece in delta.tool_calls.into_iter().flatten() {
            self.add_call(&piece, call)?;
        }
        self.is_refused |= delta.refusal.is_some();
        let text = delta.content.or(delta.refusal).map(|words| words.0);
        self.text.push_str(text.as_deref().unwrap_or_default());
        Ok(text)
    }

    fn add_call(&mut self, piece: &CallPiece<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        let id = piece.id.as_deref().unwrap_or_default();
        let function = piece.function.as_ref();
        // Without an index, an id begins a call and its absence continues the last.
        let n_calls = self.calls.len();
        let unnumbered = if id.is_empty() { n_calls.saturating_sub(1) } else { n_calls };
        let fragment = Fragment {
            index: piece.index.unwrap_or(unnumbered),
            id,
            name: function.and_then(|f| f.name.as_deref()).unwrap_or_default(),
            arguments: function.and_then(|f| f.arguments.as_deref()).unwrap_or_default(),
        };
        self.calls.add(&fragment, call)
    }

    fn done(self, call: &Call<'_>) -> Result<ChatReply, NodeError> {
        let finish = match self.finish {
            Some(Finish::Length) => FinishReason::Length,
            Some(Finish::ContentFilter) => FinishReason::ContentFilter,
            _ if self.is_refused => FinishReason::ContentFilter,
            // A forced call ends with `stop`.
            _ if self.calls.len() > 0 => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        let tool_calls = self.calls.done(call)?;
        Ok(ChatReply { text: self.text, tool_calls, finish, usage: self.usage })
    }
}
