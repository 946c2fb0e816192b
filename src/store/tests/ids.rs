//! Stories about finding messages by their ids: those of this server, where
//! one entry leads to both messages of a turn, and those of elsewhere.

use parlor_schemas::{Halves, MessageFilter, message_ids};

use super::super::intake::ImportedTurn;
use super::verify::assert_clean;
use super::*;

/// Turns of both kinds: see [`turn`].
const KINDS: [u64; 2] = [0, 1];

async fn is_found(history: &History, id: Uuid) -> bool {
    history.message(id).await.unwrap().is_some_and(|message| message.id == id)
}

async fn delete(history: &History, key: &SessionKey, id: Uuid) -> u64 {
    let filter = MessageFilter { message: Some(id), ..Default::default() };
    history.delete_messages(key.chatflow, filter).await.unwrap()
}

#[tokio::test]
async fn one_entry_finds_both_messages_of_a_turn_and_no_neighbour() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let body = turn(&key, 0);
    store.history().append(appending(&key, 0, 0, body.clone())).await.unwrap();
    let tree = store.history().tree().unwrap();
    assert_eq!(tree.scan_prefix([b'm']).count(), 1);
    for (id, found) in [(body.question_id, body.question), (body.answer_id, body.answer)] {
        assert_eq!(store.history().message(id).await.unwrap().unwrap().content, found);
        let neighbour = Uuid::from_u128(id.as_u128() + 2);
        assert_eq!(store.history().message(neighbour).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_message_that_loses_the_other_of_its_turn_is_still_found() {
    for kind in KINDS {
        for question_goes in [true, false] {
            let (_folder, store) = open();
            let (history, key) = (store.history(), key(ChatflowId::random(), "s"));
            let body = turn(&key, kind);
            let bodies = [turn(&key, kind + 2), body.clone()];
            for (seq, body) in (0..).zip(bodies) {
                history.append(appending(&key, seq, 0, body)).await.unwrap();
            }
            let (goes, stays) = match question_goes {
                true => (body.question_id, body.answer_id),
                false => (body.answer_id, body.question_id),
            };
            assert_eq!(delete(history, &key, goes).await, 1);
            assert!(!is_found(history, goes).await && is_found(history, stays).await);
            assert_clean(history).await;
            assert_eq!(delete(history, &key, stays).await, 1);
            assert!(!is_found(history, stays).await);
            assert_clean(history).await;
            history.delete_session(key).await.unwrap();
            assert_eq!(n_rows(history), 0);
        }
    }
}

#[tokio::test]
async fn a_deleted_message_comes_back_into_its_turn_with_its_own_id_or_another() {
    for kind in KINDS {
        for has_its_own_id in [true, false] {
            let (_folder, store) = open();
            let (history, key) = (store.history(), key(ChatflowId::random(), "s"));
            let body = turn(&key, kind);
            history.append(appending(&key, 0, 0, body.clone())).await.unwrap();
            delete(history, &key, body.question_id).await;
            let other = message_ids(body.asked_at).0;
            let question_id = if has_its_own_id { body.question_id } else { other };
            let back = NewTurn { question_id, ..body.clone() };
            let back = ImportedTurn { key: key.clone(), halves: Halves::BOTH, body: back };
            assert_eq!(history.import(vec![back.clone()]).await.unwrap(), 1);
            assert_eq!(history.import(vec![back]).await.unwrap(), 0);
            assert!(is_found(history, question_id).await);
            assert!(is_found(history, body.answer_id).await);
            assert_eq!(is_found(history, body.question_id).await, has_its_own_id);
            assert_eq!(messages_of(history, &key, Order::Ascending).await.len(), 2);
            assert_clean(history).await;
            history.delete_session(key).await.unwrap();
            assert_eq!(n_rows(history), 0);
        }
    }
}
