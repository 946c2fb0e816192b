//! The rules that rows of the history keep, each checked from both ends.
//!
//! A row that breaks one is read again before it counts: the change that
//! removed its other end also removed it.

use parlor_schemas::{Halves, SessionKey, Turn, sibling};

use super::answer_keys;
use super::answers;
use super::deletions::Deletions;
use super::error::StoreError;
use super::key_kinds::{self, KeyKind};
use super::keys::{self, TurnPlace};
use super::parcel;
use super::record::Record;
use super::verify::Verification;
use super::{rows, runs};

/// How often a row that seems wrong is read again.
const TRIES: usize = 3;

/// What is wrong with a row: a word, and what it means.
type Wrong = (&'static str, &'static str);

const DAMAGED: Wrong =
    ("damagedTurn", "turns do not match their checksum; delete them or restore a backup");
const OWNERLESS: Wrong = ("turnWithoutConversation", "turns belong to no conversation");
const NO_ID: Wrong = ("messageNotInIdIndex", "messages cannot be found by their id");
const NO_DATE: Wrong = ("messageNotInDateIndex", "messages cannot be found by their date");
const NO_CHAT: Wrong = ("turnNotInChatIndex", "turns cannot be found by their chat id");
const LOOSE_PART: Wrong = ("loosePart", "pieces of long turns belong to no turn");
const LOOSE_ID: Wrong = ("danglingIdEntry", "entries of the index by id lead to no message");
const LOOSE_DATE: Wrong = ("danglingDateEntry", "entries of the index by date lead to no message");
const LOOSE_CHAT: Wrong =
    ("danglingChatEntry", "entries of the index by chat id lead to no conversation");
const LOOSE_SESSION: Wrong =
    ("danglingSessionEntry", "sessions lead to no conversation or to another one");
const LOOSE_OWNER: Wrong =
    ("conversationWithoutSession", "conversations cannot be found by their session");
const BEHIND: Wrong =
    ("counterBehind", "the counter of conversations is behind, so that two could become one");
const BAD_ANSWER: Wrong =
    ("damagedAnswer", "answers that are kept for an Idempotency-Key do not match their checksum");
const LOOSE_KEY: Wrong =
    ("danglingIdempotencyKey", "entries of the index by Idempotency-Key lead to no answer");
const DAMAGED_RUN: Wrong =
    ("damagedIndexRow", "rows that hold index entries are damaged; restore a backup");
const UNKNOWN: Wrong = ("unknownRow", "rows of the history are of no known kind");

const GAP: Wrong =
    ("sequenceGap", "gaps in the sequence of turns, as deleting single messages leaves them");
const WAITING: Wrong = ("awaitingSweep", "deletions are not swept yet");

/// What is remembered from one row to the next.
#[derive(Debug, Default)]
pub(super) struct Check {
    last_turn: Option<TurnPlace>,
    last_ordinal: Option<u64>,
    counter: u64,
}

/// A tree with what is deleted in it.
struct Look<'a> {
    tree: &'a sled::Tree,
    deletions: &'a Deletions,
}

impl Check {
    /// Looks at one row; rows come in order of their keys.
    pub fn row(
        &mut self,
        tree: &sled::Tree,
        deletions: &Deletions,
        key: &[u8],
        value: &[u8],
        found: &mut Verification,
    ) -> Result<(), StoreError> {
        let kind = key_kinds::kind_of(key);
        if kind == Some(KeyKind::Run) {
            let (entries, is_whole) = runs::entries(key, value);
            if !is_whole {
                found.problem(DAMAGED_RUN.0, DAMAGED_RUN.1, shown(key));
            }
            let mut entries = entries.iter();
            return entries
                .try_for_each(|(key, value)| self.row(tree, deletions, key, value, found));
        }
        found.count(label(kind), 1);
        self.remember(kind, key, value, found);
        let look = Look { tree, deletions };
        let mut wrong = look.wrong(kind, key, value)?;
        for _ in 1..TRIES {
            if wrong.is_empty() {
                break;
            }
            wrong = match runs::get(tree, key)? {
                Some(value) => look.wrong(kind, key, &value)?,
                None => Vec::new(),
            };
        }
        for (kind, sentence) in wrong {
            found.problem(kind, sentence, shown(key));
        }
        Ok(())
    }

    /// What one row alone does not tell: gaps, and whether the counter is ahead.
    fn remember(
        &mut self,
        kind: Option<KeyKind>,
        key: &[u8],
        value: &[u8],
        found: &mut Verification,
    ) {
        match kind {
            Some(KeyKind::Counter) => self.counter = keys::number(value).unwrap_or(0),
            Some(KeyKind::Owner) => {
                let ordinal = key_kinds::ordinal_of_owner(key);
                if ordinal.is_some_and(|ordinal| ordinal >= self.counter) {
                    found.problem(BEHIND.0, BEHIND.1, shown(key));
                }
                self.last_ordinal = ordinal;
            }
            Some(KeyKind::Grave) => found.note(WAITING.0, WAITING.1, shown(key)),
            Some(KeyKind::Turn) => {
                let Some(place) = keys::place_of_turn(key) else { return };
                let expected = match self.last_turn {
                    Some(last) if last.ordinal == place.ordinal => last.seq + 1,
                    _ => 0,
                };
                if place.seq != expected {
                    found.note(GAP.0, GAP.1, shown(key));
                }
                self.last_turn = Some(place);
            }
            _ => {}
        }
    }
}

impl Look<'_> {
    fn wrong(
        &self,
        kind: Option<KeyKind>,
        key: &[u8],
        value: &[u8],
    ) -> Result<Vec<Wrong>, StoreError> {
        let one = |is_right: Option<bool>, wrong| match is_right {
            Some(true) => Vec::new(),
            Some(false) => vec![wrong],
            None => vec![UNKNOWN],
        };
        Ok(match kind {
            Some(KeyKind::Turn) => self.turn(key, value)?,
            Some(KeyKind::Part) => one(self.part(key)?, LOOSE_PART),
            Some(KeyKind::Session) => one(self.session(key, value)?, LOOSE_SESSION),
            Some(KeyKind::Owner) => one(self.owner(key, value)?, LOOSE_OWNER),
            Some(KeyKind::Date) => one(self.date(key)?, LOOSE_DATE),
            Some(KeyKind::Message) => one(self.message(key, value)?, LOOSE_ID),
            Some(KeyKind::Chat) => one(self.chat(key)?, LOOSE_CHAT),
            Some(KeyKind::Grave) => one(keys::grave_of(key).map(|_| true), UNKNOWN),
            Some(KeyKind::Idempotency) => one(self.idempotency(key, value)?, LOOSE_KEY),
            Some(KeyKind::Answer) => one(self.answer(key)?, BAD_ANSWER),
            Some(KeyKind::AnswerPart) => one(self.answer_part(key)?, LOOSE_PART),
            Some(KeyKind::Counter) => one(keys::number(value).map(|_| true), UNKNOWN),
            Some(KeyKind::Run) | None => vec![UNKNOWN],
        })
    }

    fn turn(&self, key: &[u8], head: &[u8]) -> Result<Vec<Wrong>, StoreError> {
        let Some(place) = keys::place_of_turn(key) else { return Ok(vec![UNKNOWN]) };
        let Some(owner) = rows::owner_of(self.tree, place.ordinal)? else {
            let is_waiting = self.deletions.may_be_buried(place.ordinal);
            return Ok(if is_waiting { Vec::new() } else { vec![OWNERLESS] });
        };
        if self.deletions.is_buried(&owner.chatflow, place.ordinal) {
            return Ok(Vec::new());
        }
        let record = match rows::read_rest(self.tree, place, head) {
            Err(StoreError::DamagedRecord { .. }) => return Ok(vec![DAMAGED]),
            other => other?,
        };
        self.indexes_of(&owner, place, record)
    }

    fn indexes_of(
        &self,
        owner: &SessionKey,
        place: TurnPlace,
        record: Record,
    ) -> Result<Vec<Wrong>, StoreError> {
        let mut wrong = Vec::new();
        let halves = record.halves;
        for (role, id, time) in rows::messages_of(&record.body, halves) {
            if rows::place_of_id(self.tree, id)? != Some((place, role)) {
                wrong.push(NO_ID);
            }
            let date = keys::date(&owner.chatflow, keys::DatePlace { time, turn: place, role });
            if !self.has(&date)? {
                wrong.push(NO_DATE);
            }
        }
        let chat = rows::chat_entry(owner, &record.body.chat_id, place.ordinal);
        if let Some((chat, _)) = chat.filter(|_| halves != Halves::NONE)
            && !self.has(&chat)?
        {
            wrong.push(NO_CHAT);
        }
        Ok(wrong)
    }

    fn part(&self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        let Some((place, part)) = key_kinds::place_of_part(key) else { return Ok(None) };
        let head = self.tree.get(keys::turn(place)).map_err(StoreError::read)?;
        Ok(Some(head.is_some_and(|head| part < parcel::n_parts(&head))))
    }

    fn session(&self, key: &[u8], value: &[u8]) -> Result<Option<bool>, StoreError> {
        let (Some(key), Some(ordinal)) =
            (key_kinds::key_of_session(key), keys::ordinal_of_session_value(value))
        else {
            return Ok(None);
        };
        if self.deletions.is_buried(&key.chatflow, ordinal) {
            return Ok(Some(true));
        }
        Ok(Some(rows::owner_of(self.tree, ordinal)?.as_ref() == Some(&key)))
    }

    fn owner(&self, key: &[u8], value: &[u8]) -> Result<Option<bool>, StoreError> {
        let (Some(ordinal), Some(owner)) =
            (key_kinds::ordinal_of_owner(key), keys::session_of_owner_value(value))
        else {
            return Ok(None);
        };
        if self.deletions.is_buried(&owner.chatflow, ordinal) {
            return Ok(Some(true));
        }
        let entry = self.tree.get(keys::session(&owner)).map_err(StoreError::read)?;
        Ok(Some(entry.as_deref().and_then(keys::ordinal_of_session_value) == Some(ordinal)))
    }

    fn date(&self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        let (Some(at), Some(chatflow)) =
            (keys::place_of_date(key), key_kinds::chatflow_of_index(key))
        else {
            return Ok(None);
        };
        if self.deletions.is_buried(&chatflow, at.turn.ordinal) {
            return Ok(Some(true));
        }
        let leads = |owner: &SessionKey, turn: Turn| {
            let found = turn.messages(owner).into_iter().any(|message| {
                u8::from(message.role == parlor_schemas::Role::ApiMessage) == at.role
                    && message.created_date == at.time
            });
            found && owner.chatflow == chatflow
        };
        self.leads(at.turn, leads)
    }

    fn message(&self, key: &[u8], value: &[u8]) -> Result<Option<bool>, StoreError> {
        let (Some(id), Some((place, role))) =
            (key_kinds::id_of_message(key), keys::place_of_message_value(value))
        else {
            return Ok(None);
        };
        let is_meant = |found| found == id || (role == keys::BOTH && found == sibling(id));
        self.leads(place, |owner, turn| {
            turn.messages(owner).iter().any(|message| is_meant(message.id))
        })
    }

    fn chat(&self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        let (Some(ordinal), Some(chatflow)) =
            (keys::ordinal_of_chat(key), key_kinds::chatflow_of_index(key))
        else {
            return Ok(None);
        };
        if self.deletions.is_buried(&chatflow, ordinal) {
            return Ok(Some(true));
        }
        let owner = rows::owner_of(self.tree, ordinal)?;
        Ok(Some(owner.is_some_and(|owner| owner.chatflow == chatflow)))
    }

    fn idempotency(&self, key: &[u8], value: &[u8]) -> Result<Option<bool>, StoreError> {
        let (Some(key), Some(at)) =
            (answer_keys::idempotency_key(key), answer_keys::place_of_bytes(value))
        else {
            return Ok(None);
        };
        let head = self.tree.get(answer_keys::answer(at)).map_err(StoreError::read)?;
        Ok(Some(head.is_some_and(|head| answers::key_of_head(&head) == Some(key))))
    }

    /// Whether an answer is whole. One whose turn is gone is never given, and
    /// swept when its time is over.
    fn answer(&self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        let Some(at) = answer_keys::place_of_answer(key) else { return Ok(None) };
        match answers::read(self.tree, at) {
            Ok(_) => Ok(Some(true)),
            Err(StoreError::DamagedRecord { .. }) => Ok(Some(false)),
            Err(other) => Err(other),
        }
    }

    fn answer_part(&self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        let Some((at, part)) = answer_keys::place_of_part(key) else { return Ok(None) };
        let head = self.tree.get(answer_keys::answer(at)).map_err(StoreError::read)?;
        Ok(Some(head.is_some_and(|head| part < parcel::n_parts(&head))))
    }

    /// Whether a turn is there and what an index says of it is so. A turn
    /// that is damaged is told of by itself.
    fn leads(
        &self,
        place: TurnPlace,
        is_so: impl FnOnce(&SessionKey, Turn) -> bool,
    ) -> Result<Option<bool>, StoreError> {
        let Some(owner) = rows::owner_of(self.tree, place.ordinal)? else {
            return Ok(Some(self.deletions.may_be_buried(place.ordinal)));
        };
        if self.deletions.is_buried(&owner.chatflow, place.ordinal) {
            return Ok(Some(true));
        }
        match rows::read(self.tree, place) {
            Ok(None) => Ok(Some(false)),
            Ok(Some(record)) => Ok(Some(is_so(&owner, record.into_turn(place.seq)))),
            Err(StoreError::DamagedRecord { .. }) => Ok(Some(true)),
            Err(other) => Err(other),
        }
    }

    fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(runs::get(self.tree, key)?.is_some())
    }
}

fn label(kind: Option<KeyKind>) -> &'static str {
    match kind {
        Some(KeyKind::Owner) => "conversations",
        Some(KeyKind::Turn) => "turns",
        Some(KeyKind::Date) => "messages",
        Some(KeyKind::Answer) => "rememberedAnswers",
        _ => "indexEntries",
    }
}

/// A place of a row that says no more than it must: no session id, no text.
fn shown(key: &[u8]) -> String {
    if let Some(place) = keys::place_of_turn(key) {
        return format!("turn {} of conversation {}", place.seq, place.ordinal);
    }
    let hex: String = key.iter().take(48).map(|byte| format!("{byte:02x}")).collect();
    format!("row {hex}")
}
