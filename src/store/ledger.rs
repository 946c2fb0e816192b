//! What the writer knows of conversations: it turns an append or a deletion
//! into changes of the `history` tree, or refuses it.
//!
//! A plan may rest on an earlier one that is not applied yet; the sessions
//! kept here are what makes that right.

use std::collections::HashMap;
use std::sync::Arc;

use parlor_actors::ports::Append;
use parlor_schemas::{ChatId, ChatflowId, Halves, NewTurn, Remembered, SessionKey};

use super::answer_keys::AnswerPlace;
use super::answers;
use super::deletions::Deletions;
use super::error::StoreError;
use super::keys::{self, Grave, TurnPlace};
use super::rows::{self, Changes};

/// Conversations kept in memory, about 200 bytes each.
const MAX_SESSIONS: usize = 16 * 1024;

/// Ordinals are noted as given away this many at a time: one write for all.
const ORDINALS_AT_A_TIME: u64 = 1024;

/// The writer's knowledge. See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    deletions: Arc<Deletions>,
    sessions: HashMap<SessionKey, Known>,
    next_ordinal: u64,
    ordinals_end: u64,
}

#[derive(Debug, Clone)]
struct Known {
    ordinal: u64,
    next_seq: u64,
    /// The chat id of the last append, if there was one since the start.
    chat: Option<ChatId>,
}

impl Ledger {
    /// Reads where the ordinals stand.
    pub fn load(tree: &sled::Tree, deletions: Arc<Deletions>) -> Result<Self, StoreError> {
        let noted = tree.get(keys::NEXT_ORDINAL).map_err(StoreError::read)?;
        let next_ordinal = match noted {
            None => 0,
            Some(value) => keys::number(&value).ok_or_else(|| StoreError::DamagedRecord {
                what: "the counter of conversations".to_owned(),
                why: "it is no number",
            })?,
        };
        let sessions = HashMap::new();
        Ok(Self { deletions, sessions, next_ordinal, ordinals_end: next_ordinal })
    }

    /// Keeps the memory bounded. Only between batches: what an unapplied plan
    /// made is known here alone.
    pub fn trim(&mut self) {
        if self.sessions.len() > MAX_SESSIONS {
            self.sessions.clear();
        }
    }

    /// Plans one append.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the turn does not follow the last one or
    /// its conversation was deleted meanwhile, or its `Idempotency-Key` has an
    /// answer.
    pub fn plan_append(
        &mut self,
        tree: &sled::Tree,
        append: &Append,
    ) -> Result<(Changes, TurnPlace), StoreError> {
        let Append { key, seq, epoch, turn, remembered } = append;
        if *epoch != self.deletions.epoch(&key.chatflow) {
            return Err(StoreError::Conflict("the conversation was deleted while the turn ran"));
        }
        let known = self.known(tree, key)?;
        if *seq != known.as_ref().map_or(0, |known| known.next_seq) || turn.seq != *seq {
            return Err(StoreError::Conflict("the turn does not follow the last stored one"));
        }
        let time = turn.body.answered_at;
        if let Some(Remembered { repetition, .. }) = remembered
            && answers::holder(tree, &self.deletions, repetition.key, time)?.is_some()
        {
            let why = "a turn with this Idempotency-Key was stored meanwhile; send it again";
            return Err(StoreError::Conflict(why));
        }
        self.add(key, known, Halves::BOTH, &turn.body, remembered.as_ref())
    }

    /// Plans a turn behind the last one of its conversation, whichever that is.
    pub fn plan_next(
        &mut self,
        tree: &sled::Tree,
        key: &SessionKey,
        halves: Halves,
        body: &NewTurn,
    ) -> Result<(Changes, TurnPlace), StoreError> {
        let known = self.known(tree, key)?;
        self.add(key, known, halves, body, None)
    }

    fn add(
        &mut self,
        key: &SessionKey,
        known: Option<Known>,
        halves: Halves,
        body: &NewTurn,
        remembered: Option<&Remembered>,
    ) -> Result<(Changes, TurnPlace), StoreError> {
        let is_new = known.is_none();
        let known = known.unwrap_or(Known { ordinal: self.next_ordinal, next_seq: 0, chat: None });
        let place = TurnPlace { ordinal: known.ordinal, seq: known.next_seq };
        let mut changes = rows::added(&key.chatflow, place, halves, body)?;
        if let Some(remembered) = remembered {
            changes.extend(answers::added(AnswerPlace::of(place, body), remembered)?);
        }
        let chat = &body.chat_id;
        if known.chat.as_ref() != Some(chat) {
            changes.extend(rows::chat_entry(key, chat, place.ordinal));
        }
        if is_new {
            self.begin_session(key, place.ordinal, &mut changes);
        }
        let next = Known { next_seq: place.seq + 1, chat: Some(chat.clone()), ..known };
        self.sessions.insert(key.clone(), next);
        Ok((changes, place))
    }

    /// The first ordinal that no conversation has yet.
    pub fn next_ordinal(&self) -> u64 {
        self.next_ordinal
    }

    /// Plans the deletion of a conversation, or `None` where there is none.
    pub fn plan_forget(
        &mut self,
        tree: &sled::Tree,
        key: &SessionKey,
    ) -> Result<Option<(Changes, Grave)>, StoreError> {
        let Some(known) = self.known(tree, key)? else { return Ok(None) };
        let grave = Grave::One(known.ordinal);
        self.sessions.remove(key);
        self.deletions.bury(key.chatflow, grave);
        let dug = (keys::grave(&key.chatflow, grave), Some(Vec::new()));
        Ok(Some((vec![(keys::session(key), None), dug], grave)))
    }

    /// Plans the deletion of all conversations of a chatflow.
    pub fn plan_forget_chatflow(&mut self, chatflow: ChatflowId) -> (Changes, Grave) {
        let grave = Grave::Below(self.next_ordinal);
        // First the epoch: who loads a conversation after it finds it gone.
        self.deletions.next_epoch(chatflow);
        self.deletions.bury(chatflow, grave);
        self.sessions.retain(|key, _| key.chatflow != chatflow);
        (vec![(keys::grave(&chatflow, grave), Some(Vec::new()))], grave)
    }

    /// Forgets what is known of a conversation whose rows were changed elsewhere.
    pub fn doubt(&mut self, key: &SessionKey) {
        self.sessions.remove(key);
    }

    fn known(&self, tree: &sled::Tree, key: &SessionKey) -> Result<Option<Known>, StoreError> {
        if let Some(known) = self.sessions.get(key) {
            return Ok(Some(known.clone()));
        }
        let Some(ordinal) = rows::ordinal_of(tree, &self.deletions, key)? else { return Ok(None) };
        let next_seq = rows::last_seq(tree, ordinal)?.map_or(0, |seq| seq + 1);
        Ok(Some(Known { ordinal, next_seq, chat: None }))
    }

    fn begin_session(&mut self, key: &SessionKey, ordinal: u64, changes: &mut Changes) {
        changes.push((keys::session(key), Some(keys::session_value(ordinal))));
        changes.push((keys::owner(ordinal), Some(keys::owner_value(key))));
        self.next_ordinal = ordinal + 1;
        if self.next_ordinal > self.ordinals_end {
            self.ordinals_end = ordinal + ORDINALS_AT_A_TIME;
            let noted = self.ordinals_end.to_be_bytes().to_vec();
            changes.push((keys::NEXT_ORDINAL.to_vec(), Some(noted)));
        }
    }
}
