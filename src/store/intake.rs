//! Turns that come from elsewhere: stored behind the last turn of their
//! conversation, with the ids and dates that they had, and only the messages
//! whose ids are new. Doing it again changes nothing.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parlor_schemas::{Halves, NewTurn, SessionKey};
use uuid::Uuid;

use super::commit::Committer;
use super::deletions::Deletions;
use super::error::StoreError;
use super::history::History;
use super::keys::{self, TurnPlace};
use super::ledger::Ledger;
use super::queue::Job;
use super::record::Record;
use super::recovery::Suspect;
use super::rows::{self, Changes};

/// A turn, or one message of it, on its way in.
#[derive(Debug, Clone)]
pub struct ImportedTurn {
    /// The conversation.
    pub key: SessionKey,
    /// Which of the two messages there are.
    pub halves: Halves,
    /// The turn; what belongs to a missing message is not looked at.
    pub body: NewTurn,
}

impl History {
    /// Stores turns in their order; the number of messages that were new. All
    /// of them are one write: keep them few. Sessions in memory must read
    /// again afterwards.
    ///
    /// # Errors
    /// Those of writing; [`StoreError::Conflict`] while messages of these ids
    /// are being deleted; [`StoreError::TooLarge`]. Nothing is stored then,
    /// except that a message which came back into its turn may be there after
    /// a failed write; importing again is safe.
    pub async fn import(&self, turns: Vec<ImportedTurn>) -> Result<u64, StoreError> {
        self.queue.ask(Job::Import(turns)).await
    }
}

impl Committer {
    /// The inner error is the import's own, the outer one a failed write.
    /// Turns that such a failure may leave half done are added to `suspects`.
    pub fn import(
        &mut self,
        tree: &sled::Tree,
        turns: &[ImportedTurn],
        suspects: &mut Vec<Suspect>,
    ) -> Result<Result<u64, StoreError>, StoreError> {
        let Some(ledger) = &mut self.ledger else { return Err(StoreError::Recovering) };
        let deletions = self.deletions.clone();
        let mut intake = Intake { ledger, tree, deletions: &deletions, done: Done::default() };
        let planned = catch_unwind(AssertUnwindSafe(|| intake.take_all(turns)));
        let mut done = intake.done;
        if let Err(error) = planned.unwrap_or(Err(StoreError::Panicked)) {
            // The ledger took turns for stored that are not. The ordinals that
            // it gave away stay given away, and the disk has to know that.
            turns.iter().for_each(|turn| ledger.doubt(&turn.key));
            done.changes.retain(|(key, _)| key == keys::NEXT_ORDINAL);
            self.write_history(tree, done.changes)?;
            return Ok(Err(error));
        }
        done.places.iter().for_each(|place| self.marks.note(*place));
        suspects.extend(done.suspects);
        self.write_history(tree, done.changes)?;
        Ok(Ok(done.n_messages))
    }
}

struct Intake<'a> {
    ledger: &'a mut Ledger,
    tree: &'a sled::Tree,
    deletions: &'a Deletions,
    done: Done,
}

/// What is planned and not in the tree yet.
#[derive(Default)]
struct Done {
    changes: Changes,
    /// New turns.
    places: Vec<TurnPlace>,
    suspects: Vec<Suspect>,
    /// Turns that got a message back.
    refilled: HashSet<TurnPlace>,
    ids: HashSet<Uuid>,
    n_messages: u64,
}

impl Intake<'_> {
    fn take_all(&mut self, turns: &[ImportedTurn]) -> Result<(), StoreError> {
        turns.iter().try_for_each(|turn| self.take(turn))
    }

    fn take(&mut self, turn: &ImportedTurn) -> Result<(), StoreError> {
        let ImportedTurn { key, halves, body } = turn;
        let (mut new, mut stored) = (Halves::NONE, None);
        for (role, id, _) in rows::messages_of(body, *halves) {
            let is_its_own_answer = role == 1 && new.question && id == body.question_id;
            match self.place_of(id)? {
                Some(place) => stored = Some(place),
                None if is_its_own_answer || self.done.ids.contains(&id) => {}
                None if role == 0 => new.question = true,
                None => new.answer = true,
            }
        }
        if new == Halves::NONE {
            return Ok(());
        }
        if let Some(place) = stored
            && self.refill(key, body, new, place)?
        {
            return Ok(());
        }
        self.add(key, new, &only(new, body))
    }

    fn add(&mut self, key: &SessionKey, new: Halves, body: &NewTurn) -> Result<(), StoreError> {
        let (changes, place) = self.ledger.plan_next(self.tree, key, new, body)?;
        self.note(changes, body, new);
        self.done.places.push(place);
        let (key, seq, answer_id) = (key.clone(), place.seq, body.answer_id);
        self.done.suspects.push(Suspect { key, seq, answer_id });
        Ok(())
    }

    /// Puts a message back beside the one of its turn that is still there;
    /// false where another message has its place.
    fn refill(
        &mut self,
        key: &SessionKey,
        body: &NewTurn,
        new: Halves,
        place: TurnPlace,
    ) -> Result<bool, StoreError> {
        let head = self.tree.get(keys::turn(place)).map_err(StoreError::read)?;
        let owner = rows::owner_of(self.tree, place.ordinal)?;
        let Some(head) = head.filter(|_| owner.as_ref() == Some(key)) else { return Ok(false) };
        let old = rows::read_rest(self.tree, place, &head)?;
        let is_taken = (new.question && old.halves.question) || (new.answer && old.halves.answer);
        if is_taken || !self.done.refilled.insert(place) {
            return Ok(false);
        }
        let union = Halves {
            question: old.halves.question || new.question,
            answer: old.halves.answer || new.answer,
        };
        let merged = merged(old.body.clone(), body, new);
        let mut changes = rows::removed_record(place, &head);
        changes.extend(rows::unindexed(&key.chatflow, place, &old, old.halves));
        changes.extend(rows::record(place, union, &merged)?);
        changes.extend(rows::indexed(&key.chatflow, place, &merged, union));
        self.note(changes, body, new);
        Ok(true)
    }

    fn note(&mut self, changes: Changes, body: &NewTurn, new: Halves) {
        self.done.changes.extend(changes);
        self.done.ids.extend(rows::messages_of(body, new).map(|(_, id, _)| id));
        self.done.n_messages += new.count();
    }

    /// Where the message of an id is stored.
    fn place_of(&self, id: Uuid) -> Result<Option<TurnPlace>, StoreError> {
        let Some((place, role)) = rows::place_of_id(self.tree, id)? else { return Ok(None) };
        // The sweep would take the new message's index entry for the old one's.
        let is_buried = match rows::owner_of(self.tree, place.ordinal)? {
            Some(key) => self.deletions.is_buried(&key.chatflow, place.ordinal),
            None => self.deletions.may_be_buried(place.ordinal),
        };
        match is_buried {
            true => Err(StoreError::Conflict(
                "messages of these ids are still being deleted; import again in a moment",
            )),
            false => Ok(self.has(place, role)?.then_some(place)),
        }
    }

    /// Whether the message of this role is left of a turn. One that cannot be
    /// read any more was not deleted.
    fn has(&self, place: TurnPlace, role: u8) -> Result<bool, StoreError> {
        match rows::read(self.tree, place) {
            Ok(Some(Record { halves, .. })) if role == 0 => Ok(halves.question),
            Ok(found) => Ok(found.is_some_and(|record| record.halves.answer)),
            Err(StoreError::DamagedRecord { .. }) => Ok(true),
            Err(other) => Err(other),
        }
    }
}

/// The turn with these messages alone. One that is left out gets an id of its
/// own, so that deleting this turn never touches the message it belongs to.
fn only(halves: Halves, body: &NewTurn) -> NewTurn {
    let mut body = body.clone();
    if !halves.question {
        body.question_id = Uuid::new_v4();
        body.asked_at = body.answered_at;
        body.question = String::new();
        (body.lead_email, body.file_uploads) = (None, None);
    }
    if !halves.answer {
        body.answer_id = Uuid::new_v4();
        body.answered_at = body.asked_at;
        body.answer = String::new();
        body.answer_columns = serde_json::Map::new();
        body.follow_up_prompts = None;
    }
    body
}

/// The stored turn with the messages that it lacked.
fn merged(old: NewTurn, given: &NewTurn, new: Halves) -> NewTurn {
    let mut body = old;
    if new.question {
        body.question_id = given.question_id;
        body.question.clone_from(&given.question);
        body.asked_at = given.asked_at;
        body.lead_email.clone_from(&given.lead_email);
        body.file_uploads.clone_from(&given.file_uploads);
    }
    if new.answer {
        body.answer_id = given.answer_id;
        body.answer.clone_from(&given.answer);
        body.answered_at = given.answered_at;
        body.answer_columns.clone_from(&given.answer_columns);
        body.follow_up_prompts.clone_from(&given.follow_up_prompts);
    }
    body
}
