//! The key layout of the `history` tree. One tree holds the turns and all
//! their indexes, because a sled batch is atomic in one tree only.
//!
//! | key | value | answers |
//! |---|---|---|
//! | `s` chatflow(16) len(2) session | version(1) ordinal(8) | which conversation a session id means |
//! | `o` ordinal(8) | chatflow(16) session | whose turn was found |
//! | `t` ordinal(8) seq(8) | head of a record | a conversation in order, its last turn |
//! | `p` ordinal(8) seq(8) part(2) | rest of a long record | |
//! | `d` chatflow(16) time(8) ordinal(8) seq(8) role(1) | nothing | messages of a chatflow by date |
//! | `m` message id(16) | ordinal(8) seq(8) role(1) | one message by id, or both of a turn |
//! | `c` chatflow(16) len(2) chat id, ordinal(8) | nothing | the conversations of a chat id, but for the session of that name |
//! | `e`, `l`, `q` | several entries of `d`, `m`, `o` | see [`super::runs`] |
//! | `x` chatflow(16) kind(1) ordinal(8) | nothing | what is deleted but not yet swept |
//! | `i` hash of a key(16) | time(8) ordinal(8) seq(8) | the turn that an `Idempotency-Key` got |
//! | `a` time(8) ordinal(8) seq(8) | head of an answer | what its repetitions get; the oldest |
//! | `b` time(8) ordinal(8) seq(8) part(2) | rest of a long answer | |
//! | `n` | ordinal(8) | first ordinal that was never given away |
//!
//! An *ordinal* stands for a conversation: 8 bytes instead of a session id of
//! up to 512 in every turn, and a deleted conversation that begins anew gets
//! a new one, so that nothing old can come back. Integers are big-endian and
//! signed ones have their sign bit flipped, so that bytes sort like numbers.
//! A text is always preceded by its length: no key is the beginning of
//! another one, and a scan for `s1` can never meet `s10`.

use parlor_schemas::{ChatId, ChatflowId, SessionId, SessionKey, Timestamp};
use uuid::Uuid;

pub(super) const SESSION: u8 = b's';
pub(super) const OWNER: u8 = b'o';
pub(super) const TURN: u8 = b't';
pub(super) const PART: u8 = b'p';
pub(super) const DATE: u8 = b'd';
pub(super) const MESSAGE: u8 = b'm';
pub(super) const CHAT: u8 = b'c';
pub(super) const GRAVE: u8 = b'x';

/// The role in an entry by id that stands under the question's id and leads to
/// both messages of a turn: see [`parlor_schemas::message_ids`].
pub(super) const BOTH: u8 = 2;

/// The key of the first ordinal that was never given away.
pub(super) const NEXT_ORDINAL: &[u8] = b"n";

const SESSION_VALUE_VERSION: u8 = 1;

/// A turn's place in the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct TurnPlace {
    pub ordinal: u64,
    pub seq: u64,
}

/// A message's place among those of its chatflow, in order of date. Messages
/// of one instant are in order of conversation, sequence, question first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DatePlace {
    pub time: Timestamp,
    pub turn: TurnPlace,
    /// 0 is the question, 1 the answer.
    pub role: u8,
}

/// What of a chatflow's history is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Grave {
    /// One conversation.
    One(u64),
    /// Every conversation that began before this ordinal was given away.
    Below(u64),
}

pub(super) fn session(key: &SessionKey) -> Vec<u8> {
    with_text(SESSION, &key.chatflow, key.session.as_str(), 0)
}

pub(super) fn session_value(ordinal: u64) -> Vec<u8> {
    let mut value = vec![SESSION_VALUE_VERSION];
    value.extend_from_slice(&ordinal.to_be_bytes());
    value
}

pub(super) fn ordinal_of_session_value(value: &[u8]) -> Option<u64> {
    let (version, ordinal) = value.split_first()?;
    (*version == SESSION_VALUE_VERSION).then(|| number(ordinal))?
}

pub(super) fn owner(ordinal: u64) -> Vec<u8> {
    let mut key = vec![OWNER];
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

pub(super) fn owner_value(key: &SessionKey) -> Vec<u8> {
    [key.chatflow.as_bytes().as_slice(), key.session.as_str().as_bytes()].concat()
}

pub(super) fn session_of_owner_value(value: &[u8]) -> Option<SessionKey> {
    let (chatflow, session) = value.split_first_chunk::<16>()?;
    let session = SessionId::parse(std::str::from_utf8(session).ok()?).ok()?;
    Some(SessionKey { chatflow: ChatflowId::from_bytes(*chatflow), session })
}

/// All turns of a conversation begin with this.
pub(super) fn turns_of(ordinal: u64) -> Vec<u8> {
    let mut key = vec![TURN];
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

pub(super) fn turn(place: TurnPlace) -> Vec<u8> {
    let mut key = turns_of(place.ordinal);
    key.extend_from_slice(&place.seq.to_be_bytes());
    key
}

pub(super) fn place_of_turn(key: &[u8]) -> Option<TurnPlace> {
    place(key.strip_prefix(&[TURN])?)
}

pub(super) fn part(place: TurnPlace, part: u16) -> Vec<u8> {
    let mut key = turn(place);
    key[0] = PART;
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// All messages of a chatflow, by date, begin with this.
pub(super) fn dates_of(chatflow: &ChatflowId) -> Vec<u8> {
    in_chatflow(DATE, chatflow)
}

pub(super) fn date(chatflow: &ChatflowId, at: DatePlace) -> Vec<u8> {
    let mut key = dates_of(chatflow);
    key.extend_from_slice(&date_bytes(at));
    key
}

/// The part of a date key behind the chatflow: 25 bytes, also a page's cursor.
pub(super) fn date_bytes(at: DatePlace) -> [u8; 25] {
    let mut bytes = [0; 25];
    bytes[..8].copy_from_slice(&time_bytes(at.time));
    bytes[8..16].copy_from_slice(&at.turn.ordinal.to_be_bytes());
    bytes[16..24].copy_from_slice(&at.turn.seq.to_be_bytes());
    bytes[24] = at.role;
    bytes
}

pub(super) fn place_of_date(key: &[u8]) -> Option<DatePlace> {
    place_of_date_bytes(key.strip_prefix(&[DATE])?.get(16..)?)
}

pub(super) fn place_of_date_bytes(bytes: &[u8]) -> Option<DatePlace> {
    let (time, rest) = bytes.split_first_chunk::<8>()?;
    let (turn, role) = rest.split_at_checked(16)?;
    match role {
        [role @ (0 | 1)] => {
            Some(DatePlace { time: time_of_bytes(*time), turn: place(turn)?, role: *role })
        }
        _ => None,
    }
}

pub(super) fn message(id: &Uuid) -> Vec<u8> {
    [&[MESSAGE], id.as_bytes().as_slice()].concat()
}

pub(super) fn message_value(place: TurnPlace, role: u8) -> Vec<u8> {
    let mut value = Vec::with_capacity(17);
    value.extend_from_slice(&place.ordinal.to_be_bytes());
    value.extend_from_slice(&place.seq.to_be_bytes());
    value.push(role);
    value
}

pub(super) fn place_of_message_value(value: &[u8]) -> Option<(TurnPlace, u8)> {
    let (role, at) = value.split_last()?;
    Some((place(at)?, *role))
}

pub(super) fn chat(chatflow: &ChatflowId, chat: &ChatId, ordinal: u64) -> Vec<u8> {
    let mut key = chats_of(chatflow, chat);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

/// All conversations of a chat id begin with this.
pub(super) fn chats_of(chatflow: &ChatflowId, chat: &ChatId) -> Vec<u8> {
    with_text(CHAT, chatflow, chat.as_str(), 8)
}

pub(super) fn ordinal_of_chat(key: &[u8]) -> Option<u64> {
    number(key.get(key.len().checked_sub(8)?..)?)
}

pub(super) fn grave(chatflow: &ChatflowId, grave: Grave) -> Vec<u8> {
    let (kind, ordinal) = match grave {
        Grave::One(ordinal) => (0, ordinal),
        Grave::Below(ordinal) => (1, ordinal),
    };
    let mut key = in_chatflow(GRAVE, chatflow);
    key.push(kind);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

/// All graves begin with this.
pub(super) const GRAVES: &[u8] = &[GRAVE];

pub(super) fn grave_of(key: &[u8]) -> Option<(ChatflowId, Grave)> {
    let (chatflow, rest) = key.strip_prefix(&[GRAVE])?.split_first_chunk::<16>()?;
    let (kind, ordinal) = rest.split_first()?;
    let ordinal = number(ordinal)?;
    let grave = match kind {
        0 => Grave::One(ordinal),
        1 => Grave::Below(ordinal),
        _ => return None,
    };
    Some((ChatflowId::from_bytes(*chatflow), grave))
}

/// A big-endian number that fills the slice.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn time_bytes(time: Timestamp) -> [u8; 8] {
    (time.millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

pub(super) fn time_of_bytes(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_millis((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

pub(super) fn place(bytes: &[u8]) -> Option<TurnPlace> {
    let (ordinal, seq) = bytes.split_at_checked(8)?;
    Some(TurnPlace { ordinal: number(ordinal)?, seq: number(seq)? })
}

fn in_chatflow(kind: u8, chatflow: &ChatflowId) -> Vec<u8> {
    let mut key = Vec::with_capacity(42);
    key.push(kind);
    key.extend_from_slice(chatflow.as_bytes());
    key
}

fn with_text(kind: u8, chatflow: &ChatflowId, text: &str, room: usize) -> Vec<u8> {
    // Ids are parsed to at most 512 bytes, so that two bytes hold any length.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut key = Vec::with_capacity(19 + text.len() + room);
    key.push(kind);
    key.extend_from_slice(chatflow.as_bytes());
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chatflow() -> impl Strategy<Value = ChatflowId> {
        // Few values, so that equal chatflows meet often.
        (0u8..3).prop_map(|byte| ChatflowId::from_bytes([byte; 16]))
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["s1", "s10", "s1_x", "[s/%:_.1🦊]{1,6}", "\\PC{1,40}"]
            .prop_filter("parsed ids", |text| SessionId::parse(text).is_ok())
    }

    fn session_key() -> impl Strategy<Value = SessionKey> {
        (chatflow(), text()).prop_map(|(chatflow, text)| SessionKey {
            chatflow,
            session: SessionId::parse(&text).unwrap(),
        })
    }

    fn date_place() -> impl Strategy<Value = DatePlace> {
        (any::<i64>(), any::<u64>(), any::<u64>(), 0u8..2).prop_map(|(ms, ordinal, seq, role)| {
            DatePlace { time: Timestamp::from_millis(ms), turn: TurnPlace { ordinal, seq }, role }
        })
    }

    proptest! {
        #[test]
        fn two_sessions_share_a_key_only_if_they_are_one(a in session_key(), b in session_key()) {
            prop_assert_eq!(session(&a) == session(&b), a == b);
            prop_assert!(a == b || !session(&a).starts_with(&session(&b)));
        }

        #[test]
        fn a_scan_for_one_chat_id_never_meets_another(
            a in session_key(), b in session_key(), ordinal in any::<u64>(),
        ) {
            let (chat_a, chat_b) = (ChatId::from(&a.session), ChatId::from(&b.session));
            let key = chat(&a.chatflow, &chat_a, ordinal);
            let met = key.starts_with(&chats_of(&b.chatflow, &chat_b));
            prop_assert_eq!(met, a == b);
            prop_assert_eq!(ordinal_of_chat(&key), Some(ordinal));
        }

        #[test]
        fn dates_sort_like_their_places_and_read_back(
            flow in chatflow(), a in date_place(), b in date_place(),
        ) {
            let (key_a, key_b) = (date(&flow, a), date(&flow, b));
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(place_of_date(&key_a), Some(a));
        }

        #[test]
        fn turns_sort_by_conversation_and_sequence_and_read_back(
            a in any::<(u64, u64)>(), b in any::<(u64, u64)>(), n in any::<u16>(),
        ) {
            let place = |(ordinal, seq)| TurnPlace { ordinal, seq };
            let (key_a, key_b) = (turn(place(a)), turn(place(b)));
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(key_a.starts_with(&turns_of(b.0)), a.0 == b.0);
            prop_assert_eq!(place_of_turn(&key_a), Some(place(a)));
            prop_assert!(!part(place(a), n).starts_with(&key_a));
        }

        #[test]
        fn values_and_graves_read_back(
            key in session_key(), at in any::<(u64, u64)>(), role in 0u8..2,
        ) {
            let place = TurnPlace { ordinal: at.0, seq: at.1 };
            prop_assert_eq!(ordinal_of_session_value(&session_value(at.0)), Some(at.0));
            prop_assert_eq!(session_of_owner_value(&owner_value(&key)), Some(key.clone()));
            prop_assert_eq!(place_of_message_value(&message_value(place, role)), Some((place, role)));
            for grave_in in [Grave::One(at.0), Grave::Below(at.0)] {
                prop_assert_eq!(grave_of(&grave(&key.chatflow, grave_in)), Some((key.chatflow, grave_in)));
            }
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (place_of_turn(&bytes), place_of_date(&bytes), place_of_message_value(&bytes));
            let _ = (session_of_owner_value(&bytes), ordinal_of_session_value(&bytes));
            let _ = (grave_of(&bytes), ordinal_of_chat(&bytes));
        }
    }
}
