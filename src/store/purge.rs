//! Deletes single messages: those that a filter means. A turn may lose one of
//! its halves or both; its place in the conversation stays as long as others
//! come before it, so that the next turn still follows the last one. Goes a
//! slice at a time between the groups of appends, like a sweep.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use parlor_schemas::{ChatId, ChatflowId, Halves, MessageFilter, NewTurn, SessionKey};

use super::answer_keys::AnswerPlace;
use super::answers;
use super::deletions::Deletions;
use super::error::StoreError;
use super::keys::{self, TurnPlace};
use super::messages::{MessageCursor, MessageQuery};
use super::record::Record;
use super::rows::{self, Changes};
use super::walk::Walk;

/// Messages in one slice: some ten changes each (see the sweep's figure).
const MESSAGES_A_SLICE: usize = 32;

/// Messages that one slice looks at, where most are not meant.
const LOOKS_A_SLICE: usize = 2048;

/// A deletion on its way.
#[derive(Debug)]
pub(super) struct Purge {
    chatflow: ChatflowId,
    query: MessageQuery,
    /// Messages deleted so far.
    pub n_messages: u64,
    /// Conversations that lost messages, with the chat ids that these had.
    touched: BTreeMap<u64, HashSet<ChatId>>,
    is_searching: bool,
}

/// What to do next.
#[derive(Debug, Default)]
pub(super) struct PurgeSlice {
    pub changes: Changes,
    /// Conversations of which nothing is left: they are forgotten whole.
    pub empty: Vec<SessionKey>,
    /// Conversations whose rows changed under the ledger.
    pub changed: Vec<SessionKey>,
    pub is_last: bool,
}

impl Purge {
    pub fn new(chatflow: ChatflowId, filter: MessageFilter) -> Self {
        let query = MessageQuery { filter, limit: MESSAGES_A_SLICE, ..MessageQuery::default() };
        Self { chatflow, query, n_messages: 0, touched: BTreeMap::new(), is_searching: true }
    }

    /// Plans the next slice; the changes of the one before must be applied.
    pub fn next_slice(
        &mut self,
        tree: &sled::Tree,
        deletions: &Deletions,
    ) -> Result<PurgeSlice, StoreError> {
        if self.is_searching { self.search(tree, deletions) } else { self.tidy(tree) }
    }

    /// Deletes the next messages that are found.
    fn search(
        &mut self,
        tree: &sled::Tree,
        deletions: &Deletions,
    ) -> Result<PurgeSlice, StoreError> {
        let (chatflow, query) = (self.chatflow, &self.query);
        let walk = Walk { tree, deletions, chatflow, query, most_looks: LOOKS_A_SLICE };
        let found = walk.found()?;
        // A lost half moves nothing, so that the walk goes on where it was.
        self.query.after = found.reached.map(MessageCursor);
        self.is_searching = !found.is_last;
        let mut lost: BTreeMap<TurnPlace, Halves> = BTreeMap::new();
        for (at, _) in &found.messages {
            let halves = lost.entry(at.turn).or_insert(Halves::NONE);
            if at.role == 0 { halves.question = true } else { halves.answer = true }
        }
        let mut slice = PurgeSlice::default();
        for (place, lost) in lost {
            self.lose(tree, place, lost, &mut slice.changes)?;
        }
        self.n_messages += found.messages.len() as u64;
        Ok(slice)
    }

    fn lose(
        &mut self,
        tree: &sled::Tree,
        place: TurnPlace,
        lost: Halves,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let Some(head) = tree.get(keys::turn(place)).map_err(StoreError::read)? else {
            return Ok(());
        };
        let record = rows::read_rest(tree, place, &head)?;
        let chat = record.body.chat_id.clone();
        self.touched.entry(place.ordinal).or_default().insert(chat);
        changes.extend(rows::unindexed(&self.chatflow, place, &record, lost));
        changes.extend(rows::removed_record(place, &head));
        changes.extend(answers::removed(tree, AnswerPlace::of(place, &record.body))?);
        let left = without(record, lost);
        let is_end = rows::last_seq(tree, place.ordinal)? == Some(place.seq);
        if left.halves != Halves::NONE || is_end {
            changes.extend(rows::record(place, left.halves, &left.body)?);
        }
        Ok(())
    }

    /// Brings one conversation in order after all its losses.
    fn tidy(&mut self, tree: &sled::Tree) -> Result<PurgeSlice, StoreError> {
        let mut slice = PurgeSlice::default();
        let Some((ordinal, chats)) = self.touched.pop_first() else {
            slice.is_last = true;
            return Ok(slice);
        };
        let Some(key) = rows::owner_of(tree, ordinal)? else { return Ok(slice) };
        let mut left: BTreeSet<ChatId> = BTreeSet::new();
        for row in tree.scan_prefix(keys::turns_of(ordinal)) {
            let (at, head) = row.map_err(StoreError::read)?;
            let Some(place) = keys::place_of_turn(&at) else { continue };
            let mut record = rows::read_rest(tree, place, &head)?;
            if record.halves != Halves::NONE {
                left.insert(record.body.chat_id.clone());
            }
            // A summary tells of the turns before it, and so of deleted ones.
            if record.body.memory_state.take().is_some() {
                slice.changes.extend(rows::removed_record(place, &head));
                slice.changes.extend(rows::record(place, record.halves, &record.body)?);
            }
        }
        if left.is_empty() {
            slice.empty.push(key);
            return Ok(slice);
        }
        let gone = chats.iter().filter(|chat| !left.contains(chat));
        let gone = gone.map(|chat| (keys::chat(&self.chatflow, chat, ordinal), None));
        slice.changes.extend(gone);
        slice.changed.push(key);
        Ok(slice)
    }
}

/// The record without its lost halves: nothing of their content stays.
fn without(record: Record, lost: Halves) -> Record {
    let halves = record.halves.without(lost);
    let mut body = record.body;
    if !halves.question {
        body = NewTurn { question: String::new(), lead_email: None, file_uploads: None, ..body };
    }
    if !halves.answer {
        let answer_columns = serde_json::Map::new();
        body = NewTurn { answer: String::new(), answer_columns, follow_up_prompts: None, ..body };
    }
    Record { halves, body }
}
