//! Conversations: what the session actors load, append and forget, and what
//! memory nodes read beyond the tail that an actor holds.
//!
//! Reads block on the disk, so they run on the runtime's blocking threads;
//! only the look-up that finds a session unknown, the usual case of a new
//! chat, is done in place.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_actors::ports::{Append, HistoryStore, LoadedSession, SessionTail};
use parlor_schemas::{
    ChatId, ChatflowId, Exchanges, Fault, Halves, MessageFilter, SessionKey, Turn,
};

use super::HISTORY;
use super::blobs::{BlobFolder, Blobs};
use super::blocking::blocking;
use super::deletions::Deletions;
use super::disk::Disk;
use super::error::StoreError;
use super::keys;
use super::queue::{Job, Queue};
use super::rows;

/// The message history. Clones share one store. All methods need a tokio
/// runtime; the errors are those of reading ([`StoreError::Read`],
/// [`StoreError::DamagedRecord`], [`StoreError::Recovering`]) and, for
/// deletions, of writing ([`StoreError::NotStored`] and its kin).
#[derive(Debug, Clone)]
pub struct History {
    pub(super) disk: Arc<Disk>,
    pub(super) deletions: Arc<Deletions>,
    pub(super) queue: Arc<Queue>,
    pub(super) blobs: Blobs,
}

impl History {
    /// The last `n` turns of a session, or all of them, oldest first.
    pub async fn turns(&self, key: SessionKey, n: Option<usize>) -> Result<Vec<Turn>, StoreError> {
        self.blocking(move |history| history.last_turns(&key, n)).await
    }

    /// What is remembered of the last `n` turns of a session, or of all.
    pub async fn exchanges(
        &self,
        key: SessionKey,
        n: Option<usize>,
    ) -> Result<Exchanges, StoreError> {
        self.blocking(move |history| Ok(history.last_turns(&key, n)?.iter().collect())).await
    }

    fn last_turns(&self, key: &SessionKey, n: Option<usize>) -> Result<Vec<Turn>, StoreError> {
        let tree = self.tree()?;
        let Some(ordinal) = rows::ordinal_of(&tree, &self.deletions, key)? else {
            return Ok(Vec::new());
        };
        let mut turns = Vec::new();
        for turn in backwards(&tree, ordinal) {
            if turns.len() == n.unwrap_or(usize::MAX) {
                break;
            }
            turns.extend(Some(turn?).filter(is_left));
        }
        turns.reverse();
        Ok(turns)
    }

    /// Deletes a session with the files of its chats; the number of messages
    /// deleted, two for most turns. A turn that runs meanwhile must be stopped
    /// by the session's actor.
    pub async fn delete_session(&self, key: SessionKey) -> Result<u64, StoreError> {
        // Found before the turns that name them are gone, removed after: an
        // error in between has deleted nothing.
        let folders = self.folders_of(&key).await?;
        let n_deleted = self.queue.ask(Job::Forget(key)).await?;
        if !folders.is_empty() {
            let remove = move |history: Self| {
                folders.iter().try_for_each(|folder| history.blobs.remove_chat(folder))
            };
            self.blocking(remove).await?;
        }
        Ok(n_deleted)
    }

    /// Where the files of a session lie: under its own id, and under the chat
    /// ids of its turns.
    async fn folders_of(&self, key: &SessionKey) -> Result<Vec<BlobFolder>, StoreError> {
        let chatflow = key.chatflow;
        let has_files = move |history: Self| Ok(history.blobs.has_files(chatflow));
        if !self.blocking(has_files).await? {
            return Ok(Vec::new());
        }
        let turns = match self.turns(key.clone(), None).await {
            // A damaged conversation can be deleted too.
            Err(StoreError::DamagedRecord { .. }) => Vec::new(),
            turns => turns?,
        };
        let mut chats: HashSet<ChatId> =
            turns.iter().map(|turn| turn.body.chat_id.clone()).collect();
        chats.insert(ChatId::from(&key.session));
        Ok(chats.iter().map(|chat| BlobFolder::of(chatflow, chat)).collect())
    }

    /// Deletes all sessions of a chatflow with their files; the number of
    /// messages deleted. Turns that run meanwhile are refused by their epoch
    /// when they end.
    pub async fn delete_chatflow_history(&self, chatflow: ChatflowId) -> Result<u64, StoreError> {
        let n_deleted = self.queue.ask(Job::ForgetChatflow(chatflow)).await?;
        self.blocking(move |history| history.blobs.remove_chatflow(chatflow)).await?;
        Ok(n_deleted)
    }

    /// Deletes the messages that the filter means; their number. The files of
    /// a chat go with its last message, if the filter names the chat. Sessions
    /// in memory must read again afterwards.
    pub async fn delete_messages(
        &self,
        chatflow: ChatflowId,
        filter: MessageFilter,
    ) -> Result<u64, StoreError> {
        let chat = filter.chat.clone();
        let n_deleted = self.queue.ask(Job::ForgetMessages(chatflow, filter)).await?;
        if let Some(chat) = chat
            && self.sessions_of_chat(chatflow, chat.clone()).await?.is_empty()
        {
            let folder = BlobFolder::of(chatflow, &chat);
            self.blocking(move |history| history.blobs.remove_chat(&folder)).await?;
        }
        Ok(n_deleted)
    }

    pub(super) fn tree(&self) -> Result<sled::Tree, StoreError> {
        self.disk.tree(HISTORY)
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let history = self.clone();
        blocking(move || read(history)).await
    }

    async fn load_session(
        self,
        key: SessionKey,
        max_bytes: usize,
    ) -> Result<LoadedSession, StoreError> {
        // Before anything is read: a deletion between the two makes the
        // actor's next append a conflict instead of letting it revive a turn.
        let epoch = self.deletions.epoch(&key.chatflow);
        match rows::ordinal_of(&self.tree()?, &self.deletions, &key)? {
            None => Ok(LoadedSession {
                tail: SessionTail { turns: Exchanges::default(), complete: true },
                next_seq: 0,
                epoch,
            }),
            Some(ordinal) => {
                self.blocking(move |history| tail(&history.tree()?, ordinal, max_bytes, epoch))
                    .await
            }
        }
    }
}

impl HistoryStore for History {
    fn load(
        &self,
        key: SessionKey,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<LoadedSession, Fault>> {
        self.clone().load_session(key, max_bytes).map(|loaded| Ok(loaded?)).boxed()
    }

    fn append(&self, turn: Append) -> BoxFuture<'static, Result<(), Fault>> {
        let queue = self.queue.clone();
        async move {
            queue.ask(Job::Append(turn)).await?;
            Ok(())
        }
        .boxed()
    }

    fn forget(&self, key: SessionKey) -> BoxFuture<'static, Result<u64, Fault>> {
        let history = self.clone();
        async move { Ok(history.delete_session(key).await?) }.boxed()
    }
}

/// The last turns that fit, at least one.
fn tail(
    tree: &sled::Tree,
    ordinal: u64,
    max_bytes: usize,
    epoch: u64,
) -> Result<LoadedSession, StoreError> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut n_bytes = 0;
    let mut complete = true;
    let next_seq = rows::last_seq(tree, ordinal)?.map_or(0, |seq| seq + 1);
    for turn in backwards(tree, ordinal) {
        let turn = turn?;
        if !is_left(&turn) {
            continue;
        }
        n_bytes += Exchanges::weight_of(&turn);
        if n_bytes > max_bytes && !turns.is_empty() {
            complete = false;
            break;
        }
        turns.push(turn);
    }
    let turns = turns.iter().rev().collect();
    Ok(LoadedSession { tail: SessionTail { turns, complete }, next_seq, epoch })
}

/// Whether any message of the turn is left; without one only its place is.
fn is_left(turn: &Turn) -> bool {
    turn.halves != Halves::NONE
}

/// The turns of a conversation, newest first.
fn backwards(tree: &sled::Tree, ordinal: u64) -> impl Iterator<Item = Result<Turn, StoreError>> {
    tree.scan_prefix(keys::turns_of(ordinal)).rev().map(|row| {
        let (key, head) = row.map_err(StoreError::read)?;
        let place = keys::place_of_turn(&key).ok_or_else(|| StoreError::DamagedRecord {
            what: "the key of a turn".to_owned(),
            why: "it cannot be read",
        })?;
        let record = rows::read_rest(tree, place, &head)?;
        Ok(record.into_turn(place.seq))
    })
}
