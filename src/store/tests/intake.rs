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

#[tokio::test]
async fn a_message_that_comes_back_among_new_turns_moves_none_of_them() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let turns: Vec<_> = (0..3).map(|n| whole(&key, turn(&key, n))).collect();
    let question = Halves { question: true, answer: false };
    let half = ImportedTurn { halves: question, ..turns[0].clone() };
    assert_eq!(store.history().import(vec![half]).await.unwrap(), 1);
    let [first, second, third] = turns.try_into().unwrap();
    let mixed = vec![second, first, third];
    assert_eq!(store.history().import(mixed.clone()).await.unwrap(), 5);
    assert_eq!(store.history().import(mixed).await.unwrap(), 0);
    drop(store);
    let store = open_in(&folder);
    assert_eq!(messages_of(store.history(), &key, Order::Ascending).await.len(), 6);
    assert!(store.history().verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_message_whose_place_is_taken_stands_alone_and_none_is_lost() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s");
    let one = whole(&key, turn(&key, 0));
    let mut other = one.clone();
    other.body.answer_id = uuid::Uuid::new_v4();
    let mut third = one.clone();
    third.body.answer_id = uuid::Uuid::new_v4();
    let question = Halves { question: true, answer: false };
    let half = ImportedTurn { halves: question, ..one.clone() };
    store.history().import(vec![half]).await.unwrap();
    assert_eq!(store.history().import(vec![one.clone(), other.clone()]).await.unwrap(), 2);
    assert_eq!(store.history().import(vec![third.clone()]).await.unwrap(), 1);
    for id in [&one, &other, &third].map(|turn| turn.body.answer_id) {
        assert_eq!(store.history().message(id).await.unwrap().unwrap().id, id);
    }
    assert!(store.history().verify().await.unwrap().is_clean());
    assert_eq!(store.history().delete_session(key.clone()).await.unwrap(), 4);
    assert_eq!(n_rows(store.history()), 0);
}

#[tokio::test]
async fn after_an_import_that_is_refused_no_two_conversations_become_one() {
    let (folder, store) = open();
    let flow = ChatflowId::random();
    let (refused, before) = (key(flow, "refused"), key(flow, "before"));
    let huge = NewTurn { answer: "x".repeat(33 * 1024 * 1024), ..turn(&refused, 1) };
    let turns = vec![whole(&refused, turn(&refused, 0)), whole(&refused, huge)];
    let error = store.history().import(turns).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge(_)), "{error}");
    append(store.history(), &before, 0).await.unwrap();
    drop(store);
    let store = open_in(&folder);
    // As many as had been given a place before.
    for name in ["after", "later"] {
        append(store.history(), &key(flow, name), 0).await.unwrap();
    }
    for name in ["before", "after", "later"] {
        let expected = [format!("{name} asks 0")];
        assert_eq!(questions(store.history(), &key(flow, name)).await, expected);
    }
    assert_eq!(questions(store.history(), &refused).await, Vec::<String>::new());
    assert!(store.history().verify().await.unwrap().is_clean());
}
