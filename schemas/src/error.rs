//! The codes that every border's error carries. Only `http/error.rs` of the
//! server turns a code into a status.

use serde::{Deserialize, Serialize};

/// What kind of failure an error is, whatever room it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request cannot be understood or names a wrong value.
    BadRequest,
    /// No key, or one that does not open this.
    Unauthorized,
    /// Known caller, refused place (a refused origin).
    Forbidden,
    /// The named thing does not exist.
    NotFound,
    /// A path that is there, asked in a way that it does not know.
    MethodNotAllowed,
    /// The request contradicts what is stored.
    Conflict,
    /// An `Idempotency-Key` that came with another body before.
    KeyReused,
    /// A body or an item over its limit.
    TooLarge,
    /// A body that came too slowly.
    TooSlow,
    /// A body in a format that this route does not take.
    UnsupportedMediaType,
    /// A required part is absent (Flowise's word: 412).
    PreconditionFailed,
    /// A session, key or chatflow exceeds its own limit.
    LimitExceeded,
    /// The whole server cannot take more now.
    Overloaded,
    /// The flow names a node that Parlor does not run.
    UnsupportedNode,
    /// The flow itself cannot run (a loop, no ending node, a wrong setting).
    InvalidFlow,
    /// A credential that a node needs is missing or unusable.
    MissingCredential,
    /// The provider refused or answered nonsense.
    UpstreamFailed,
    /// The provider took too long.
    UpstreamTimeout,
    /// The provider's own rate limit.
    UpstreamLimited,
    /// The provider keeps failing and is not asked for a while.
    UpstreamPaused,
    /// The caller left, so the work was dropped.
    Cancelled,
    /// The disk or the store failed: nothing was acknowledged.
    StoreFailed,
    /// A defect of Parlor.
    Internal,
}

/// An error that may be shown to a user: one clear sentence, no secret, no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The kind of failure.
    pub code: ErrorCode,
    /// What is wrong and what to do about it.
    pub message: String,
    /// After how many seconds a repetition makes sense, if that is known.
    pub retry_after_s: Option<u64>,
}

impl Fault {
    /// A fault without a time to retry.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_s: None }
    }

    /// The message as a log may hold it: without what a provider said in its
    /// own words, which stands behind the first colon and may quote a prompt.
    pub fn for_log(&self) -> &str {
        match self.code {
            ErrorCode::UpstreamFailed | ErrorCode::UpstreamLimited => {
                self.message.split(": ").next().unwrap_or_default()
            }
            _ => &self.message,
        }
    }

    /// The same fault with a time to retry, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// What a caller wrote, as a message may repeat it: at most so many characters,
/// none of which does anything to a terminal or a log.
pub fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_short_and_does_nothing() {
        assert_eq!(shown("a\u{1b}[2J\nb", 4), "a\\u{1b}[2");
        assert_eq!(shown("übrig", 2), "üb");
    }

    #[test]
    fn a_log_gets_no_words_of_a_provider() {
        let said = Fault::new(ErrorCode::UpstreamFailed, "OpenAI answered 400: bad prompt: hush");
        assert_eq!(said.for_log(), "OpenAI answered 400");
        let own = Fault::new(ErrorCode::StoreFailed, "nothing was saved: the disk is full");
        assert_eq!(own.for_log(), own.message);
    }
}
