//! Reads a streamed prediction as it arrives and checks its grammar: tokens, then
//! `metadata`, then `end`, and nothing after it. A model server's own stream is read
//! too, to be compared with.

use std::borrow::Cow;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Sink;

/// What has been heard of one stream so far.
#[derive(Debug, Default)]
pub struct StreamReader {
    /// The part of a line that has arrived.
    partial: Vec<u8>,
    /// When the first token was there.
    pub first_token: Option<Instant>,
    /// Tokens so far.
    pub n_tokens: u64,
    /// The tokens put together.
    pub text: String,
    /// The session that `metadata` named.
    pub session: Option<String>,
    /// Whether `end` came.
    pub ended: bool,
    /// Something that the grammar does not allow, or an `error` event.
    pub fault: Option<&'static str>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    data: Value,
}

impl StreamReader {
    /// Forgets the last stream but keeps its buffers.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.text.clear();
        let (partial, text) = (std::mem::take(&mut self.partial), std::mem::take(&mut self.text));
        *self = Self { partial, text, ..Self::default() };
    }

    /// Whether the stream ran to its proper end.
    pub fn is_whole(&self) -> bool {
        self.ended && self.fault.is_none() && self.partial.is_empty()
    }

    fn line(&mut self, line: &[u8]) {
        // The other lines are `message:` and the empty one between two events.
        let Some(data) = line.strip_prefix(b"data:") else { return };
        // Parlor writes no blank there, OpenAI's servers one.
        if let Some(data) = data.strip_prefix(b" ") {
            return self.model_line(data);
        }
        let Ok(event) = serde_json::from_slice::<Event>(data) else {
            self.fault = Some("an event is no JSON");
            return;
        };
        if self.ended {
            self.fault = Some("an event after `end`");
        }
        match event.event.as_ref() {
            "token" => self.token(event.data.as_str().unwrap_or_default()),
            "metadata" => self.session = event.data["sessionId"].as_str().map(str::to_owned),
            "end" => self.ended = true,
            "error" => self.fault = Some("an `error` event"),
            _ => {}
        }
    }

    fn model_line(&mut self, data: &[u8]) {
        if data == b"[DONE]" {
            self.ended = true;
            return;
        }
        match serde_json::from_slice::<Value>(data) {
            Ok(chunk) => match chunk["choices"][0]["delta"]["content"].as_str() {
                None | Some("") => {}
                Some(text) => self.token(text),
            },
            Err(_) => self.fault = Some("a chunk is no JSON"),
        }
    }

    fn token(&mut self, text: &str) {
        self.first_token.get_or_insert_with(Instant::now);
        self.n_tokens += 1;
        self.text.push_str(text);
    }
}

impl Sink for StreamReader {
    fn take(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            if self.partial.is_empty() {
                self.line(&rest[..at]);
            } else {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(&rest[..at]);
                self.line(&line);
                line.clear();
                self.partial = line;
            }
            rest = &rest[at + 1..];
        }
        self.partial.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "message:\ndata:{\"event\":\"start\",\"data\":\"Hi\"}\n\n\
        message:\ndata:{\"event\":\"token\",\"data\":\"Hi\"}\n\n\
        message:\ndata:{\"event\":\"token\",\"data\":\" there\"}\n\n\
        message:\ndata:{\"event\":\"metadata\",\"data\":{\"sessionId\":\"s1\"}}\n\n\
        message\ndata:{\"event\":\"end\",\"data\":\"[DONE]\"}\n\n";

    #[test]
    fn a_stream_is_read_the_same_however_it_is_cut() {
        for step in [1, 5, 64, STREAM.len()] {
            let mut reader = StreamReader::default();
            STREAM.as_bytes().chunks(step).for_each(|piece| reader.take(piece));
            assert!(reader.is_whole(), "{reader:?}");
            assert_eq!((reader.n_tokens, reader.text.as_str()), (2, "Hi there"));
            assert_eq!(reader.session.as_deref(), Some("s1"));
        }
    }

    #[test]
    fn a_stream_without_its_end_is_not_whole() {
        let mut reader = StreamReader::default();
        reader.take(&STREAM.as_bytes()[..STREAM.len() / 2]);
        assert!(!reader.is_whole());
        reader.reset();
        reader.take(STREAM.as_bytes());
        assert!(reader.is_whole());
    }

    #[test]
    fn an_event_after_the_end_is_a_fault() {
        let mut reader = StreamReader::default();
        reader.take(STREAM.as_bytes());
        reader.take(b"data:{\"event\":\"end\",\"data\":\"[DONE]\"}\n\n");
        assert_eq!(reader.fault, Some("an event after `end`"));
    }
}
