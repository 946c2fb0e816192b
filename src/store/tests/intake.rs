use std::sync::atomic::Ordering;

use parlor_schemas::{ChatflowId, Halves, NewTurn, Role, SessionKey};

use super::super::intake::ImportedTurn;
use super::super::{Order, StoreError};
use super::{append, key, messages_of, n_rows, open, open_in, questions, turn};

fn whole(key: &SessionKey, body: NewTurn) -> ImportedTurn {
    ImportedTurn { key: key.clone(), halves: Halves::BOTH, body }
}

#[tokio::test]
async fn turns_from_elsewhere_follow_those_that_are_there_and_turns_from_here_follow_them() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append(store.history(), &key, 0).await.unwrap();
    let foreign: Vec<_> = (1..40).map(|n| whole(&key, turn(&key, n))).collect();
    assert_eq!(store.history().import(foreign).await.unwrap(), 78);
    append(store.history(), &key, 40).await.unwrap();
    drop(store);
    let store = open_in(&folder);
    let asked = questions(store.history(), &key).await;
    let expected: Vec<_> = (0..41).map(|n| format!("s asks {n}")).collect();
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn taking_in_twice_doubles_nothing_whether_at_once_or_later() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let one = whole(&key, turn(&key, 0));
    let twice = vec![one.clone(), one.clone()];
    assert_eq!(store.history().import(twice).await.unwrap(), 2);
    let n_before = n_rows(store.history());
    assert_eq!(store.history().import(vec![one]).await.unwrap(), 0);
    assert_eq!(n_rows(store.history()), n_before);
}

#[tokio::test]
async fn a_half_comes_alone_and_the_other_half_may_come_later() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let both = whole(&key, turn(&key, 0));
    let question = Halves { question: true, answer: false };
    let half = ImportedTurn { halves: question, ..both.clone() };
    assert_eq!(store.history().import(vec![half]).await.unwrap(), 1);
    let rows = messages_of(store.history(), &key, Order::Ascending).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].id, rows[0].role), (both.body.question_id, Role::UserMessage));
    assert_eq!(store.history().import(vec![both.clone()]).await.unwrap(), 1);
    let rows = messages_of(store.history(), &key, Order::Ascending).await;
    assert_eq!((rows.len(), rows[1].id), (2, both.body.answer_id));
    for id in [both.body.question_id, both.body.answer_id] {
        assert_eq!(store.history().message(id).await.unwrap().unwrap().id, id);
    }
}

#[tokio::test]
async fn what_was_deleted_leaves_nothing_behind_and_can_be_taken_in_again() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let question = Halves { question: true, answer: false };
    let half = ImportedTurn { halves: question, ..whole(&key, turn(&key, 0)) };
    let turns = vec![half, whole(&key, turn(&key, 1))];
    assert_eq!(store.history().import(turns.clone()).await.unwrap(), 3);
    let n_before = n_rows(store.history());
    assert_eq!(store.history().delete_session(key.clone()).await.unwrap(), 3);
    assert_eq!(n_rows(store.history()), 0);
    assert_eq!(store.history().import(turns).await.unwrap(), 3);
    assert_eq!(n_rows(store.history()), n_before);
}

#[tokio::test]
async fn messages_that_are_just_being_swept_are_refused_until_they_are_gone() {
    let (_folder, store) = open();
    let history = store.history();
    let key = key(ChatflowId::random(), "s");
    let turns = vec![whole(&key, turn(&key, 0))];
    history.import(turns.clone()).await.unwrap();
    let grave = super::super::keys::Grave::Below(u64::MAX);
    history.deletions.bury(key.chatflow, grave);
    let refused = history.import(turns.clone()).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    history.deletions.forget_grave(&key.chatflow, grave);
    assert_eq!(history.import(turns).await.unwrap(), 0);
}

#[tokio::test]
async fn turns_whose_sync_failed_are_not_there_and_come_whole_the_next_time() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    append(store.history(), &key, 0).await.unwrap();
    let answer = Halves { question: false, answer: true };
    let half = ImportedTurn { halves: answer, ..whole(&key, turn(&key, 1)) };
    let turns = vec![half, whole(&key, turn(&key, 2)), whole(&key, turn(&key, 3))];
    store.history().disk.fail_next_sync.store(true, Ordering::SeqCst);
    let failed = store.history().import(turns.clone()).await;
    assert!(matches!(failed, Err(StoreError::NotStored)), "{failed:?}");
    store.history().import(turns.clone()).await.unwrap();
    assert_eq!(store.history().import(turns).await.unwrap(), 0);
    drop(store);
    let store = open_in(&folder);
    let rows = messages_of(store.history(), &key, Order::Ascending).await;
    assert_eq!(rows.len(), 7);
}
