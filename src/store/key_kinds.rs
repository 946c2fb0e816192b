//! Reads keys of the history back, for those who meet them without having
//! asked for them: exports and verification.

use parlor_schemas::{ChatflowId, SessionId, SessionKey};
use uuid::Uuid;

use super::answer_keys::{ANSWER, ANSWER_PART, IDEMPOTENCY};
use super::keys::{
    CHAT, DATE, GRAVE, MESSAGE, NEXT_ORDINAL, OWNER, PART, SESSION, TURN, TurnPlace, number, place,
};
use super::runs;

/// The chatflow of an index key by date or by chat id.
pub(super) fn chatflow_of_index(key: &[u8]) -> Option<ChatflowId> {
    let (chatflow, _) = key.get(1..)?.split_first_chunk::<16>()?;
    Some(ChatflowId::from_bytes(*chatflow))
}

/// What a key of the tree is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Session,
    Owner,
    Run,
    Turn,
    Part,
    Date,
    Message,
    Chat,
    Grave,
    Idempotency,
    Answer,
    AnswerPart,
    Counter,
}

pub(super) fn kind_of(key: &[u8]) -> Option<KeyKind> {
    Some(match *key.first()? {
        SESSION => KeyKind::Session,
        OWNER => KeyKind::Owner,
        runs::DATES | runs::MESSAGES | runs::OWNERS => KeyKind::Run,
        TURN => KeyKind::Turn,
        PART => KeyKind::Part,
        DATE => KeyKind::Date,
        MESSAGE => KeyKind::Message,
        CHAT => KeyKind::Chat,
        GRAVE => KeyKind::Grave,
        IDEMPOTENCY => KeyKind::Idempotency,
        ANSWER => KeyKind::Answer,
        ANSWER_PART => KeyKind::AnswerPart,
        _ if key == NEXT_ORDINAL => KeyKind::Counter,
        _ => return None,
    })
}

/// The conversation of an index key by session.
pub(super) fn key_of_session(key: &[u8]) -> Option<SessionKey> {
    let (chatflow, rest) = key.strip_prefix(&[SESSION])?.split_first_chunk::<16>()?;
    let session = SessionId::parse(std::str::from_utf8(rest.get(2..)?).ok()?).ok()?;
    Some(SessionKey { chatflow: ChatflowId::from_bytes(*chatflow), session })
}

pub(super) fn ordinal_of_owner(key: &[u8]) -> Option<u64> {
    number(key.strip_prefix(&[OWNER])?)
}

/// Of a part's key its turn and its number.
pub(super) fn place_of_part(key: &[u8]) -> Option<(TurnPlace, u16)> {
    let (at, part) = key.strip_prefix(&[PART])?.split_at_checked(16)?;
    Some((place(at)?, u16::from_be_bytes(part.try_into().ok()?)))
}

/// The message id of an index key.
pub(super) fn id_of_message(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.strip_prefix(&[MESSAGE])?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keys;
    use super::*;

    proptest! {
        #[test]
        fn keys_read_back(text in "[s/%:_.1🦊]{1,6}", at in any::<(u64, u64)>(), n in any::<u16>()) {
            let chatflow = ChatflowId::from_bytes([7; 16]);
            let key = SessionKey { chatflow, session: SessionId::parse(&text).unwrap() };
            let turn = TurnPlace { ordinal: at.0, seq: at.1 };
            let id = Uuid::from_u64_pair(at.0, at.1);
            prop_assert_eq!(key_of_session(&keys::session(&key)), Some(key));
            prop_assert_eq!(ordinal_of_owner(&keys::owner(at.0)), Some(at.0));
            prop_assert_eq!(place_of_part(&keys::part(turn, n)), Some((turn, n)));
            prop_assert_eq!(id_of_message(&keys::message(&id)), Some(id));
            prop_assert_eq!(chatflow_of_index(&keys::dates_of(&chatflow)), Some(chatflow));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (kind_of(&bytes), key_of_session(&bytes), ordinal_of_owner(&bytes));
            let _ = (place_of_part(&bytes), id_of_message(&bytes), chatflow_of_index(&bytes));
        }
    }
}
