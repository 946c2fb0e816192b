//! The Message API's view of the history: one row per message, a page at a
//! time. What a caller names decides which index is walked, so that a page
//! costs the page: a message by its id, a session in the order of its
//! conversation, everything else by date.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_schemas::{ChatId, ChatMessage, ChatflowId, MessageFilter, SessionKey};
use uuid::Uuid;

use super::error::StoreError;
use super::history::History;
use super::keys::{self, DatePlace};
use super::rows;
use super::walk::Walk;

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// A place between two messages, from which the next page goes on. It stays
/// good when messages before or after it are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageCursor(pub(super) DatePlace);

impl MessageCursor {
    /// As text for a client: 34 characters that need no escaping in a URL.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(keys::date_bytes(self.0))
    }

    /// What [`Self::to_text`] wrote, or `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        keys::place_of_date_bytes(&bytes).map(Self)
    }
}

/// Which messages of a chatflow to read.
#[derive(Debug, Clone, Default)]
pub struct MessageQuery {
    /// The messages that are meant.
    pub filter: MessageFilter,
    /// Which end comes first.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<MessageCursor>,
    /// Most messages of one page.
    pub limit: usize,
    /// Whether [`super::Store::messages`] puts its feedback beside each message.
    pub with_feedback: bool,
}

/// Some messages in order.
#[derive(Debug, Clone, Default)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<ChatMessage>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<MessageCursor>,
}

impl History {
    /// One page of a chatflow's messages. A session's come in the order of the
    /// conversation, which the clock cannot change, all others by date.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn messages(
        &self,
        chatflow: ChatflowId,
        query: MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let (deletions, most_looks) = (&history.deletions, usize::MAX);
            Walk { tree: &tree, deletions, chatflow, query: &query, most_looks }.page()
        })
        .await
    }

    /// The message of an id, in whatever chatflow it is.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn message(&self, id: Uuid) -> Result<Option<ChatMessage>, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let found = rows::message_by_id(&tree, &history.deletions, id)?;
            Ok(found.map(|(_, message)| message))
        })
        .await
    }

    /// The messages of the turn that this one belongs to, question first.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn exchange_of(&self, id: Uuid) -> Result<Vec<ChatMessage>, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let Some((at, _)) = rows::message_by_id(&tree, &history.deletions, id)? else {
                return Ok(Vec::new());
            };
            let of_role = |role| rows::message_of_turn(&tree, &history.deletions, at.turn, role);
            Ok(of_role(0)?.into_iter().chain(of_role(1)?).collect())
        })
        .await
    }

    /// The sessions that turns of a chat id belong to: usually one, of its own name.
    ///
    /// # Errors
    /// The errors of reading.
    pub async fn sessions_of_chat(
        &self,
        chatflow: ChatflowId,
        chat: ChatId,
    ) -> Result<Vec<SessionKey>, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let ordinals = rows::ordinals_of_chat(&tree, &history.deletions, &chatflow, &chat)?;
            let mut sessions = Vec::new();
            for ordinal in ordinals {
                sessions.extend(rows::owner_of(&tree, ordinal)?);
            }
            Ok(sessions)
        })
        .await
    }
}
