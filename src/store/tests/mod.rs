//! Stories about the whole store, and what they share.

mod answers;
mod backup_rows;
mod care;
mod commit;
mod deletions;
mod history;
mod ids;
mod indexed;
mod intake;
mod opening;
mod purge;
mod runs;
mod upserts;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use parlor_actors::ports::{Append, HistoryStore};
use parlor_schemas::{
    ChatId, ChatMessage, ChatType, ChatflowId, Fault, MessageFilter, NewTurn, SessionId,
    SessionKey, Timestamp, Turn, Usage, message_ids,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{History, MessageQuery, Order, Store, StoreOptions};

/// A new store; its data folder lies in the temporary one as `data`.
pub(super) fn open() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open_in(&folder);
    (folder, store)
}

pub(super) fn open_in(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("data"), StoreOptions::default()).unwrap()
}

pub(super) fn key(chatflow: ChatflowId, session: &str) -> SessionKey {
    SessionKey { chatflow, session: SessionId::parse(session).unwrap() }
}

/// A turn that tells its session and its number.
/// Every other turn has ids as if it came from elsewhere.
pub(super) fn turn(key: &SessionKey, seq: u64) -> NewTurn {
    let at = 1_700_000_000_000 + i64::try_from(seq).unwrap() * 1_000;
    let own = message_ids(Timestamp::from_millis(at));
    let (question_id, answer_id) =
        if seq.is_multiple_of(2) { own } else { (Uuid::new_v4(), Uuid::new_v4()) };
    NewTurn {
        question_id,
        answer_id,
        question: format!("{} asks {seq}", key.session),
        answer: format!("{} hears {seq}", key.session),
        asked_at: Timestamp::from_millis(at),
        answered_at: Timestamp::from_millis(at + 500),
        chat_id: ChatId::from(&key.session),
        chat_type: ChatType::External,
        memory_type: "Buffer Memory".to_owned(),
        lead_email: None,
        file_uploads: None,
        answer_columns: serde_json::Map::new(),
        usage: Usage::default(),
        memory_state: None,
        follow_up_prompts: None,
    }
}

pub(super) fn appending(key: &SessionKey, seq: u64, epoch: u64, body: NewTurn) -> Append {
    let turn = Arc::new(Turn::whole(seq, body));
    Append { key: key.clone(), seq, epoch, turn, remembered: None }
}

/// Appends a turn as the session's actor would.
pub(super) async fn append(history: &History, key: &SessionKey, seq: u64) -> Result<(), Fault> {
    let epoch = history.deletions.epoch(&key.chatflow);
    history.append(appending(key, seq, epoch, turn(key, seq))).await
}

pub(super) async fn append_all(history: &History, key: &SessionKey, n_turns: u64) {
    for seq in 0..n_turns {
        append(history, key, seq).await.unwrap();
    }
}

/// Looks again and again until it is so. The limit is no guess at a duration:
/// what never comes to pass shall fail and not hang.
pub(super) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let seen = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.expect("it never came to pass");
}

/// The query for all messages of a session.
pub(super) fn session_query(key: &SessionKey, order: Order) -> MessageQuery {
    let filter = MessageFilter { session: Some(key.session.clone()), ..Default::default() };
    MessageQuery { filter, order, limit: usize::MAX, ..Default::default() }
}

pub(super) async fn messages_of(
    history: &History,
    key: &SessionKey,
    order: Order,
) -> Vec<ChatMessage> {
    history.messages(key.chatflow, session_query(key, order)).await.unwrap().messages
}

/// The questions of a session in order.
pub(super) async fn questions(history: &History, key: &SessionKey) -> Vec<String> {
    let turns = history.turns(key.clone(), None).await.unwrap();
    turns.iter().map(|turn| turn.body.question.clone()).collect()
}

/// Rows of the history tree, but for the counter of ordinals.
pub(super) fn n_rows(history: &History) -> usize {
    history.tree().unwrap().iter().keys().filter(|key| key.as_deref() != Ok(b"n")).count()
}
