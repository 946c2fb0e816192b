//! The walks through the indexes that find a page of messages.

use std::ops::{ControlFlow, RangeInclusive};

use parlor_schemas::{ChatMessage, ChatflowId, MessageFilter, Role, SessionKey, Timestamp};

use super::deletions::Deletions;
use super::error::StoreError;
use super::keys::{self, DatePlace, TurnPlace};
use super::messages::{MessageCursor, MessagePage, MessageQuery, Order};
use super::{rows, run_walk, runs};

/// One query on its way through the tree.
pub(super) struct Walk<'a> {
    pub tree: &'a sled::Tree,
    pub deletions: &'a Deletions,
    pub chatflow: ChatflowId,
    pub query: &'a MessageQuery,
    /// Most messages to look at: the writer must not search a whole history at once.
    pub most_looks: usize,
}

/// The messages of a page with their places.
pub(super) struct Found {
    pub messages: Vec<(DatePlace, ChatMessage)>,
    /// The last place that was looked at, meant or not.
    pub reached: Option<DatePlace>,
    /// Nothing that is meant comes after it.
    pub is_last: bool,
}

/// A page that fills.
struct Filling<'a> {
    found: Found,
    query: &'a MessageQuery,
    looks_left: usize,
}

impl Filling<'_> {
    /// Takes a message if it is meant; breaks when the page was full, or enough
    /// was looked at, before it.
    fn offer(&mut self, at: DatePlace, message: ChatMessage) -> ControlFlow<()> {
        let is_meant = self.query.filter.matches(&message);
        let is_full = is_meant && self.found.messages.len() == self.query.limit;
        if is_full || self.looks_left == 0 {
            self.found.is_last = false;
            return ControlFlow::Break(());
        }
        self.looks_left -= 1;
        self.found.reached = Some(at);
        if !is_meant {
            return ControlFlow::Continue(());
        }
        self.found.messages.push((at, message));
        ControlFlow::Continue(())
    }
}

impl Walk<'_> {
    /// The page.
    pub fn page(&self) -> Result<MessagePage, StoreError> {
        let Found { messages, is_last, .. } = self.found()?;
        let last = messages.last().filter(|_| !is_last);
        let next = last.map(|(at, _)| MessageCursor(*at));
        let messages = messages.into_iter().map(|(_, message)| message).collect();
        Ok(MessagePage { messages, next })
    }

    /// What is meant, by the index that fits the filter best.
    pub fn found(&self) -> Result<Found, StoreError> {
        let found = Found { messages: Vec::new(), reached: None, is_last: true };
        let mut filling = Filling { found, query: self.query, looks_left: self.most_looks };
        let MessageFilter { message, session, chat, .. } = &self.query.filter;
        if let Some(id) = message {
            if let Some((at, message)) = rows::message_by_id(self.tree, self.deletions, *id)?
                && message.chatflowid == self.chatflow
                && self.query.after.is_none()
            {
                let _ = filling.offer(at, message);
            }
        } else if let Some(session) = session {
            let key = SessionKey { chatflow: self.chatflow, session: session.clone() };
            if let Some(ordinal) = rows::ordinal_of(self.tree, self.deletions, &key)? {
                self.session(&key, ordinal, &mut filling)?;
            }
        } else if let Some(chat) = chat {
            let found = rows::ordinals_of_chat(self.tree, self.deletions, &self.chatflow, chat)?;
            self.sessions(&found, &mut filling)?;
        } else {
            self.dates(&mut filling)?;
        }
        Ok(filling.found)
    }

    /// The conversations of a chat: usually one; several are merged by date.
    fn sessions(&self, ordinals: &[u64], filling: &mut Filling<'_>) -> Result<(), StoreError> {
        let mut owned = Vec::new();
        for &ordinal in ordinals {
            owned.extend(rows::owner_of(self.tree, ordinal)?.map(|key| (ordinal, key)));
        }
        if let [(ordinal, key)] = owned.as_slice() {
            return self.session(key, *ordinal, filling);
        }
        let mut all = Vec::new();
        for (ordinal, key) in &owned {
            for turn in self.tree.scan_prefix(keys::turns_of(*ordinal)) {
                all.extend(self.messages_of(key, turn)?);
            }
        }
        all.sort_unstable_by_key(|(at, _)| *at);
        if self.query.order == Order::Descending {
            all.reverse();
        }
        let is_new = |at: DatePlace| match (self.query.after, self.query.order) {
            (None, _) => true,
            (Some(MessageCursor(after)), Order::Ascending) => at > after,
            (Some(MessageCursor(after)), Order::Descending) => at < after,
        };
        for (at, message) in all.into_iter().filter(|(at, _)| is_new(*at)) {
            if filling.offer(at, message).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One conversation in its own order.
    fn session(
        &self,
        key: &SessionKey,
        ordinal: u64,
        filling: &mut Filling<'_>,
    ) -> Result<(), StoreError> {
        let is_up = self.query.order == Order::Ascending;
        let after = self.query.after.map(|MessageCursor(at)| (at.turn.seq, at.role));
        let bound = |seq| keys::turn(TurnPlace { ordinal, seq });
        let from = bound(after.filter(|_| is_up).map_or(0, |(seq, _)| seq));
        let to = bound(after.filter(|_| !is_up).map_or(u64::MAX, |(seq, _)| seq));
        let mut turns = self.tree.range(from..=to);
        while let Some(turn) = if is_up { turns.next() } else { turns.next_back() } {
            let mut messages = self.messages_of(key, turn)?;
            if !is_up {
                messages.reverse();
            }
            for (at, message) in messages {
                let own = (at.turn.seq, at.role);
                let is_new =
                    after.is_none_or(|after| if is_up { own > after } else { own < after });
                if is_new && filling.offer(at, message).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The messages of a turn's row, question first.
    fn messages_of(
        &self,
        key: &SessionKey,
        row: sled::Result<(sled::IVec, sled::IVec)>,
    ) -> Result<Vec<(DatePlace, ChatMessage)>, StoreError> {
        let (at, head) = row.map_err(StoreError::read)?;
        let Some(place) = keys::place_of_turn(&at) else { return Ok(Vec::new()) };
        let turn = rows::read_rest(self.tree, place, &head)?.into_turn(place.seq);
        let messages = turn.messages(key).into_iter().map(|message| {
            let role = u8::from(message.role == Role::ApiMessage);
            (DatePlace { time: message.created_date, turn: place, role }, message)
        });
        Ok(messages.collect())
    }

    /// Everything by date.
    fn dates(&self, filling: &mut Filling<'_>) -> Result<(), StoreError> {
        let Some(range) = range(&self.chatflow, self.query) else { return Ok(()) };
        for entry in run_walk::range(self.tree, &runs::BY_DATE, range, self.query.order)? {
            let (key, _) = entry?;
            let Some(at) = keys::place_of_date(&key) else { continue };
            let found = rows::message_of_turn(self.tree, self.deletions, at.turn, at.role)?;
            // An entry that leads to another chatflow or date is left over
            // from a deleted turn that could not be read any more.
            let fits = |message: &ChatMessage| {
                message.chatflowid == self.chatflow && message.created_date == at.time
            };
            if let Some(message) = found.filter(fits)
                && filling.offer(at, message).is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The keys of a page's dates, or `None` where the dates leave nothing.
fn range(chatflow: &ChatflowId, query: &MessageQuery) -> Option<RangeInclusive<Vec<u8>>> {
    let first = |time| DatePlace { time, turn: TurnPlace { ordinal: 0, seq: 0 }, role: 0 };
    let last =
        |time| DatePlace { time, turn: TurnPlace { ordinal: u64::MAX, seq: u64::MAX }, role: 1 };
    let from = query.filter.from.unwrap_or(Timestamp::from_millis(i64::MIN));
    let to = query.filter.to.unwrap_or(Timestamp::from_millis(i64::MAX));
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
