//! What people say about answers: at most one row for each message.

use parlor_schemas::feedback::{Feedback, Rating};
use parlor_schemas::{ChatId, ChatflowId, SessionId, SessionKey, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::blocking::blocking;
use super::error::StoreError;
use super::history::History;
use super::indexed::IndexedTable;
use super::listings::{Indexed, Listing, RowPage, RowPageQuery};

/// Rows that are looked at together for their messages.
const ORPHANS_A_PAGE: usize = 256;

/// The stored feedback. Single rows are read in place; all else needs a tokio
/// runtime. The errors are those of reading and writing a row.
#[derive(Debug)]
pub struct Feedbacks {
    table: IndexedTable<Stored>,
}

/// A row, and the session of its message: who deletes that deletes this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(flatten)]
    feedback: Feedback,
    session_id: SessionId,
}

/// The message that feedback is about.
#[derive(Debug, Clone)]
pub struct RatedMessage {
    /// Its id.
    pub id: Uuid,
    /// Its conversation.
    pub key: SessionKey,
    /// Its chat.
    pub chat_id: ChatId,
}

impl Indexed for Stored {
    fn id(&self) -> Uuid {
        self.feedback.id
    }
    fn chatflow(&self) -> ChatflowId {
        self.feedback.chatflowid
    }
    fn created(&self) -> Timestamp {
        self.feedback.created_date
    }
    fn chat(&self) -> Option<&ChatId> {
        Some(&self.feedback.chat_id)
    }
    fn session(&self) -> Option<&SessionId> {
        Some(&self.session_id)
    }
    fn message(&self) -> Option<Uuid> {
        Some(self.feedback.message_id)
    }
}

impl Feedbacks {
    pub(super) fn new(table: IndexedTable<Stored>) -> Self {
        Self { table }
    }

    /// One row.
    pub fn get(&self, id: Uuid) -> Result<Option<Feedback>, StoreError> {
        Ok(self.table.get(id)?.map(|stored| stored.feedback))
    }

    /// The row of a message.
    pub fn of_message(&self, message: Uuid) -> Result<Option<Feedback>, StoreError> {
        Ok(self.table.of_message(message)?.map(|stored| stored.feedback))
    }

    /// The rows of many messages, each in its place.
    pub async fn of_messages(&self, ids: Vec<Uuid>) -> Result<Vec<Option<Feedback>>, StoreError> {
        let table = self.table.clone();
        let read = move || {
            let row = |id| Ok(table.of_message(id)?.map(|stored| stored.feedback));
            ids.into_iter().map(row).collect()
        };
        blocking(read).await
    }

    /// One page of a chatflow's rows, or of one chat's.
    pub async fn page(
        &self,
        chatflow: ChatflowId,
        chat: Option<ChatId>,
        query: RowPageQuery,
    ) -> Result<RowPage<Feedback>, StoreError> {
        let listing = match chat {
            Some(chat) => Listing::Chat(chatflow, chat),
            None => Listing::Chatflow(chatflow),
        };
        let page = self.table.page(listing, query).await?;
        let rows = page.rows.into_iter().map(|stored| stored.feedback).collect();
        Ok(RowPage { rows, next: page.next })
    }

    /// Stores feedback on a message; if it has some, rating and content are
    /// replaced and the row stays the same.
    pub async fn rate(
        &self,
        message: RatedMessage,
        rating: Option<Rating>,
        content: Option<String>,
    ) -> Result<Feedback, StoreError> {
        let decide = move |table: &IndexedTable<Stored>| {
            let earlier = table.of_message(message.id)?.map(|stored| stored.feedback);
            let new = || Feedback {
                id: Uuid::new_v4(),
                chatflowid: message.key.chatflow,
                chat_id: message.chat_id.clone(),
                message_id: message.id,
                rating: None,
                content: None,
                created_date: Timestamp::now(),
            };
            let feedback = Feedback { rating, content, ..earlier.unwrap_or_else(new) };
            Ok(Some(Stored { feedback, session_id: message.key.session.clone() }))
        };
        let stored = self.table.change(decide).await?;
        stored.map(|stored| stored.feedback).ok_or(StoreError::NotStored)
    }

    /// Stores feedback as it is, on a message of this session; `None` where its
    /// id is taken, and nothing changes then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the message has other feedback.
    pub async fn adopt(
        &self,
        session_id: SessionId,
        feedback: Feedback,
    ) -> Result<Option<Feedback>, StoreError> {
        let decide = move |table: &IndexedTable<Stored>| {
            if table.get(feedback.id)?.is_some() {
                return Ok(None);
            }
            if table.of_message(feedback.message_id)?.is_some() {
                return Err(StoreError::Conflict("their message has other feedback here"));
            }
            Ok(Some(Stored { feedback, session_id }))
        };
        Ok(self.table.change(decide).await?.map(|stored| stored.feedback))
    }

    /// Changes what is given of a row; `None` where there is none.
    pub async fn update(
        &self,
        id: Uuid,
        rating: Option<Rating>,
        content: Option<String>,
    ) -> Result<Option<Feedback>, StoreError> {
        let decide = move |table: &IndexedTable<Stored>| {
            let Some(mut stored) = table.get(id)? else { return Ok(None) };
            stored.feedback.rating = rating.or(stored.feedback.rating);
            stored.feedback.content = content.or(stored.feedback.content);
            Ok(Some(stored))
        };
        Ok(self.table.change(decide).await?.map(|stored| stored.feedback))
    }

    /// Deletes the feedback on a session's messages; the number of rows.
    pub async fn delete_session(&self, key: SessionKey) -> Result<u64, StoreError> {
        self.table.delete(Listing::Session(key.chatflow, key.session)).await
    }

    /// Deletes the feedback on a chat's messages; the number of rows.
    pub async fn delete_chat(&self, chatflow: ChatflowId, chat: ChatId) -> Result<u64, StoreError> {
        self.table.delete(Listing::Chat(chatflow, chat)).await
    }

    /// Deletes feedback whose message is gone, of one chat or of the whole chatflow.
    pub async fn delete_orphans(
        &self,
        chatflow: ChatflowId,
        chat: Option<ChatId>,
        history: &History,
    ) -> Result<(), StoreError> {
        let mut query = RowPageQuery { limit: ORPHANS_A_PAGE, ..RowPageQuery::default() };
        loop {
            let page = self.page(chatflow, chat.clone(), query).await?;
            for row in &page.rows {
                if history.message(row.message_id).await?.is_none() {
                    self.table.delete_row(row.id).await?;
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Deletes all feedback of a chatflow; the number of rows.
    pub async fn delete_chatflow(&self, chatflow: ChatflowId) -> Result<u64, StoreError> {
        self.table.delete(Listing::Chatflow(chatflow)).await
    }
}
