use std::sync::atomic::Ordering;

use parlor_actors::ports::HistoryStore;
use parlor_schemas::{ChatflowId, ErrorCode, VariableType};

use super::super::{Durability, StoreOptions};
use super::*;

#[tokio::test]
async fn hundreds_of_appenders_at_once_all_finish_in_order() {
    let (folder, store) = open();
    let flow = ChatflowId::random();
    for n_sessions in [16, 256] {
        let tasks = (0..n_sessions).map(|n| {
            let (history, key) = (store.history().clone(), key(flow, &format!("{n_sessions}-{n}")));
            tokio::spawn(async move { append_all(&history, &key, 4).await })
        });
        futures::future::try_join_all(tasks).await.unwrap();
    }
    drop(store);
    let store = open_in(&folder);
    for (n_sessions, n) in (0..16).map(|n| (16, n)).chain((0..256).map(|n| (256, n))) {
        let name = format!("{n_sessions}-{n}");
        let expected: Vec<_> = (0..4).map(|seq| format!("{name} asks {seq}")).collect();
        assert_eq!(questions(store.history(), &key(flow, &name)).await, expected);
    }
}

#[tokio::test]
async fn of_two_appends_of_one_turn_exactly_one_is_stored() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    let twice =
        futures::future::join(append(store.history(), &key, 0), append(store.history(), &key, 0));
    let (first, second) = twice.await;
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(questions(store.history(), &key).await.len(), 1);
}

#[tokio::test]
async fn a_failed_sync_is_answered_and_what_it_refused_never_shows_up() {
    let (folder, store) = open();
    let flow = ChatflowId::random();
    let (old, new) = (key(flow, "old"), key(flow, "new"));
    append_all(store.history(), &old, 2).await;
    store.history().disk.fail_next_sync.store(true, Ordering::SeqCst);
    let both =
        futures::future::join(append(store.history(), &old, 2), append(store.history(), &new, 0));
    let (first, second) = both.await;
    assert_eq!(first.unwrap_err().code, ErrorCode::StoreFailed);
    // The second may have come in the next group, after the recovery.
    let new_is_stored = second.is_ok();
    // The same turns again: the store works and their places are free.
    append(store.history(), &old, 2).await.unwrap();
    append(store.history(), &new, u64::from(new_is_stored)).await.unwrap();
    let expected = ["old asks 0", "old asks 1", "old asks 2"];
    assert_eq!(questions(store.history(), &old).await, expected);
    drop(store);
    let store = open_in(&folder);
    assert_eq!(questions(store.history(), &old).await, expected);
    assert_eq!(questions(store.history(), &new).await.len(), 1 + usize::from(new_is_stored));
}

#[tokio::test]
async fn a_failed_sync_of_the_last_turn_before_the_end_leaves_nothing_of_it() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 1).await;
    store.history().disk.fail_next_sync.store(true, Ordering::SeqCst);
    assert!(append(store.history(), &key, 1).await.is_err());
    drop(store);
    let store = open_in(&folder);
    assert_eq!(questions(store.history(), &key).await, ["s1 asks 0"]);
}

#[tokio::test]
async fn a_failed_sync_of_a_row_is_an_error_and_the_next_write_works() {
    let (_folder, store) = open();
    store.history().disk.fail_next_sync.store(true, Ordering::SeqCst);
    assert!(store.variables().create("a", "1", VariableType::Static).is_err());
    let kept = store.variables().create("b", "2", VariableType::Static).unwrap();
    assert!(store.variables().list().unwrap().contains(&kept));
}

#[tokio::test]
async fn a_store_that_syncs_every_second_keeps_all_when_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { durability: Durability::EverySecond, ..StoreOptions::default() };
    let store = Store::open(&folder.path().join("data"), options).unwrap();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 50).await;
    assert_eq!(questions(store.history(), &key).await.len(), 50, "read your writes");
    store.close();
    let fault = append(store.history(), &key, 50).await.unwrap_err();
    assert_eq!(fault.code, ErrorCode::StoreFailed);
    drop(store);
    assert_eq!(questions(open_in(&folder).history(), &key).await.len(), 50);
}

#[tokio::test]
async fn an_asker_that_leaves_does_not_disturb_the_others() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    let left = key(flow, "left");
    let mut asking = store.history().append(appending(&left, 0, 0, turn(&left, 0)));
    assert!(futures::poll!(&mut asking).is_pending());
    drop(asking);
    append_all(store.history(), &key(flow, "stays"), 3).await;
    assert_eq!(questions(store.history(), &key(flow, "stays")).await.len(), 3);
}
