//! The Message API's view of the history: one row per message, by session in
//! the order of the conversation or by chatflow in the order of dates, a page
//! at a time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_schemas::{ChatId, ChatMessage, ChatflowId, SessionKey, Timestamp, Turn};
use uuid::Uuid;

use super::error::StoreError;
use super::history::History;
use super::keys::{self, DatePlace, TurnPlace};
use super::rows;

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// A place between two messages of a chatflow, from which the next page goes
/// on. It stays good when messages before or after it are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageCursor(DatePlace);

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
#[derive(Debug, Clone, Copy, Default)]
pub struct MessagePageQuery {
    /// Oldest date, inclusive.
    pub from: Option<Timestamp>,
    /// Newest date, inclusive.
    pub to: Option<Timestamp>,
    /// Which end comes first.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<MessageCursor>,
    /// Most messages of one page.
    pub limit: usize,
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
    /// All messages of a session in the order of the conversation, which the
    /// clock cannot change: a question before its answer, turn by turn.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn session_messages(
        &self,
        key: SessionKey,
        order: Order,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let Some(ordinal) = rows::ordinal_of(&tree, &history.deletions, &key)? else {
                return Ok(Vec::new());
            };
            let mut messages = Vec::new();
            for row in tree.scan_prefix(keys::turns_of(ordinal)) {
                let (at, head) = row.map_err(StoreError::read)?;
                let Some(place) = keys::place_of_turn(&at) else { continue };
                let record = rows::read_rest(&tree, place, &head)?;
                let turn = Turn { seq: place.seq, body: record.body };
                let rows = (0..).zip(turn.messages(&key));
                messages.extend(rows.filter(|(role, _)| record.halves.has(*role)).map(|(_, m)| m));
            }
            if order == Order::Descending {
                messages.reverse();
            }
            Ok(messages)
        })
        .await
    }

    /// One page of a chatflow's messages by date. Nothing beyond the page is read.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn messages_of_chatflow(
        &self,
        chatflow: ChatflowId,
        query: MessagePageQuery,
    ) -> Result<MessagePage, StoreError> {
        self.blocking(move |history| history.page(&chatflow, &query)).await
    }

    /// The message of an id, in whatever chatflow it is.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn message(&self, id: Uuid) -> Result<Option<ChatMessage>, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let value = tree.get(keys::message(&id)).map_err(StoreError::read)?;
            let Some((place, role)) = value.as_deref().and_then(keys::place_of_message_value)
            else {
                return Ok(None);
            };
            let message = history.message_of_turn(&tree, place, role)?;
            Ok(message.filter(|message| message.id == id))
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
            let mut sessions = Vec::new();
            for key in tree.scan_prefix(keys::chats_of(&chatflow, &chat)).keys() {
                let key = key.map_err(StoreError::read)?;
                let Some(ordinal) = keys::ordinal_of_chat(&key) else { continue };
                if !history.deletions.is_buried(&chatflow, ordinal) {
                    sessions.extend(rows::owner_of(&tree, ordinal)?);
                }
            }
            Ok(sessions)
        })
        .await
    }

    fn page(
        &self,
        chatflow: &ChatflowId,
        query: &MessagePageQuery,
    ) -> Result<MessagePage, StoreError> {
        let tree = self.tree()?;
        let Some(range) = range(chatflow, query) else { return Ok(MessagePage::default()) };
        let mut keys = tree.range(range).keys();
        let mut page = MessagePage::default();
        let mut last = None;
        loop {
            let key = match query.order {
                Order::Ascending => keys.next(),
                Order::Descending => keys.next_back(),
            };
            let Some(key) = key.transpose().map_err(StoreError::read)? else { return Ok(page) };
            let Some(at) = keys::place_of_date(&key) else { continue };
            if page.messages.len() == query.limit {
                page.next = last.map(MessageCursor);
                return Ok(page);
            }
            let message = self.message_of_turn(&tree, at.turn, at.role)?;
            // An entry that leads to another chatflow or date is left over
            // from a deleted turn that could not be read any more.
            let fits = |message: &ChatMessage| {
                message.chatflowid == *chatflow && message.created_date == at.time
            };
            if let Some(message) = message.filter(fits) {
                page.messages.push(message);
                last = Some(at);
            }
        }
    }

    /// One message of a turn; `None` where it is deleted.
    fn message_of_turn(
        &self,
        tree: &sled::Tree,
        place: TurnPlace,
        role: u8,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let Some(key) = rows::owner_of(tree, place.ordinal)? else { return Ok(None) };
        if self.deletions.is_buried(&key.chatflow, place.ordinal) {
            return Ok(None);
        }
        let record = rows::read(tree, place)?.filter(|record| record.halves.has(role));
        let Some(record) = record else { return Ok(None) };
        let turn = Turn { seq: place.seq, body: record.body };
        Ok(turn.messages(&key).into_iter().nth(usize::from(role)))
    }
}

/// The keys of a page's dates, or `None` where the dates leave nothing.
fn range(
    chatflow: &ChatflowId,
    query: &MessagePageQuery,
) -> Option<std::ops::RangeInclusive<Vec<u8>>> {
    let first = |time| DatePlace { time, turn: TurnPlace { ordinal: 0, seq: 0 }, role: 0 };
    let last =
        |time| DatePlace { time, turn: TurnPlace { ordinal: u64::MAX, seq: u64::MAX }, role: 1 };
    let from = query.from.unwrap_or(Timestamp::from_millis(i64::MIN));
    let to = query.to.unwrap_or(Timestamp::from_millis(i64::MAX));
    let mut low = keys::date(chatflow, first(from));
    let mut high = keys::date(chatflow, last(to));
    if let Some(MessageCursor(at)) = query.after {
        let at = keys::date(chatflow, at);
        match query.order {
            // A zero byte more is the next possible key after this one, and a
            // key without its role sorts before both of its turn's.
            Order::Ascending => low = low.max([at, vec![0]].concat()),
            Order::Descending => high = high.min(before(at)),
        }
    }
    (low <= high).then_some(low..=high)
}

/// The greatest possible date key before this one: the question of the same
/// turn and date for an answer, else the key cut by its role.
fn before(mut key: Vec<u8>) -> Vec<u8> {
    if key.pop() == Some(1) {
        key.push(0);
    }
    key
}
