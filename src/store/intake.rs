//! Takes in turns that were answered elsewhere: their ids and dates are kept,
//! their place in the conversation is the next free one, and a message whose
//! id is stored already is left out, so that taking in twice doubles nothing.

use parlor_schemas::{Halves, NewTurn, SessionKey};
use uuid::Uuid;

use super::deletions::Deletions;
use super::error::StoreError;
use super::history::History;
use super::keys;
use super::queue::Job;
use super::rows;

/// A turn from elsewhere.
#[derive(Debug, Clone)]
pub struct ForeignTurn {
    /// The conversation that it belongs to.
    pub key: SessionKey,
    /// Which of its messages came along.
    pub halves: Halves,
    /// The turn; what belongs to a half that did not come is not looked at.
    pub body: NewTurn,
}

impl History {
    /// Stores turns behind those of their conversations, in the given order.
    /// The number of messages stored; those that were there already are not
    /// counted. Sessions in memory must read again afterwards.
    ///
    /// # Errors
    /// Those of writing. Some of the turns may be stored then; taking all of
    /// them in again is safe.
    pub async fn take_in(&self, turns: Vec<ForeignTurn>) -> Result<u64, StoreError> {
        let mut answers = Vec::with_capacity(turns.len());
        for turn in turns {
            answers.push(self.queue.hand_in(Job::TakeIn(Box::new(turn))).await?);
        }
        let mut n_messages = 0;
        for answer in answers {
            n_messages += answer.await.unwrap_or(Err(StoreError::NotStored))?;
        }
        Ok(n_messages)
    }
}

/// Whether a message of this id is stored.
///
/// # Errors
/// [`StoreError::Conflict`] while it is being swept: its index entry is about
/// to go, and would take that of a new message of the same id along.
pub(super) fn is_stored(
    tree: &sled::Tree,
    deletions: &Deletions,
    id: Uuid,
) -> Result<bool, StoreError> {
    let Some(value) = tree.get(keys::message(&id)).map_err(StoreError::read)? else {
        return Ok(false);
    };
    if rows::message_by_id(tree, deletions, id)?.is_some() {
        return Ok(true);
    }
    let place = keys::place_of_message_value(&value);
    let owner = place.map(|(turn, _)| rows::owner_of(tree, turn.ordinal)).transpose()?.flatten();
    match owner {
        None => Ok(false),
        Some(_) => Err(StoreError::Conflict("these messages are just being deleted; try again")),
    }
}

/// The turn with these halves alone. A half that is left out gets an id of its
/// own, so that deleting this turn never touches the message it belongs to.
pub(super) fn only(halves: Halves, body: &NewTurn) -> NewTurn {
    let mut body = body.clone();
    if !halves.question {
        let question_id = Uuid::new_v4();
        let asked_at = body.answered_at;
        body = NewTurn {
            question_id,
            asked_at,
            question: String::new(),
            file_uploads: None,
            lead_email: None,
            ..body
        };
    }
    if !halves.answer {
        let (answer_id, answered_at) = (Uuid::new_v4(), body.asked_at);
        let answer_columns = serde_json::Map::new();
        body = NewTurn {
            answer_id,
            answered_at,
            answer: String::new(),
            answer_columns,
            follow_up_prompts: None,
            ..body
        };
    }
    body
}
