//! Server-sent events, of which only the data counts: both providers that
//! stream this way repeat an event's name in its JSON.
//!
//! Source of the grammar: WHATWG HTML, 9.2.5 and 9.2.6. One difference: data
//! that is followed by the end of the stream instead of a blank line is still
//! an event, since some servers leave the last blank line out; whether the
//! answer is whole is for the protocol to say, not for the framing.

use super::frames::{FrameError, Frames, MAX_FRAME_BYTES};
use super::lines::LineBuffer;

/// A parser of one stream.
#[derive(Debug, Default)]
pub(crate) struct SseEvents {
    lines: LineBuffer,
    data: Vec<u8>,
    /// The current event has a data line, be it empty.
    has_data: bool,
    /// `data` was given out and makes room at the next step.
    given: bool,
    /// A line was read: only the first may begin with a byte order mark.
    begun: bool,
}

impl SseEvents {
    /// Reads one line; true when it ends an event.
    fn line(&mut self, line: std::ops::Range<usize>) -> Result<bool, FrameError> {
        let mut line = self.lines.get(line);
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.has_data);
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            // Comments, `event`, `id`, `retry` and unknown fields.
            _ => return Ok(false),
        };
        if self.has_data {
            self.data.push(b'\n');
        }
        if self.data.len() + value.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong);
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(false)
    }

    fn make_room(&mut self) {
        if self.given {
            self.data.clear();
            self.has_data = false;
            self.given = false;
        }
    }
}

impl Frames for SseEvents {
    fn push(&mut self, piece: &[u8]) {
        self.lines.push(piece);
    }

    fn advance(&mut self) -> Result<bool, FrameError> {
        self.make_room();
        while let Some(line) = self.lines.next_line()? {
            if self.line(line)? {
                self.given = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finish(&mut self) -> Result<bool, FrameError> {
        self.make_room();
        let rest = self.lines.rest();
        if !rest.is_empty() {
            self.line(rest)?;
        }
        self.given = self.has_data;
        Ok(self.given)
    }

    fn data(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frames::test_support::collect;
    use super::*;

    fn events(text: &[u8], size: usize) -> Result<Vec<Vec<u8>>, FrameError> {
        collect(SseEvents::default(), text.chunks(size))
    }

    fn texts(text: &str) -> Vec<String> {
        let events = events(text.as_bytes(), text.len().max(1)).unwrap();
        events.into_iter().map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn data_lines_are_joined_and_other_fields_are_skipped() {
        let stream = ": hello\nevent: x\nid: 1\ndata: one\ndata:two\n\ndata\n\nretry: 5\n\n\
                      datax: no\n\ndata:  [DONE]\r\n\r\n";
        assert_eq!(texts(stream), ["one\ntwo", "", " [DONE]"]);
    }

    #[test]
    fn a_byte_order_mark_and_a_missing_last_blank_line_do_no_harm() {
        assert_eq!(texts("\u{feff}data: a\n\ndata: b\n"), ["a", "b"]);
        assert_eq!(texts("data: a\n\ndata: b"), ["a", "b"]);
        assert_eq!(texts(""), Vec::<String>::new());
    }

    #[test]
    fn an_event_over_the_bound_is_refused_even_in_many_lines() {
        let line = format!("data: {}\n", "x".repeat(1000));
        assert_eq!(events(line.repeat(2000).as_bytes(), 4096), Err(FrameError::TooLong));
        let long = format!("data: {}\n\n", "x".repeat(MAX_FRAME_BYTES));
        assert_eq!(events(long.as_bytes(), 4096), Err(FrameError::TooLong));
    }

    proptest! {
        #[test]
        fn the_events_are_the_same_however_the_bytes_are_cut(
            lines in prop::collection::vec(
                prop_oneof![
                    Just(String::new()),
                    "(data|data:|data: |event: |:|)[a-zäß🦊 :]{0,12}",
                ],
                0..30,
            ),
            ends in prop::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], 30),
            cuts in prop::collection::vec(1usize..9, 1..50),
        ) {
            let stream: String =
                lines.iter().zip(&ends).flat_map(|(line, end)| [line.as_str(), *end]).collect();
            let whole = events(stream.as_bytes(), stream.len().max(1));
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(collect(SseEvents::default(), pieces), whole);
        }
    }
}
