//! A reply that comes in frames: events of a stream, or lines of JSON.

use super::http::Reply;
use crate::error::NodeError;

/// Longest frame. A token is a few bytes; a whole tool call of an Ollama
/// stream is one frame.
pub(crate) const MAX_FRAME_BYTES: usize = 1 << 20;

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A frame over [`MAX_FRAME_BYTES`].
    TooLong,
    /// A frame whose checksum or structure is wrong.
    Damaged,
}

impl FrameError {
    /// What the provider did, starting with a verb.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::TooLong => "sent a piece of more than 1 MiB",
            Self::Damaged => "sent a piece that was damaged on the way",
        }
    }
}

/// Finds frames in bytes that come in pieces.
pub(crate) trait Frames: Default {
    /// Takes the next piece.
    fn push(&mut self, piece: &[u8]);

    /// Steps to the next frame; false when more bytes are needed.
    fn advance(&mut self) -> Result<bool, FrameError>;

    /// Steps to what is left when no more bytes come; false when nothing is.
    fn finish(&mut self) -> Result<bool, FrameError>;

    /// The frame that was stepped to, not checked for UTF-8: the JSON parser does that.
    fn data(&self) -> &[u8];
}

/// The frames of one reply.
pub(crate) struct FrameStream<'e, F> {
    reply: Reply<'e>,
    frames: F,
}

impl<'e, F: Frames> FrameStream<'e, F> {
    /// The frames of this reply.
    pub(crate) fn new(reply: Reply<'e>) -> Self {
        Self { reply, frames: F::default() }
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// What [`Reply::chunk`] says, or a frame over the bound.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, NodeError> {
        while !self.checked(F::advance)? {
            match self.reply.gathered().await? {
                Some(piece) => self.frames.push(&piece),
                None if self.checked(F::finish)? => break,
                None => return Ok(None),
            }
        }
        Ok(Some(self.frames.data()))
    }

    /// Reads to the end of a reply whose last frame was seen, so that its
    /// connection can be used again.
    pub(crate) async fn drain(self) {
        self.reply.drain().await;
    }

    fn checked(
        &mut self,
        step: impl Fn(&mut F) -> Result<bool, FrameError>,
    ) -> Result<bool, NodeError> {
        step(&mut self.frames).map_err(|error| self.reply.call.broken(error.problem()))
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use super::{FrameError, Frames};

    /// All frames of a stream that comes in these pieces.
    pub(crate) fn collect<'a, F: Frames>(
        mut frames: F,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut all = Vec::new();
        for piece in pieces {
            frames.push(piece);
            while frames.advance()? {
                all.push(frames.data().to_vec());
            }
        }
        while frames.finish()? {
            all.push(frames.data().to_vec());
        }
        Ok(all)
    }
}
