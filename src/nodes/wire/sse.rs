//! Server-sent events and lines of JSON out of byte chunks.
//!
//! Each byte is looked at once however it is chunked, and nothing grows
//! beyond 1 MiB. Source: the WHATWG HTML standard, "Server-sent events".

use crate::error::NodeError;
use crate::wire::http::Reply;

const MAX_EVENT_BYTES: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// Its `event` field, empty when absent.
    pub(crate) name: String,
    /// Its `data` lines.
    pub(crate) data: String,
}

/// A line or an event of more than 1 MiB.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// The lines of a reply.
pub(crate) struct LineStream<'a> {
    reply: Reply<'a>,
    lines: Lines,
    is_at_end: bool,
}

/// The events of a reply.
pub(crate) struct EventStream<'a> {
    lines: LineStream<'a>,
    pending: Pending,
}

/// The reply as lines.
pub(crate) fn lines(reply: Reply<'_>) -> LineStream<'_> {
    LineStream { reply, lines: Lines::default(), is_at_end: false }
}

/// The reply as server-sent events.
pub(crate) fn events(reply: Reply<'_>) -> EventStream<'_> {
    EventStream { lines: lines(reply), pending: Pending::default() }
}

impl LineStream<'_> {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// As of [`Reply::chunk`], and when a line is longer than 1 MiB.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, NodeError> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(Some(line));
            }
            if self.is_at_end {
                return Ok(None);
            }
            match self.reply.chunk().await? {
                Some(chunk) => self.lines.push(&chunk).map_err(|error| self.too_long(&error))?,
                None => {
                    self.is_at_end = true;
                    self.lines.end();
                }
            }
        }
    }

    fn too_long(&self, _: &TooLong) -> NodeError {
        self.reply.call.broken("sent a piece of more than 1 MiB")
    }
}

impl EventStream<'_> {
    /// The next event that has data; `None` at the end.
    ///
    /// # Errors
    /// As of [`LineStream::next`].
    pub(crate) async fn next(&mut self) -> Result<Option<SseEvent>, NodeError> {
        while let Some(line) = self.lines.next().await? {
            let event = self.pending.line(&line);
            if let Some(event) = event.map_err(|error| self.lines.too_long(&error))? {
                return Ok(Some(event));
            }
        }
        Ok(self.pending.take())
    }
}

/// Cuts bytes into lines.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// Up to where there is no line end.
    scanned: usize,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        // What is left over has no line end in it, so it is one unfinished line.
        if self.buffer.len() > MAX_EVENT_BYTES {
            return Err(TooLong);
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    /// Ends the last line, which may have no line end.
    fn end(&mut self) {
        if self.start < self.buffer.len() {
            self.buffer.push(b'\n');
        }
    }

    fn next(&mut self) -> Option<String> {
        let Some(length) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n')
        else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + length;
        let line = &self.buffer[self.start..end];
        // A character is whole again here, wherever its chunk was cut.
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        self.start = end + 1;
        self.scanned = self.start;
        Some(line)
    }
}

/// The event whose lines are arriving.
#[derive(Default)]
struct Pending {
    event: SseEvent,
    has_data: bool,
}

impl Pending {
    fn line(&mut self, line: &str) -> Result<Option<SseEvent>, TooLong> {
        if line.is_empty() {
            return Ok(self.take());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{feff}') {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // A comment, an id, or a field of the future.
            _ => {}
        }
        if self.event.data.len() > MAX_EVENT_BYTES { Err(TooLong) } else { Ok(None) }
    }

    fn take(&mut self) -> Option<SseEvent> {
        let pending = std::mem::take(self);
        pending.has_data.then_some(pending.event)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Result<Vec<SseEvent>, TooLong> {
        let (mut lines, mut pending, mut events) =
            (Lines::default(), Pending::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk)?;
            while let Some(line) = lines.next() {
                events.extend(pending.line(&line)?);
            }
        }
        lines.end();
        while let Some(line) = lines.next() {
            events.extend(pending.line(&line)?);
        }
        events.extend(pending.take());
        Ok(events)
    }

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_in_every_shape_that_servers_send() {
        for (text, expected) in [
            ("data: a\n\ndata: b\n\n", vec![event("", "a"), event("", "b")]),
            ("event: x\r\ndata:a\r\ndata: b\r\n\r\n", vec![event("x", "a\nb")]),
            (": ping\n\ndata: 猫", vec![event("", "猫")]),
            ("data\n\n", vec![event("", "")]),
            ("event: x\n\n", vec![]),
            ("\u{feff}data: a\n\n", vec![event("", "a")]),
            ("", vec![]),
        ] {
            assert_eq!(parse([text.as_bytes()].into_iter()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_event_that_does_not_end_is_refused() {
        let long = "x".repeat(MAX_EVENT_BYTES / 4);
        let one_line = long.repeat(6);
        let many_lines = format!("data: {long}\n").repeat(6);

        for text in [one_line, many_lines] {
            assert_eq!(parse(text.as_bytes().chunks(4096)), Err(TooLong));
        }
    }

    proptest! {
        #[test]
        fn the_same_events_come_out_however_the_bytes_are_chunked(
            text in "(data|event|:|: |猫|\r\n|\n|x){0,40}",
            size in 1_usize..9,
        ) {
            let whole = parse([text.as_bytes()].into_iter());

            prop_assert_eq!(parse(text.as_bytes().chunks(size)), whole);
        }
    }
}
