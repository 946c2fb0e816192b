//! Sweeps what lies in a grave: turns, parts, and every index that names them,
//! a slice at a time between the groups of appends, so that clearing a long
//! history makes nobody wait. A sweep that a restart cuts off is taken up again.

use std::collections::HashSet;

use parlor_schemas::ChatflowId;

use super::answer_keys::AnswerPlace;
use super::answers;
use super::error::StoreError;
use super::keys::{self, Grave, TurnPlace};
use super::messages::Order;
use super::rows::{self, Changes};
use super::{run_walk, runs};

/// Turns in one slice, some 250 changes: sled frees what a batch replaced at a
/// bounded rate per batch, so that long ones pile up memory.
const TURNS_A_SLICE: usize = 32;

/// Index entries that one slice looks at, where most belong to younger turns.
const ENTRIES_A_SLICE: usize = 2048;

/// One grave on its way to be gone.
#[derive(Debug)]
pub(super) struct Sweep {
    pub chatflow: ChatflowId,
    pub grave: Grave,
    /// Messages deleted so far, two for most turns.
    pub n_messages: u64,
    /// The last index entry that was looked at.
    reached: Vec<u8>,
}

/// The next piece of work of a sweep.
#[derive(Debug)]
pub(super) struct Slice {
    pub changes: Changes,
    /// Nothing is left, and the grave itself goes with these changes.
    pub is_last: bool,
}

impl Sweep {
    pub fn new(chatflow: ChatflowId, grave: Grave) -> Self {
        Self { chatflow, grave, n_messages: 0, reached: keys::dates_of(&chatflow) }
    }

    /// Plans the next slice; the changes of the one before must be applied.
    pub fn next_slice(&mut self, tree: &sled::Tree) -> Result<Slice, StoreError> {
        let mut slice = match self.grave {
            Grave::One(ordinal) => self.slice_of_one(tree, ordinal)?,
            Grave::Below(bound) => self.slice_below(tree, bound)?,
        };
        if slice.is_last {
            if let Grave::One(ordinal) = self.grave {
                slice.changes.push((keys::owner(ordinal), None));
            }
            slice.changes.push((keys::grave(&self.chatflow, self.grave), None));
        }
        Ok(slice)
    }

    fn slice_of_one(&mut self, tree: &sled::Tree, ordinal: u64) -> Result<Slice, StoreError> {
        let mut changes = Vec::new();
        let mut n_turns = 0;
        for row in tree.scan_prefix(keys::turns_of(ordinal)).take(TURNS_A_SLICE) {
            let (key, head) = row.map_err(StoreError::read)?;
            match keys::place_of_turn(&key) {
                Some(place) => self.remove_turn(tree, place, &head, &mut changes)?,
                None => changes.push((key.to_vec(), None)),
            }
            n_turns += 1;
        }
        Ok(Slice { changes, is_last: n_turns < TURNS_A_SLICE })
    }

    fn slice_below(&mut self, tree: &sled::Tree, bound: u64) -> Result<Slice, StoreError> {
        let mut slice = Slice { changes: Vec::new(), is_last: true };
        let mut turns = HashSet::new();
        let range = runs::BY_DATE.all_from(self.reached.clone());
        let entries = run_walk::range(tree, &runs::BY_DATE, range, Order::Ascending)?;
        for entry in entries.take(ENTRIES_A_SLICE) {
            let (key, _) = entry?;
            if turns.len() == TURNS_A_SLICE {
                break;
            }
            // A zero byte more is the next possible key after this one.
            self.reached = [&key, [0].as_slice()].concat();
            slice.is_last = false;
            let Some(place) = keys::place_of_date(&key) else { continue };
            if place.turn.ordinal < bound {
                slice.changes.push((key, None));
                turns.insert(place.turn);
            }
        }
        self.remove_turns(tree, &turns, &mut slice.changes)?;
        Ok(slice)
    }

    fn remove_turns(
        &mut self,
        tree: &sled::Tree,
        turns: &HashSet<TurnPlace>,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        for place in turns {
            if let Some(head) = tree.get(keys::turn(*place)).map_err(StoreError::read)? {
                self.remove_turn(tree, *place, &head, changes)?;
            }
        }
        let ordinals: HashSet<u64> = turns.iter().map(|place| place.ordinal).collect();
        ordinals.into_iter().try_for_each(|ordinal| remove_session(tree, ordinal, changes))
    }

    fn remove_turn(
        &mut self,
        tree: &sled::Tree,
        place: TurnPlace,
        head: &[u8],
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        changes.extend(rows::removed_record(place, head));
        match rows::read_rest(tree, place, head) {
            Ok(record) => {
                self.n_messages += record.halves.count();
                changes.extend(rows::removed(&self.chatflow, place, &record));
                changes.extend(answers::removed(tree, AnswerPlace::of(place, &record.body))?);
            }
            // What cannot be read is deleted all the same; its index entries
            // and its remembered answer lead nowhere, which every reader takes
            // for absent.
            Err(StoreError::DamagedRecord { .. }) => self.n_messages += 2,
            Err(other) => return Err(other),
        }
        Ok(())
    }
}

/// Removes the two rows of a conversation, unless its session began anew.
fn remove_session(
    tree: &sled::Tree,
    ordinal: u64,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let Some(key) = rows::owner_of(tree, ordinal)? else { return Ok(()) };
    changes.push((keys::owner(ordinal), None));
    let session = keys::session(&key);
    let current = tree.get(&session).map_err(StoreError::read)?;
    if current.as_deref().and_then(keys::ordinal_of_session_value) == Some(ordinal) {
        changes.push((session, None));
    }
    Ok(())
}
