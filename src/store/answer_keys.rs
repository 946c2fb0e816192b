//! The keys of remembered answers in the `history` tree; see the table in
//! `keys`.

use parlor_schemas::{NewTurn, Timestamp};
use uuid::Uuid;

use super::keys::{self, TurnPlace};

pub(super) const IDEMPOTENCY: u8 = b'i';
pub(super) const ANSWER: u8 = b'a';
pub(super) const ANSWER_PART: u8 = b'b';

/// A remembered answer's place: in order of time, so that the oldest are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct AnswerPlace {
    /// When its turn was answered.
    pub time: Timestamp,
    pub turn: TurnPlace,
}

impl AnswerPlace {
    /// That of a turn's answer.
    pub fn of(turn: TurnPlace, body: &NewTurn) -> Self {
        Self { time: body.answered_at, turn }
    }
}

/// Where the turn of an `Idempotency-Key` is found.
pub(super) fn idempotency(key: &Uuid) -> Vec<u8> {
    [&[IDEMPOTENCY], key.as_bytes().as_slice()].concat()
}

/// The first possible key of an answer of this time or a later one.
pub(super) fn answers_from(time: Timestamp) -> Vec<u8> {
    [&[ANSWER], keys::time_bytes(time).as_slice()].concat()
}

pub(super) fn answer(at: AnswerPlace) -> Vec<u8> {
    [&[ANSWER], place_bytes(at).as_slice()].concat()
}

pub(super) fn place_of_answer(key: &[u8]) -> Option<AnswerPlace> {
    place_of_bytes(key.strip_prefix(&[ANSWER])?)
}

pub(super) fn part(at: AnswerPlace, part: u16) -> Vec<u8> {
    let place = place_bytes(at);
    [&[ANSWER_PART], place.as_slice(), part.to_be_bytes().as_slice()].concat()
}

/// The part of an answer's key behind its kind: also the value of an
/// `Idempotency-Key`.
pub(super) fn place_bytes(at: AnswerPlace) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&keys::time_bytes(at.time));
    bytes[8..16].copy_from_slice(&at.turn.ordinal.to_be_bytes());
    bytes[16..].copy_from_slice(&at.turn.seq.to_be_bytes());
    bytes
}

pub(super) fn place_of_bytes(bytes: &[u8]) -> Option<AnswerPlace> {
    let (time, turn) = bytes.split_first_chunk::<8>()?;
    Some(AnswerPlace { time: keys::time_of_bytes(*time), turn: keys::place(turn)? })
}

/// Of the key of an answer's part its answer and its number.
pub(super) fn place_of_part(key: &[u8]) -> Option<(AnswerPlace, u16)> {
    let (at, part) = key.strip_prefix(&[ANSWER_PART])?.split_at_checked(24)?;
    Some((place_of_bytes(at)?, u16::from_be_bytes(part.try_into().ok()?)))
}

/// The key by which an `Idempotency-Key` is found.
pub(super) fn idempotency_key(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.strip_prefix(&[IDEMPOTENCY])?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer_place() -> impl Strategy<Value = AnswerPlace> {
        (any::<i64>(), any::<u64>(), any::<u64>()).prop_map(|(ms, ordinal, seq)| AnswerPlace {
            time: Timestamp::from_millis(ms),
            turn: TurnPlace { ordinal, seq },
        })
    }

    proptest! {
        #[test]
        fn answers_sort_by_time_and_read_back(
            a in answer_place(), b in answer_place(), n in any::<u16>(), id in any::<u128>(),
        ) {
            let (key_a, key_b) = (answer(a), answer(b));
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(key_a >= answers_from(b.time), a.time >= b.time);
            prop_assert_eq!(place_of_answer(&key_a), Some(a));
            prop_assert_eq!(place_of_bytes(&place_bytes(a)), Some(a));
            prop_assert_eq!(place_of_part(&part(a, n)), Some((a, n)));
            let id = Uuid::from_u128(id);
            prop_assert_eq!(idempotency_key(&idempotency(&id)), Some(id));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (place_of_answer(&bytes), place_of_bytes(&bytes));
            let _ = (place_of_part(&bytes), idempotency_key(&bytes));
        }
    }
}
