//! Replies of generateContent. A reply that comes whole is read as a stream of
//! one chunk.
//!
//! Source: Gemini API reference, "Generating content" (`GenerateContentResponse`,
//! `FinishReason`, `BlockReason`, `UsageMetadata`).

use parlor_schemas::Usage;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::call_id::CallId;
use crate::error::NodeError;
use crate::model::{ChatReply, FinishReason, ToolCall};
use crate::spans;
use crate::wire::calls::MAX_CALLS;
use crate::wire::frames::FrameStream;
use crate::wire::http::{Call, Reply, complaint};
use crate::wire::json::Text;
use crate::wire::sse::SseEvents;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow)]
    model_version: Option<Text<'a>>,
    usage_metadata: Option<Tokens>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Piece<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    /// The text is a thought, which is not shown.
    #[serde(default)]
    thought: bool,
    #[serde(borrow)]
    function_call: Option<Called<'a>>,
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow)]
    block_reason: Option<Text<'a>>,
}

/// Counts so far; a later chunk's include an earlier one's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    prompt_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    code: Option<u16>,
}

/// Reads one reply that comes whole.
pub(in crate::wire) async fn read_whole(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    let mut answer = Answer::default();
    answer.take(parse(&body, &call)?, &call)?;
    answer.done(&call)
}

/// Reads a stream, and hands its text on as it arrives. It has no last word:
/// it is whole when a candidate said why it finished.
pub(in crate::wire) async fn read_stream(reply: Reply<'_>) -> Result<ChatReply, NodeError> {
    let call = reply.call;
    let mut events = FrameStream::<SseEvents>::new(reply);
    let mut answer = Answer::default();
    while let Some(data) = events.next().await? {
        if data.trim_ascii().is_empty() {
            continue;
        }
        let start = answer.text.len();
        answer.take(parse(data, &call)?, &call)?;
        if answer.text.len() > start {
            call.ctx.events.token(&answer.text[start..]).await?;
        }
    }
    if answer.finish.is_none() {
        return Err(call.broken("broke off in the middle of its answer"));
    }
    answer.done(&call)
}

fn parse<'a>(json: &'a [u8], call: &Call<'_>) -> Result<Chunk<'a>, NodeError> {
    let chunk: Chunk<'a> = serde_json::from_slice(json)
        .map_err(|_| call.broken("sent an answer that is no valid JSON"))?;
    if let Some(failure) = &chunk.error {
        // The status line said success before the error was known.
        let message = complaint(json).unwrap_or_else(|| "an error without a message".to_owned());
        let status = failure.code.filter(|code| (400..600).contains(code)).unwrap_or(500);
        return Err(call.status(status, &message, None));
    }
    Ok(chunk)
}

/// An answer that is being put together.
#[derive(Default)]
struct Answer {
    text: String,
    calls: Vec<ToolCall>,
    finish: Option<Finish>,
    usage: Usage,
}

impl Answer {
    fn take(&mut self, chunk: Chunk<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        if let Some(reason) = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason) {
            return Err(withheld("blocked the prompt", &reason));
        }
        if let Some(tokens) = chunk.usage_metadata {
            self.usage = usage(&tokens);
        }
        let Some(candidate) = chunk.candidates.into_iter().flatten().next() else { return Ok(()) };
        for piece in candidate.content.and_then(|content| content.parts).into_iter().flatten() {
            self.piece(piece, call)?;
        }
        if let Some(reason) = candidate.finish_reason {
            spans::answered_by(chunk.model_version.as_deref());
            self.finish = Some(Finish::of(&reason));
        }
        Ok(())
    }

    fn piece(&mut self, piece: Piece<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        if let Some(text) = piece.text.filter(|_| !piece.thought) {
            self.text.push_str(&text);
        }
        let Some(called) = piece.function_call else { return Ok(()) };
        let name = called.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| call.broken("called a tool without its name"))?;
        if self.calls.len() == MAX_CALLS {
            return Err(call.broken("called more than 128 tools at once"));
        }
        let id = CallId { id: called.id.as_deref(), signature: piece.thought_signature.as_deref() };
        let arguments = called.args.unwrap_or_else(|| Value::Object(Map::new()));
        self.calls.push(ToolCall { id: id.pack(), name: name.to_string(), arguments });
        Ok(())
    }

    fn done(self, call: &Call<'_>) -> Result<ChatReply, NodeError> {
        let is_empty = self.text.is_empty() && self.calls.is_empty();
        let finish = match self.finish {
            None => return Err(call.broken("sent a reply without an answer")),
            Some(Finish::Malformed) => {
                return Err(call.broken("called a tool in a way that cannot be read"));
            }
            Some(Finish::Withheld(reason)) if is_empty => {
                return Err(withheld("withheld its answer", &reason));
            }
            Some(Finish::Withheld(_)) => FinishReason::ContentFilter,
            Some(Finish::Length) => FinishReason::Length,
            // It has no reason of its own for calls.
            Some(Finish::Done) if !self.calls.is_empty() => FinishReason::ToolCalls,
            Some(Finish::Done) => FinishReason::Stop,
        };
        Ok(ChatReply { text: self.text, tool_calls: self.calls, finish, usage: self.usage })
    }
}

/// Why Gemini stopped.
enum Finish {
    Done,
    Length,
    Malformed,
    /// With its word for why.
    Withheld(String),
}

impl Finish {
    fn of(reason: &str) -> Self {
        match reason {
            "MAX_TOKENS" => Self::Length,
            "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE" => Self::Malformed,
            "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
            | "OTHER" => Self::Withheld(reason.to_owned()),
            image if image.starts_with("IMAGE_") => Self::Withheld(reason.to_owned()),
            _ => Self::Done,
        }
    }
}

fn withheld(what: &str, reason: &str) -> NodeError {
    // The reason is one word of a list; a longer one is none of Gemini's.
    let reason: String = reason.chars().take(40).collect();
    NodeError::BadRequest(format!(
        "Gemini {what} ({reason}); ask in other words, or change the harm settings of the node"
    ))
}

fn usage(tokens: &Tokens) -> Usage {
    let sum = |one: Option<u64>, other: Option<u64>| {
        one.unwrap_or_default().saturating_add(other.unwrap_or_default())
    };
    Usage {
        input_tokens: sum(tokens.prompt_token_count, tokens.tool_use_prompt_token_count),
        output_tokens: sum(tokens.candidates_token_count, tokens.thoughts_token_count),
    }
}
