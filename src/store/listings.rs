//! The keys of a tree of [`super::indexed`] rows: how they are listed by
//! chatflow, chat and session in order of date.
//!
//! | key | value | answers |
//! |---|---|---|
//! | `r` id(16) [part(2)] | the row | one row |
//! | `d` chatflow(16) time(8) id(16) | nothing | the rows of a chatflow |
//! | `a` time(8) id(16) | nothing | all rows, where a table wants that |
//! | `c`, `s` chatflow(16) len(2) text time(8) id(16) | nothing | those of a chat, of a session |
//! | `m` message(16) | id(16) | the row of a message |

use std::ops::Bound;

use parlor_schemas::{ChatId, ChatflowId, SessionId, SessionKey, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::keys;
use super::messages::Order;

/// What a row of such a tree says of itself.
pub(super) trait Indexed: Serialize + DeserializeOwned + Send + Sync + 'static {
    fn id(&self) -> Uuid;
    fn chatflow(&self) -> ChatflowId;
    fn created(&self) -> Timestamp;
    fn chat(&self) -> Option<&ChatId>;
    fn session(&self) -> Option<&SessionId>;
    /// The message whose only row this is.
    fn message(&self) -> Option<Uuid>;
    /// Whether it is listed among those of all chatflows.
    fn is_in_all(&self) -> bool {
        false
    }
}

/// All rows begin with this.
pub(super) const ALL: u8 = b'a';

/// From which key to which.
type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Which rows.
#[derive(Debug, Clone)]
pub(super) enum Listing {
    All,
    Chatflow(ChatflowId),
    Chat(ChatflowId, ChatId),
    Session(ChatflowId, SessionId),
}

/// A place between two rows, from which the next page goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCursor(pub(super) [u8; 24]);

/// Which rows of a listing to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowPageQuery {
    /// Oldest date, inclusive.
    pub from: Option<Timestamp>,
    /// Newest date, inclusive.
    pub to: Option<Timestamp>,
    /// Which end comes first.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<RowCursor>,
    /// Most rows of one page.
    pub limit: usize,
}

/// Some rows in order.
#[derive(Debug)]
pub struct RowPage<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<RowCursor>,
}

impl Listing {
    /// All keys of the listing begin with this, and no key of another does.
    pub(super) fn prefix(&self) -> Vec<u8> {
        match self {
            Self::All => vec![ALL],
            Self::Chatflow(chatflow) => keys::dates_of(chatflow),
            Self::Chat(chatflow, chat) => keys::chats_of(chatflow, chat),
            Self::Session(chatflow, session) => {
                let (chatflow, session) = (*chatflow, session.clone());
                keys::session(&SessionKey { chatflow, session })
            }
        }
    }
}

/// The keys that lead to a row, with their values.
pub(super) fn index<T: Indexed>(row: &T) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let (id, chatflow) = (row.id(), row.chatflow());
    let place = place(row.created(), id);
    let listings = [
        Some(Listing::Chatflow(chatflow)),
        row.is_in_all().then_some(Listing::All),
        row.chat().map(|chat| Listing::Chat(chatflow, chat.clone())),
        row.session().map(|session| Listing::Session(chatflow, session.clone())),
    ];
    let listed = listings
        .into_iter()
        .flatten()
        .map(move |listing| ([listing.prefix().as_slice(), &place].concat(), Vec::new()));
    listed.chain(row.message().map(|message| (keys::message(&message), id.as_bytes().to_vec())))
}

pub(super) fn range(prefix: &[u8], query: &RowPageQuery) -> Option<KeyRange> {
    let key = |place: [u8; 24]| [prefix, place.as_slice()].concat();
    let from = query.from.unwrap_or(Timestamp::from_millis(i64::MIN));
    let to = query.to.unwrap_or(Timestamp::from_millis(i64::MAX));
    let mut low = Bound::Included(key(place(from, Uuid::nil())));
    let mut high = Bound::Included(key(place(to, Uuid::max())));
    if let Some(RowCursor(after)) = query.after {
        match query.order {
            Order::Ascending => low = Bound::Excluded(key(after)),
            Order::Descending => high = Bound::Excluded(key(after)),
        }
    }
    let (Bound::Included(first) | Bound::Excluded(first)) = &low else { return None };
    let (Bound::Included(last) | Bound::Excluded(last)) = &high else { return None };
    // sled panics over a range that ends before it begins.
    (first < last).then_some((low, high))
}

fn place(time: Timestamp, id: Uuid) -> [u8; 24] {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&keys::time_bytes(time));
    place[8..].copy_from_slice(id.as_bytes());
    place
}

pub(super) fn id_of_place(key: &[u8]) -> Option<Uuid> {
    key.last_chunk().map(|id| Uuid::from_bytes(*id))
}
