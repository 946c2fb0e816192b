//! Turns that come from elsewhere: stored behind the last turn of their
//! conversation, with the ids that they had, and only where those are new.
//! Doing it again changes nothing.

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
use super::rows::{self, Changes};

/// A turn, or one message of it, on its way in.
#[derive(Debug, Clone)]
pub struct ImportedTurn {
    /// The conversation.
    pub key: SessionKey,
    /// Which of the two messages there are.
    pub halves: Halves,
    /// The turn; what the missing message would say is empty.
    pub body: NewTurn,
}

impl History {
    /// Stores turns in their order; the number of messages that were new. All
    /// of them are one write: keep them few. Sessions in memory must read
    /// again afterwards.
    ///
    /// # Errors
    /// Those of writing; [`StoreError::Conflict`] while messages of these ids
    /// are being deleted; [`StoreError::TooLarge`]. Nothing is stored then.
    pub async fn import(&self, turns: Vec<ImportedTurn>) -> Result<u64, StoreError> {
        self.queue.ask(Job::Import(turns)).await
    }
}

impl Committer {
    /// The inner error is the import's own, the outer one a failed write.
    pub fn import(
        &mut self,
        tree: &sled::Tree,
        turns: &[ImportedTurn],
    ) -> Result<Result<u64, StoreError>, StoreError> {
        let Some(ledger) = &mut self.ledger else { return Err(StoreError::Recovering) };
        let deletions = self.deletions.clone();
        let mut intake = Intake { ledger, tree, deletions: &deletions, done: Done::default() };
        let planned = catch_unwind(AssertUnwindSafe(|| intake.take_all(turns)));
        let done = intake.done;
        if let Err(error) = planned.unwrap_or(Err(StoreError::Panicked)) {
            // The ledger took turns for stored that are not.
            turns.iter().for_each(|turn| ledger.doubt(&turn.key));
            return Ok(Err(error));
        }
        done.new.iter().for_each(|place| self.marks.note(*place));
        self.write(tree, done.changes)?;
        Ok(Ok(done.n_messages))
    }
}

struct Intake<'a> {
    ledger: &'a mut Ledger,
    tree: &'a sled::Tree,
    deletions: &'a Deletions,
    done: Done,
}

#[derive(Default)]
struct Done {
    changes: Changes,
    new: Vec<TurnPlace>,
    ids: HashSet<Uuid>,
    n_messages: u64,
}

impl Intake<'_> {
    fn take_all(&mut self, turns: &[ImportedTurn]) -> Result<(), StoreError> {
        turns.iter().try_for_each(|turn| self.take(turn))
    }

    fn take(&mut self, turn: &ImportedTurn) -> Result<(), StoreError> {
        let ImportedTurn { key, halves, body } = turn;
        let mut n_new = 0;
        let mut stored = None;
        for (_, id, _) in rows::messages_of(body, *halves) {
            match self.place_of(id)? {
                Some(place) => stored = Some(place),
                None if self.done.ids.contains(&id) => return Ok(()),
                None => n_new += 1,
            }
        }
        match stored {
            _ if n_new == 0 => return Ok(()),
            Some(place) => return self.refill(turn, place),
            None => {}
        }
        let (changes, place) = self.ledger.plan_next(self.tree, key, *halves, body)?;
        self.note(changes, body, *halves);
        self.done.new.push(place);
        Ok(())
    }

    /// Puts a message back beside the one of its turn that is still there.
    fn refill(&mut self, turn: &ImportedTurn, place: TurnPlace) -> Result<(), StoreError> {
        let ImportedTurn { key, halves, body } = turn;
        let head = self.tree.get(keys::turn(place)).map_err(StoreError::read)?;
        let owner = rows::owner_of(self.tree, place.ordinal)?;
        let Some(head) = head.filter(|_| owner.as_ref() == Some(key)) else { return Ok(()) };
        let old = rows::read_rest(self.tree, place, &head)?;
        let new = Halves {
            question: halves.question && !old.halves.question,
            answer: halves.answer && !old.halves.answer,
        };
        // Another message stands where this one would belong.
        if new == Halves::NONE {
            return Ok(());
        }
        let merged = merged(old.body, body, new);
        let union = Halves {
            question: old.halves.question || new.question,
            answer: old.halves.answer || new.answer,
        };
        let mut changes = rows::removed_record(place, &head);
        changes.extend(rows::record(place, union, &merged)?);
        changes.extend(rows::indexed(&key.chatflow, place, &merged, new));
        self.note(changes, body, new);
        self.ledger.doubt(key);
        Ok(())
    }

    fn note(&mut self, changes: Changes, body: &NewTurn, new: Halves) {
        self.done.changes.extend(changes);
        self.done.ids.extend(rows::messages_of(body, new).map(|(_, id, _)| id));
        self.done.n_messages += new.count();
    }

    /// Where the message of an id is stored.
    fn place_of(&self, id: Uuid) -> Result<Option<TurnPlace>, StoreError> {
        let value = self.tree.get(keys::message(&id)).map_err(StoreError::read)?;
        let Some((place, _)) = value.as_deref().and_then(keys::place_of_message_value) else {
            return Ok(None);
        };
        // The sweep would take the new message's index entry for the old one's.
        let is_buried = match rows::owner_of(self.tree, place.ordinal)? {
            Some(key) => self.deletions.is_buried(&key.chatflow, place.ordinal),
            None => self.deletions.may_be_buried(place.ordinal),
        };
        match is_buried {
            true => Err(StoreError::Conflict(
                "messages of these ids are still being deleted; import again in a moment",
            )),
            false => Ok(Some(place)),
        }
    }
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
