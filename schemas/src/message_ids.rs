//! The ids of a turn's two messages, and what they say of each other.
//!
//! Both begin with the millisecond in which they were made, so that ids lie in
//! a store in the order in which they come, and differ in their last bit alone,
//! so that one entry of an index finds both. The other 73 bits are random: an
//! id cannot be guessed. They have the form of version 4, which is that of
//! Flowise's ids and the one that clients check for.

use uuid::{Builder, Uuid};

use crate::{Role, Timestamp};

/// New ids of the question and the answer of one turn.
pub fn message_ids(at: Timestamp) -> (Uuid, Uuid) {
    let mut bytes = *Uuid::new_v4().as_bytes();
    bytes[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
    bytes[15] &= !1;
    let question = Builder::from_random_bytes(bytes).into_uuid();
    (question, sibling(question))
}

/// Whether these are the ids of one turn as [`message_ids`] makes them.
pub fn are_siblings(question: Uuid, answer: Uuid) -> bool {
    role_among_siblings(question) == Role::UserMessage && sibling(question) == answer
}

/// The id of the other message of a turn with such ids.
pub fn sibling(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ 1)
}

/// Which of a turn's messages has this id, where the turn has such ids.
pub fn role_among_siblings(id: Uuid) -> Role {
    if id.as_u128() & 1 == 0 { Role::UserMessage } else { Role::ApiMessage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_turn_are_siblings_of_version_4_and_no_others_are() {
        let at = Timestamp::from_millis(1_764_547_200_123);
        let (question, answer) = message_ids(at);
        assert!(are_siblings(question, answer));
        assert!(!are_siblings(answer, question));
        assert!(!are_siblings(question, message_ids(at).1));
        assert_eq!(role_among_siblings(question), Role::UserMessage);
        assert_eq!(role_among_siblings(answer), Role::ApiMessage);
        assert_eq!(sibling(answer), question);
        for id in [question, answer] {
            assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn later_ids_sort_behind_earlier_ones() {
        let at = |millis| message_ids(Timestamp::from_millis(millis));
        let (early, late) = (at(1_764_547_200_123), at(1_764_547_200_124));
        assert!(early.1 < late.0);
    }
}
