//! Frames of `application/vnd.amazon.eventstream`, and what is in them.
//!
//! Source: Amazon Lex V2 Developer Guide, "Event stream encoding", for the
//! bytes; Smithy, "Amazon Event Stream Specification", for the headers. A
//! frame is its length, the length of its headers, a CRC-32 of these two, the
//! headers, the payload, and a CRC-32 of all before it; numbers are big-endian.

use std::ops::Range;

use super::frames::{FrameError, Frames, MAX_FRAME_BYTES};

const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;

/// Collects bytes and gives out whole frames whose checksums are right.
#[derive(Debug, Default)]
pub(crate) struct EventFrames {
    bytes: Vec<u8>,
    /// Where the frame that is being read begins.
    start: usize,
    current: Range<usize>,
}

impl Frames for EventFrames {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    fn advance(&mut self) -> Result<bool, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some(length) = frame_length(rest)? else { return Ok(false) };
        let Some(frame) = rest.get(..length) else { return Ok(false) };
        let body = length - CRC_BYTES;
        if crc32fast::hash(&frame[..body]) != number(frame, body) {
            return Err(FrameError::Damaged);
        }
        self.current = self.start..self.start + length;
        self.start += length;
        Ok(true)
    }

    /// What is left is no frame: whether the answer is whole, its last event says.
    fn finish(&mut self) -> Result<bool, FrameError> {
        Ok(false)
    }

    fn data(&self) -> &[u8] {
        &self.bytes[self.current.clone()]
    }
}

/// The length of the frame that begins here; `None` until its prelude is there.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(prelude) = bytes.get(..PRELUDE_BYTES) else { return Ok(None) };
    if crc32fast::hash(&prelude[..8]) != number(prelude, 8) {
        return Err(FrameError::Damaged);
    }
    let (length, headers) = (number(prelude, 0) as usize, number(prelude, 4) as usize);
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong);
    }
    if headers.saturating_add(PRELUDE_BYTES + CRC_BYTES) > length {
        return Err(FrameError::Damaged);
    }
    Ok(Some(length))
}

/// The number at this place; the caller knows that it is there.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// A frame taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub(crate) kind: &'a str,
    /// `:event-type`, `:exception-type` or `:error-code`, whichever is there.
    pub(crate) name: &'a str,
    /// `:error-message`, of a `:message-type` of `error`.
    pub(crate) message: &'a str,
    /// The event itself.
    pub(crate) payload: &'a [u8],
}

impl<'a> Event<'a> {
    /// Reads a frame of [`EventFrames`].
    ///
    /// # Errors
    /// [`FrameError::Damaged`] for headers that do not fit their length.
    pub(crate) fn read(frame: &'a [u8]) -> Result<Self, FrameError> {
        let end = frame.len().checked_sub(CRC_BYTES).ok_or(FrameError::Damaged)?;
        let body = frame.get(PRELUDE_BYTES..end).ok_or(FrameError::Damaged)?;
        let (headers, payload) =
            body.split_at_checked(number(frame, 4) as usize).ok_or(FrameError::Damaged)?;
        let mut event = Self { payload, ..Self::default() };
        let mut headers = Headers(headers);
        while !headers.0.is_empty() {
            let (name, value) = headers.next().ok_or(FrameError::Damaged)?;
            event.take(name, value);
        }
        Ok(event)
    }

    fn take(&mut self, name: &[u8], value: &'a str) {
        match name {
            b":message-type" => self.kind = value,
            b":event-type" | b":exception-type" | b":error-code" => self.name = value,
            b":error-message" => self.message = value,
            _ => {}
        }
    }
}

/// The headers that are not read yet.
struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// The next name, and its value if that is a text; `None` if it is cut.
    fn next(&mut self) -> Option<(&'a [u8], &'a str)> {
        let length = self.length(1)?;
        let name = self.bytes(length)?;
        let kind = self.length(1)?;
        let length = match kind {
            // True and false.
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            // A long and a time.
            5 | 8 => 8,
            // Bytes and text.
            6 | 7 => self.length(2)?,
            // A UUID.
            9 => 16,
            _ => return None,
        };
        let value = self.bytes(length)?;
        let text = if kind == 7 { std::str::from_utf8(value).ok()? } else { "" };
        Some((name, text))
    }

    fn length(&mut self, n_bytes: usize) -> Option<usize> {
        let bytes = self.bytes(n_bytes)?;
        Some(bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn bytes(&mut self, n_bytes: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(n_bytes)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    /// A frame with headers of text.
    pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in headers {
            bytes.push(u8::try_from(name.len()).unwrap());
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(7);
            bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        raw(&bytes, payload)
    }

    /// A frame with these bytes as headers.
    pub(crate) fn raw(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(headers.len() + payload.len() + 16).unwrap();
        let mut frame = prelude(length, u32::try_from(headers.len()).unwrap());
        frame.extend_from_slice(headers);
        frame.extend_from_slice(payload);
        let crc = crc32fast::hash(&frame);
        frame.extend_from_slice(&crc.to_be_bytes());
        frame
    }

    /// The beginning of a frame that says these lengths.
    pub(crate) fn prelude(length: u32, headers: u32) -> Vec<u8> {
        let mut bytes = [length.to_be_bytes(), headers.to_be_bytes()].concat();
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// A frame that holds an event of this name.
    pub(crate) fn event(name: &str, payload: &str) -> Vec<u8> {
        let headers = [
            (":event-type", name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        frame(&headers, payload.as_bytes())
    }
}

#[cfg(test)]
mod tests;
