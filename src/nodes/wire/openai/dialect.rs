//! Where the wire of a provider differs from OpenAI's own.

use std::borrow::Cow;

use reqwest::header::{AUTHORIZATION, HeaderName};

/// Whose wire it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenAI's, and that of all who copy it.
    OpenAi,
    /// The key has a header of its own.
    Azure {
        /// Whether this version of the API can be asked for a stream's usage.
        counts_streams: bool,
    },
    /// Refuses any field that it does not know.
    Mistral,
}

impl Dialect {
    /// The header that carries the key.
    pub(super) fn key_header(self, key: &str) -> (HeaderName, Cow<'_, str>) {
        match self {
            Self::Azure { .. } => (HeaderName::from_static("api-key"), key.into()),
            Self::OpenAi | Self::Mistral => (AUTHORIZATION, format!("Bearer {key}").into()),
        }
    }

    /// Whether a stream must be asked for its usage, and can be. Mistral sends
    /// it unasked and answers 422 to the question.
    pub(super) fn asks_for_usage(self) -> bool {
        match self {
            Self::OpenAi => true,
            Self::Azure { counts_streams } => counts_streams,
            Self::Mistral => false,
        }
    }

    /// The word for "call some tool".
    pub(super) fn any_tool(self) -> &'static str {
        if self == Self::Mistral { "any" } else { "required" }
    }

    /// The id of a tool call as this provider takes it. A conversation may hold
    /// calls that another model made, whose ids Mistral refuses: its own are of
    /// nine letters and digits.
    pub(super) fn call_id(self, id: &str) -> Cow<'_, str> {
        let fits = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if self != Self::Mistral || fits { id.into() } else { short_id(id).into() }
    }
}

/// Nine letters and digits that are the same for the same id (FNV-1a).
fn short_id(id: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut digit = || {
        let digit = DIGITS[(hash % 36) as usize];
        hash /= 36;
        char::from(digit)
    };
    (0..9).map(|_| digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistral_gets_ids_of_nine_letters_and_digits_and_the_same_ones_each_time() {
        assert_eq!(Dialect::Mistral.call_id("ssAbar4Dr"), "ssAbar4Dr");
        let long = "call_JIIjI55tTipFFzpcP8re3BpM";
        let short = Dialect::Mistral.call_id(long);
        assert_eq!(short.len(), 9);
        assert!(short.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{short}");
        assert_eq!(short, Dialect::Mistral.call_id(long));
        assert_ne!(short, Dialect::Mistral.call_id("call_another"));
        assert_eq!(Dialect::OpenAi.call_id(long), long);
    }
}
