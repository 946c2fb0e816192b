//! What people say about answers, and the contact data that they leave:
//! Flowise's `chat_message_feedback` and `lead` rows.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{ChatId, ChatflowId};
use crate::time::Timestamp;

/// A thumb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rating {
    /// Up.
    ThumbsUp,
    /// Down.
    ThumbsDown,
}

impl Rating {
    /// Reads the word of the wire.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "THUMBS_UP" => Some(Self::ThumbsUp),
            "THUMBS_DOWN" => Some(Self::ThumbsDown),
            _ => None,
        }
    }
}

/// Feedback as `GET /api/v1/feedback/{chatflow}` shows it: at most one for each message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Feedback {
    /// The id.
    pub id: Uuid,
    /// The chatflow, lower-case key as on the wire.
    pub chatflowid: ChatflowId,
    /// The chat of the message.
    #[serde(rename = "chatId")]
    pub chat_id: ChatId,
    /// The message.
    #[serde(rename = "messageId")]
    pub message_id: Uuid,
    /// The thumb.
    pub rating: Option<Rating>,
    /// In words.
    pub content: Option<String>,
    /// When it was given first.
    #[serde(rename = "createdDate")]
    pub created_date: Timestamp,
}

/// A lead as `GET /api/v1/leads/{chatflow}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lead {
    /// The id.
    pub id: Uuid,
    /// The person's name.
    pub name: Option<String>,
    /// The person's address.
    pub email: Option<String>,
    /// The person's number, as typed.
    pub phone: Option<String>,
    /// The chatflow, lower-case key as on the wire.
    pub chatflowid: ChatflowId,
    /// The chat in which it was left.
    #[serde(rename = "chatId")]
    pub chat_id: ChatId,
    /// When it was left.
    #[serde(rename = "createdDate")]
    pub created_date: Timestamp,
}
