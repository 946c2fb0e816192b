//! Which stored messages a caller of the Message API means.

use uuid::Uuid;

use crate::chat_message::{ChatMessage, ChatType};
use crate::ids::{ChatId, SessionId};
use crate::time::Timestamp;

/// All conditions that are set must hold; without any, every message is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// This message.
    pub message: Option<Uuid>,
    /// This session's.
    pub session: Option<SessionId>,
    /// This chat's.
    pub chat: Option<ChatId>,
    /// Written under a memory node of this label.
    pub memory_type: Option<String>,
    /// Through one of these doors; empty is any.
    pub chat_types: Vec<ChatType>,
    /// Oldest date, inclusive.
    pub from: Option<Timestamp>,
    /// Newest date, inclusive.
    pub to: Option<Timestamp>,
}

impl MessageFilter {
    /// Whether no condition is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the message is meant.
    pub fn matches(&self, message: &ChatMessage) -> bool {
        let session = self.session.as_ref().map(SessionId::as_str);
        let is = |wanted: Option<&str>, own: Option<&str>| wanted.is_none() || wanted == own;
        self.message.is_none_or(|id| id == message.id)
            && is(session, message.session_id.as_deref())
            && is(self.chat.as_ref().map(ChatId::as_str), Some(&message.chat_id))
            && is(self.memory_type.as_deref(), message.memory_type.as_deref())
            && (self.chat_types.is_empty() || self.chat_types.contains(&message.chat_type))
            && self.from.is_none_or(|from| message.created_date >= from)
            && self.to.is_none_or(|to| message.created_date <= to)
    }
}
