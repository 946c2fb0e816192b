//! Bytes into lines, however the network cut them.

use std::ops::Range;

use super::frames::{FrameError, Frames, MAX_FRAME_BYTES};

/// Collects bytes and gives out whole lines. A line ends at LF, CRLF or CR,
/// the three endings of the event stream format (WHATWG HTML, 9.2.5).
/// Every byte is looked at once, whatever the sizes of the pieces.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the line that is being read begins.
    start: usize,
    /// Up to where no line end was found.
    scanned: usize,
    /// The last line ended at CR: an LF that follows belongs to that ending.
    after_cr: bool,
}

impl LineBuffer {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Where the next whole line lies, without its ending; `None` until more bytes come.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] for a line over [`MAX_FRAME_BYTES`].
    pub(crate) fn next_line(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        if self.after_cr && self.start < self.bytes.len() {
            if self.bytes[self.start] == b'\n' {
                self.start += 1;
                self.scanned = self.scanned.max(self.start);
            }
            self.after_cr = false;
        }
        let found = memchr::memchr2(b'\n', b'\r', &self.bytes[self.scanned..]);
        let end = found.map_or(self.bytes.len(), |at| self.scanned + at);
        if end - self.start > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong);
        }
        self.scanned = end;
        if found.is_none() {
            return Ok(None);
        }
        self.after_cr = self.bytes[end] == b'\r';
        let line = self.start..end;
        self.start = end + 1;
        self.scanned = self.start;
        Ok(Some(line))
    }

    /// What is left when no more bytes come: a last line without an ending.
    pub(crate) fn rest(&mut self) -> Range<usize> {
        let line = self.start..self.bytes.len();
        self.start = self.bytes.len();
        self.scanned = self.start;
        line
    }

    /// The bytes of a line, until the next [`push`](Self::push).
    pub(crate) fn get(&self, line: Range<usize>) -> &[u8] {
        &self.bytes[line]
    }
}

/// Newline-delimited JSON: each line that is not blank is a frame.
#[derive(Debug, Default)]
pub(crate) struct JsonLines {
    lines: LineBuffer,
    current: Range<usize>,
}

impl Frames for JsonLines {
    fn push(&mut self, piece: &[u8]) {
        self.lines.push(piece);
    }

    fn advance(&mut self) -> Result<bool, FrameError> {
        while let Some(line) = self.lines.next_line()? {
            if !self.lines.get(line.clone()).trim_ascii().is_empty() {
                self.current = line;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finish(&mut self) -> Result<bool, FrameError> {
        self.current = self.lines.rest();
        Ok(!self.data().trim_ascii().is_empty())
    }

    fn data(&self) -> &[u8] {
        self.lines.get(self.current.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::test_support::collect;
    use super::*;

    #[test]
    fn lines_end_at_lf_crlf_or_cr_and_the_last_may_have_no_end() {
        let text = b"{\"a\":1}\n\r\n{\"b\":2}\r\n  \r{\"c\":3}\r{\"d\":4}";
        let expected = ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}", "{\"d\":4}"];
        for size in [1, 2, 3, 7, 100] {
            let frames = collect(JsonLines::default(), text.chunks(size)).unwrap();
            assert_eq!(frames, expected.map(|text| text.as_bytes().to_vec()), "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_bound() {
        let piece = vec![b'x'; 100_000];
        let pieces = std::iter::repeat_n(piece.as_slice(), 11);
        assert_eq!(collect(JsonLines::default(), pieces), Err(FrameError::TooLong));
    }
}
