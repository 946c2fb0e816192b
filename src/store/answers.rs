//! Answers that are remembered for the `Idempotency-Key` of their request.
//!
//! An answer is written in the batch of its turn and goes with any message of
//! it. It is given for a day and swept after that. A turn that is deleted but
//! not yet swept has none, whatever still lies in the tree.

use parlor_schemas::{Remembered, Repetition, Timestamp};
use uuid::Uuid;

use super::answer_keys::{self, AnswerPlace};
use super::commit::Committer;
use super::deletions::Deletions;
use super::error::StoreError;
use super::history::History;
use super::keys::{self, TurnPlace};
use super::parcel;
use super::queue::Job;
use super::record;
use super::rows::{self, Changes};

/// How long a key gets the same answer.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Version of the payload: key(16), length(1) and hash of the body, reply.
const VERSION: u8 = 1;

/// Answers that are swept in one batch: a long one has thousands of rows.
const ANSWERS_A_SLICE: usize = 16;

/// Rows after which a batch is full.
const ROWS_A_SLICE: usize = 256;

impl History {
    /// The answer that a key of an `Idempotency-Key` stands for at `now`.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn remembered(
        &self,
        key: Uuid,
        now: Timestamp,
    ) -> Result<Option<Remembered>, StoreError> {
        // In place: the usual key is new.
        if holder(&self.tree()?, &self.deletions, key, now)?.is_none() {
            return Ok(None);
        }
        self.blocking(move |history| {
            let tree = history.tree()?;
            loop {
                let Some(at) = holder(&tree, &history.deletions, key, now)? else {
                    return Ok(None);
                };
                match read(&tree, at) {
                    // It may have been swept between the reading of its parts.
                    Err(StoreError::DamagedRecord { what, why }) => {
                        if holder(&tree, &history.deletions, key, now)? == Some(at) {
                            return Err(StoreError::DamagedRecord { what, why });
                        }
                    }
                    found => return found.map(Some),
                }
            }
        })
        .await
    }

    /// Deletes the answers that are given no longer at `now`; their number.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn forget_old_answers(&self, now: Timestamp) -> Result<u64, StoreError> {
        let up_to = Timestamp::from_millis(now.millis().saturating_sub(KEPT_MS));
        let mut n_forgotten = 0;
        loop {
            match self.queue.ask(Job::ForgetAnswers(up_to)).await? {
                0 => return Ok(n_forgotten),
                n => n_forgotten += n,
            }
        }
    }
}

impl Committer {
    /// One slice of the answers up to a moment; their number. The inner error
    /// is one of reading, the outer one a failed write.
    pub fn forget_answers(
        &mut self,
        tree: &sled::Tree,
        up_to: Timestamp,
    ) -> Result<Result<u64, StoreError>, StoreError> {
        match old(tree, up_to) {
            Ok((changes, n_answers)) => self.write_history(tree, changes).map(|()| Ok(n_answers)),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn old(tree: &sled::Tree, up_to: Timestamp) -> Result<(Changes, u64), StoreError> {
    let (mut changes, mut n_answers) = (Vec::new(), 0);
    let rows = tree.range(answer_keys::answers_from(Timestamp::from_millis(i64::MIN))..);
    for key in rows.keys().take(ANSWERS_A_SLICE) {
        let key = key.map_err(StoreError::read)?;
        let Some(at) = answer_keys::place_of_answer(&key) else { break };
        if at.time > up_to || changes.len() > ROWS_A_SLICE {
            break;
        }
        changes.extend(removed(tree, at)?);
        n_answers += 1;
    }
    Ok((changes, n_answers))
}

/// The rows of a new answer.
pub(super) fn added(at: AnswerPlace, remembered: &Remembered) -> Result<Changes, StoreError> {
    let key = answer_keys::answer(at);
    let parcel = parcel::seal(VERSION, &key, &encode(remembered))?;
    let mut changes = vec![(
        answer_keys::idempotency(&remembered.repetition.key),
        Some(answer_keys::place_bytes(at).to_vec()),
    )];
    changes.push((key, Some(parcel.head)));
    for (number, part) in (0..).zip(parcel.rest) {
        changes.push((answer_keys::part(at, number), Some(part)));
    }
    Ok(changes)
}

/// Removes the answer of a turn, where it has one, readable or not. The key
/// stays with a later turn that took it over.
pub(super) fn removed(tree: &sled::Tree, at: AnswerPlace) -> Result<Changes, StoreError> {
    let key = answer_keys::answer(at);
    let Some(head) = tree.get(&key).map_err(StoreError::read)? else { return Ok(Vec::new()) };
    let parts = (0..parcel::n_parts(&head)).map(|number| (answer_keys::part(at, number), None));
    let mut changes: Changes = std::iter::once((key, None)).chain(parts).collect();
    let Some(own) = key_of_head(&head) else { return Ok(changes) };
    let entry = answer_keys::idempotency(&own);
    let holder = tree.get(&entry).map_err(StoreError::read)?;
    if holder.as_deref() == Some(answer_keys::place_bytes(at).as_slice()) {
        changes.push((entry, None));
    }
    Ok(changes)
}

/// The answer that a key is given at `now`: none where its turn is deleted or
/// its time is over.
pub(super) fn holder(
    tree: &sled::Tree,
    deletions: &Deletions,
    key: Uuid,
    now: Timestamp,
) -> Result<Option<AnswerPlace>, StoreError> {
    let entry = tree.get(answer_keys::idempotency(&key)).map_err(StoreError::read)?;
    let Some(at) = entry.as_deref().and_then(answer_keys::place_of_bytes) else { return Ok(None) };
    if is_over(at.time, now) {
        return Ok(None);
    }
    let Some(owner) = rows::owner_of(tree, at.turn.ordinal)? else { return Ok(None) };
    let is_there = tree.contains_key(keys::turn(at.turn)).map_err(StoreError::read)?
        && tree.contains_key(answer_keys::answer(at)).map_err(StoreError::read)?;
    let is_buried = deletions.is_buried(&owner.chatflow, at.turn.ordinal);
    Ok((is_there && !is_buried).then_some(at))
}

/// The answer at a place.
///
/// # Errors
/// [`StoreError::DamagedRecord`] naming its turn.
pub(super) fn read(tree: &sled::Tree, at: AnswerPlace) -> Result<Remembered, StoreError> {
    decode(&payload(tree, at)?).ok_or_else(|| damaged(at, "its fields cannot be read"))
}

/// The answer of a turn as bytes, for a backup: none where it is over, damaged,
/// or so long that one line cannot hold it beside its turn.
pub(super) fn of_turn(
    tree: &sled::Tree,
    turn: TurnPlace,
    record: &[u8],
    now: Timestamp,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(time) = record::answered_at(record).filter(|time| !is_over(*time, now)) else {
        return Ok(None);
    };
    let at = AnswerPlace { time, turn };
    if !tree.contains_key(answer_keys::answer(at)).map_err(StoreError::read)? {
        return Ok(None);
    }
    match payload(tree, at) {
        Ok(bytes) if bytes.len() + record.len() > parcel::MAX_PAYLOAD_BYTES => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::DamagedRecord { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Whether an answer of this time is given no longer. One that seems to come
/// from the future, because the clock was set back, is given.
fn is_over(time: Timestamp, now: Timestamp) -> bool {
    now.millis().saturating_sub(time.millis()) >= KEPT_MS
}

fn payload(tree: &sled::Tree, at: AnswerPlace) -> Result<Vec<u8>, StoreError> {
    let key = answer_keys::answer(at);
    let head = tree.get(&key).map_err(StoreError::read)?;
    let head = head.ok_or_else(|| damaged(at, "it is missing"))?;
    let part = |number| tree.get(answer_keys::part(at, number));
    let payload = parcel::open(VERSION, &key, &head, part).map_err(StoreError::read)?;
    payload.map_err(|why| damaged(at, why))
}

fn damaged(at: AnswerPlace, why: &'static str) -> StoreError {
    let what = format!(
        "the remembered answer of turn {} of conversation {}",
        at.turn.seq, at.turn.ordinal
    );
    StoreError::DamagedRecord { what, why }
}

fn encode(remembered: &Remembered) -> Vec<u8> {
    let Remembered { repetition: Repetition { key, body }, reply } = remembered;
    // A hash in hexadecimal: 64 bytes.
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    let mut bytes = Vec::with_capacity(17 + body.len() + reply.len());
    bytes.extend_from_slice(key.as_bytes());
    bytes.push(length);
    bytes.extend_from_slice(&body.as_bytes()[..usize::from(length)]);
    bytes.extend_from_slice(reply);
    bytes
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(payload: &[u8]) -> Option<Remembered> {
    let (key, rest) = payload.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first()?;
    let (body, reply) = rest.split_at_checked(usize::from(*length))?;
    let body = std::str::from_utf8(body).ok()?.to_owned();
    let repetition = Repetition { key: Uuid::from_bytes(*key), body };
    Some(Remembered { repetition, reply: reply.to_vec() })
}

/// The key at the beginning of an answer's head.
pub(super) fn key_of_head(head: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(parcel::beginning(head)?.get(..16)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_answer_reads_back(key in any::<u128>(), body in "[0-9a-f]{64}", reply in any::<Vec<u8>>()) {
            let repetition = Repetition { key: Uuid::from_u128(key), body };
            let remembered = Remembered { repetition, reply };
            prop_assert_eq!(decode(&encode(&remembered)), Some(remembered));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (decode(&bytes), key_of_head(&bytes));
        }
    }

    #[test]
    fn the_head_tells_the_key_however_long_the_answer_is() {
        let at = AnswerPlace::default();
        for n_bytes in [0, 100, 20_000] {
            let repetition = Repetition { key: Uuid::from_u128(7), body: "b".repeat(64) };
            let rows = added(at, &Remembered { repetition, reply: vec![1; n_bytes] }).unwrap();
            let (_, head) = &rows[1];
            assert_eq!(key_of_head(head.as_ref().unwrap()), Some(Uuid::from_u128(7)));
            assert_eq!(rows.len() > 2, n_bytes > 6_000);
        }
    }
}
