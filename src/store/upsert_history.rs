//! What upserts did: the rows of `/api/v1/upsert-history`.

use parlor_schemas::{ChatId, ChatflowId, SessionId, Timestamp, UpsertRecord};
use uuid::Uuid;

use super::error::StoreError;
use super::indexed::IndexedTable;
use super::listings::{Indexed, Listing, RowPage, RowPageQuery};

/// Rows that are kept of one chatflow: the newest.
const MAX_ROWS: usize = 500;

/// The stored history. It goes with its chatflow. All methods need a tokio
/// runtime; the errors are those of reading and writing a row.
#[derive(Debug)]
pub struct UpsertHistory {
    table: IndexedTable<UpsertRecord>,
}

impl Indexed for UpsertRecord {
    fn id(&self) -> Uuid {
        self.id
    }
    fn chatflow(&self) -> ChatflowId {
        self.chatflowid
    }
    fn created(&self) -> Timestamp {
        self.date
    }
    fn chat(&self) -> Option<&ChatId> {
        None
    }
    fn session(&self) -> Option<&SessionId> {
        None
    }
    fn message(&self) -> Option<Uuid> {
        None
    }
    fn is_in_all(&self) -> bool {
        true
    }
}

impl UpsertHistory {
    pub(super) fn new(table: IndexedTable<UpsertRecord>) -> Self {
        Self { table }
    }

    /// Stores a row; the oldest of its chatflow go where they are too many.
    pub async fn put(&self, row: UpsertRecord) -> Result<(), StoreError> {
        let chatflow = row.chatflowid;
        self.table.change(move |_| Ok(Some(row))).await?;
        // The row is stored: what is old is tried again with the next one.
        if let Err(error) = self.table.prune(chatflow, MAX_ROWS, |_| true).await {
            tracing::warn!("old rows of the upsert history are not deleted: {error}");
        }
        Ok(())
    }

    /// One page of all rows, or of one chatflow's.
    pub async fn page(
        &self,
        chatflow: Option<ChatflowId>,
        query: RowPageQuery,
    ) -> Result<RowPage<UpsertRecord>, StoreError> {
        self.table.page(chatflow.map_or(Listing::All, Listing::Chatflow), query).await
    }

    /// Deletes rows; how many of them were there.
    pub async fn delete(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        let mut n_deleted = 0;
        for id in ids {
            if self.table.get(*id)?.is_some() {
                self.table.delete_row(*id).await?;
                n_deleted += 1;
            }
        }
        Ok(n_deleted)
    }

    /// Deletes all rows of a chatflow; their number.
    pub async fn delete_chatflow(&self, chatflow: ChatflowId) -> Result<u64, StoreError> {
        self.table.delete(Listing::Chatflow(chatflow)).await
    }
}
