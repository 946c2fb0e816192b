//! The requests of the model server: looked at just far enough to tell what is asked.

use bytes::{Buf, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::reply;
use crate::http::{self, BodyLength};

/// Requests larger than this are refused: a history of some 100,000 messages.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// What a request wants.
pub(super) enum Asked {
    /// How many answers were given.
    Counts,
    /// Other waits from now on, in milliseconds: before an answer, between its tokens.
    Waits(u64, u64),
    /// An answer in one piece.
    Whole,
    /// An answer token by token.
    Stream,
    /// Status and reason of the refusal.
    Nonsense(&'static str, &'static str),
}

pub(super) fn asked(head: &[u8], body: &[u8]) -> Asked {
    let line = http::first_line(head);
    if line.starts_with(b"GET /counts ") {
        return Asked::Counts;
    }
    if let Some((delay_ms, gap_ms)) = waits_of(line) {
        return Asked::Waits(delay_ms, gap_ms);
    }
    if !line.starts_with(b"POST /v1/chat/completions ") {
        return Asked::Nonsense("404 Not Found", "no such route");
    }
    if memchr::memmem::find(body, b"\"messages\"").is_none() {
        return Asked::Nonsense("400 Bad Request", "messages are missing");
    }
    if asks_for_stream(body) { Asked::Stream } else { Asked::Whole }
}

/// Reads one request; nothing when the client has closed between two of them.
pub(super) async fn next_request(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
) -> std::io::Result<Option<(BytesMut, BytesMut)>> {
    let end = loop {
        if let Some(end) = http::head_end(buffer) {
            break end;
        }
        if buffer.len() > http::MAX_HEAD_BYTES || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = buffer.split_to(end);
    let Some(BodyLength::Exactly(length)) = http::body_length(&head) else {
        stream.write_all(&reply::error("411 Length Required", "send a content-length")).await?;
        return Ok(None);
    };
    if length > MAX_BODY_BYTES {
        stream.write_all(&reply::error("413 Content Too Large", "too large")).await?;
        return Ok(None);
    }
    while buffer.len() < length {
        buffer.reserve(length - buffer.len());
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, buffer.split_to(length))))
}

/// The waits of `POST /waits/DELAY/GAP`; none is longer than a minute.
fn waits_of(line: &[u8]) -> Option<(u64, u64)> {
    let path = line.strip_prefix(b"POST /waits/")?.split(|byte| *byte == b' ').next()?;
    let (delay, gap) = std::str::from_utf8(path).ok()?.split_once('/')?;
    let bounded = |text: &str| text.parse().ok().filter(|ms: &u64| *ms <= 60_000);
    Some((bounded(delay)?, bounded(gap)?))
}

/// Whether the body has `"stream": true`. A quoted copy of it inside a text has
/// backslashes before its quotes, so it is not taken for one.
fn asks_for_stream(body: &[u8]) -> bool {
    const KEY: &[u8] = b"\"stream\"";
    memchr::memmem::find_iter(body, KEY).any(|at| {
        let mut rest = body[at + KEY.len()..].trim_ascii_start();
        if !rest.starts_with(b":") {
            return false;
        }
        rest.advance(1);
        rest.trim_ascii_start().starts_with(b"true")
    })
}

/// The messages received, as JSON text.
pub(super) fn messages_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["messages"].to_string()
}

/// What the person said in all messages received, a blank between two.
pub(super) fn questions_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let messages = body["messages"].as_array().into_iter().flatten();
    let asked = messages.filter(|message| message["role"] == "user");
    asked.filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_the_key_not_by_a_text_that_quotes_it() {
        assert!(asks_for_stream(br#"{"stream" : true}"#));
        assert!(!asks_for_stream(br#"{"stream":false}"#));
        assert!(!asks_for_stream(br#"{"content":"say \"stream\":true"}"#));
    }

    #[test]
    fn waits_are_two_bounded_numbers() {
        assert_eq!(waits_of(b"POST /waits/60/10 HTTP/1.1"), Some((60, 10)));
        assert_eq!(waits_of(b"POST /waits/60 HTTP/1.1"), None);
        assert_eq!(waits_of(b"POST /waits/99999999/0 HTTP/1.1"), None);
    }

    #[test]
    fn a_recital_is_what_the_person_said_in_order() {
        let body = br#"{"messages":[{"role":"system","content":"s"},
            {"role":"user","content":"a"},{"role":"assistant","content":"x"},
            {"role":"user","content":"b"}]}"#;
        assert_eq!(questions_of(body), "a b");
    }

    #[test]
    fn an_echo_is_the_messages_as_json() {
        assert_eq!(messages_of(br#"{"messages":[{"role":"user"}]}"#), r#"[{"role":"user"}]"#);
    }
}
