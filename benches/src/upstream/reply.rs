//! The replies of the model server, made once as bytes and written as they are.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::answer;

/// The model name in every reply.
const MODEL: &str = "bench-model";

/// The replies that need no look at the request, whole HTTP messages each.
#[derive(Debug)]
pub struct Replies {
    /// The answer as one JSON body.
    pub whole: Vec<u8>,
    /// The head of a streamed answer, which says that chunks follow.
    pub stream_head: Vec<u8>,
    /// The first delta: the role.
    pub stream_role: Vec<u8>,
    /// One chunk for each token.
    pub stream_tokens: Vec<Vec<u8>>,
    /// The reason for the end, the usage, `[DONE]` and the last chunk.
    pub stream_tail: Vec<u8>,
    /// The five parts above in one piece, for an answer without pauses.
    pub stream_at_once: Vec<u8>,
}

impl Replies {
    /// The replies for an answer of so many tokens.
    pub fn new(n_tokens: usize) -> Self {
        let stream_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
            transfer-encoding: chunked\r\n\r\n"
            .to_vec();
        let stream_role = delta(json!({"role": "assistant", "content": ""}), Value::Null);
        let stream_tokens: Vec<_> = answer::tokens(n_tokens)
            .into_iter()
            .map(|token| delta(json!({"content": token}), Value::Null))
            .collect();
        let stream_tail = tail(n_tokens);
        let mut stream_at_once = [stream_head.as_slice(), &stream_role].concat();
        stream_tokens.iter().for_each(|chunk| stream_at_once.extend_from_slice(chunk));
        stream_at_once.extend_from_slice(&stream_tail);
        let whole = completion(&answer::text(n_tokens), n_tokens);
        Self { whole, stream_head, stream_role, stream_tokens, stream_tail, stream_at_once }
    }
}

/// A whole reply with any text, as `--echo` needs it.
pub fn completion(text: &str, n_tokens: usize) -> Vec<u8> {
    let body = json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }],
        "usage": usage(n_tokens),
    });
    json_reply("200 OK", &body)
}

/// A streamed reply with any text, in one token.
pub fn streamed(text: &str) -> Vec<u8> {
    let parts = Replies::new(0);
    let token = delta(json!({"content": text}), Value::Null);
    [parts.stream_head, parts.stream_role, token, parts.stream_tail].concat()
}

/// Any JSON as a whole HTTP reply.
pub fn json_reply(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// An error in the shape that the provider's clients read.
pub fn error(status: &str, message: &str) -> Vec<u8> {
    let kind = "invalid_request_error";
    json_reply(status, &json!({"error": {"message": message, "type": kind}}))
}

fn usage(n_tokens: usize) -> Value {
    let total_tokens = 12 + n_tokens;
    json!({"prompt_tokens": 12, "completion_tokens": n_tokens, "total_tokens": total_tokens})
}

fn delta(delta: Value, finish_reason: Value) -> Vec<u8> {
    chunk(&event(json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}]), None))
}

fn tail(n_tokens: usize) -> Vec<u8> {
    let stop = delta(json!({}), json!("stop"));
    let usage = chunk(&event(json!([]), Some(usage(n_tokens))));
    [stop, usage, chunk("data: [DONE]\n\n"), b"0\r\n\r\n".to_vec()].concat()
}

fn event(choices: Value, usage: Option<Value>) -> String {
    let mut body = json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": choices,
    });
    if let Some(usage) = usage {
        body["usage"] = usage;
    }
    format!("data: {body}\n\n")
}

fn chunk(data: &str) -> Vec<u8> {
    let mut framed = String::with_capacity(data.len() + 8);
    // Writing to a String cannot fail.
    let _ = write!(framed, "{:x}\r\n{data}\r\n", data.len());
    framed.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_reply_says_its_length_right() {
        let reply = completion("hello", 1);
        let end = crate::http::head_end(&reply).unwrap();
        let length = crate::http::body_length(&reply[..end]).unwrap();
        assert_eq!(length, crate::http::BodyLength::Exactly(reply.len() - end));
    }

    #[test]
    fn a_streamed_reply_at_once_is_the_sum_of_its_parts() {
        let replies = Replies::new(2);
        let text = String::from_utf8(replies.stream_at_once).unwrap();
        assert!(text.contains(r#""delta":{"content":" room"}"#), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{text}");
    }
}
