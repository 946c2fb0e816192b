//! Identifiers, parsed at the door.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest session or chat id in bytes. Flowise stores them in a column
/// without a limit; clients send UUIDs, e-mail addresses or phone numbers.
pub const MAX_ID_BYTES: usize = 512;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A chatflow id that is no UUID.
    #[error("{0} is not a valid id: a UUID is expected")]
    NotUuid(&'static str),
    /// An id without a character.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// An id over [`MAX_ID_BYTES`].
    #[error("{0} is longer than {MAX_ID_BYTES} bytes")]
    TooLong(&'static str),
    /// An id that holds a control character, which no client can send back in a URL.
    #[error("{0} holds a control character")]
    ControlCharacter(&'static str),
}

/// The id of a stored chatflow.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct ChatflowId(Uuid);

impl ChatflowId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Parses the hyphenated form only, as Flowise writes it.
    ///
    /// # Errors
    /// [`IdError::NotUuid`] for anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.len() != 36 {
            return Err(IdError::NotUuid("chatflow id"));
        }
        Uuid::try_parse(text).map(Self).map_err(|_| IdError::NotUuid("chatflow id"))
    }

    /// The 16 bytes of the UUID.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From the 16 bytes of a UUID.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for ChatflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $label:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
        #[schema(value_type = String)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes any text of 1 to [`MAX_ID_BYTES`] bytes without control characters.
            ///
            /// # Errors
            /// [`IdError`] naming what is wrong.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.is_empty() {
                    return Err(IdError::Empty($label));
                }
                if text.len() > MAX_ID_BYTES {
                    return Err(IdError::TooLong($label));
                }
                if text.chars().any(char::is_control) {
                    return Err(IdError::ControlCharacter($label));
                }
                Ok(Self(text.into()))
            }

            /// A new random id, a UUID in text form.
            pub fn random() -> Self {
                Self(Uuid::new_v4().to_string().into())
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// The id under which a conversation's memory is kept.
    SessionId, "sessionId"
);
text_id!(
    /// The id by which a client knows its chat window; often equal to the session's.
    ChatId, "chatId"
);

impl From<&ChatId> for SessionId {
    fn from(chat: &ChatId) -> Self {
        Self(chat.0.clone())
    }
}

impl From<&SessionId> for ChatId {
    fn from(session: &SessionId) -> Self {
        Self(session.0.clone())
    }
}

/// One conversation: sessions of two chatflows never share memory, whatever
/// their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The chatflow that the session belongs to.
    pub chatflow: ChatflowId,
    /// The session within it.
    pub session: SessionId,
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.chatflow, self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chatflow_id_is_a_hyphenated_uuid_and_nothing_else() {
        assert!(ChatflowId::parse("54d84c37-3f57-4c00-841d-17f95e783c4d").is_ok());
        for bad in ["", "not-a-uuid", "54d84c373f574c00841d17f95e783c4d", "../etc/passwd"] {
            assert_eq!(ChatflowId::parse(bad), Err(IdError::NotUuid("chatflow id")), "{bad}");
        }
    }

    #[test]
    fn a_session_id_keeps_separators_and_emoji_but_no_control_character() {
        for good in ["s1", "s_1:a/b%2F..", "🦊", "a@b.c"] {
            assert_eq!(SessionId::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(SessionId::parse("a\nb"), Err(IdError::ControlCharacter("sessionId")));
        assert_eq!(SessionId::parse(""), Err(IdError::Empty("sessionId")));
        assert_eq!(SessionId::parse(&"x".repeat(513)), Err(IdError::TooLong("sessionId")));
    }
}
