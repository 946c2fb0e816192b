//! Contact data that people leave in a chat.

use parlor_schemas::feedback::Lead;
use parlor_schemas::{ChatId, ChatflowId, SessionId, Timestamp};
use uuid::Uuid;

use super::error::StoreError;
use super::indexed::IndexedTable;
use super::listings::{Indexed, Listing, RowPage, RowPageQuery};

/// The stored leads. They stay when messages are deleted, since an operator
/// collects them, and go with their chatflow. All methods need a tokio
/// runtime; the errors are those of reading and writing a row.
#[derive(Debug)]
pub struct Leads {
    table: IndexedTable<Lead>,
}

impl Indexed for Lead {
    fn id(&self) -> Uuid {
        self.id
    }
    fn chatflow(&self) -> ChatflowId {
        self.chatflowid
    }
    fn created(&self) -> Timestamp {
        self.created_date
    }
    fn chat(&self) -> Option<&ChatId> {
        Some(&self.chat_id)
    }
    fn session(&self) -> Option<&SessionId> {
        None
    }
    fn message(&self) -> Option<Uuid> {
        None
    }
}

impl Leads {
    pub(super) fn new(table: IndexedTable<Lead>) -> Self {
        Self { table }
    }

    /// Stores a lead.
    pub async fn put(&self, lead: Lead) -> Result<Lead, StoreError> {
        let stored = self.table.change(move |_| Ok(Some(lead))).await?;
        stored.ok_or(StoreError::NotStored)
    }

    /// Stores a lead as it is; `None` where its id is taken, and nothing
    /// changes then.
    pub async fn adopt(&self, lead: Lead) -> Result<Option<Lead>, StoreError> {
        let decide = move |table: &IndexedTable<Lead>| {
            let is_free = table.get(lead.id)?.is_none();
            Ok(is_free.then_some(lead))
        };
        self.table.change(decide).await
    }

    /// One page of a chatflow's leads, or of one chat's.
    pub async fn page(
        &self,
        chatflow: ChatflowId,
        chat: Option<ChatId>,
        query: RowPageQuery,
    ) -> Result<RowPage<Lead>, StoreError> {
        let listing = match chat {
            Some(chat) => Listing::Chat(chatflow, chat),
            None => Listing::Chatflow(chatflow),
        };
        self.table.page(listing, query).await
    }

    /// Deletes all leads of a chatflow; the number of rows.
    pub async fn delete_chatflow(&self, chatflow: ChatflowId) -> Result<u64, StoreError> {
        self.table.delete(Listing::Chatflow(chatflow)).await
    }
}
