use parlor_actors::ports::HistoryStore;
use parlor_schemas::{ChatflowId, ErrorCode};

use super::super::{MessageQuery, Order};
use super::*;

#[tokio::test]
async fn forgetting_a_session_takes_every_row_of_it_and_none_of_its_neighbours() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    for neighbour in ["s10", "s1_x", "s"] {
        append_all(store.history(), &key(flow, neighbour), 2).await;
    }
    let before = n_rows(store.history());
    append_all(store.history(), &key(flow, "s1"), 150).await;
    assert_eq!(store.history().forget(key(flow, "s1")).await.unwrap(), 300);
    assert_eq!(n_rows(store.history()), before);
    assert_eq!(store.history().forget(key(flow, "s1")).await.unwrap(), 0);
    assert_eq!(questions(store.history(), &key(flow, "s10")).await.len(), 2);
}

#[tokio::test]
async fn a_forgotten_session_begins_anew_and_stays_so_after_a_restart() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 3).await;
    store.history().forget(key.clone()).await.unwrap();
    let conflict = append(store.history(), &key, 3).await.unwrap_err();
    assert_eq!(conflict.code, ErrorCode::Conflict);
    append_all(store.history(), &key, 1).await;
    drop(store);
    let store = open_in(&folder);
    assert_eq!(questions(store.history(), &key).await, ["s1 asks 0"]);
}

#[tokio::test]
async fn clearing_a_chatflow_is_exact_and_counts_messages() {
    let (_folder, store) = open();
    let (flow, other) = (ChatflowId::random(), ChatflowId::random());
    append_all(store.history(), &key(other, "s0"), 2).await;
    let before = n_rows(store.history());
    for session in 0..40 {
        append_all(store.history(), &key(flow, &format!("s{session}")), 4).await;
    }
    assert_eq!(store.history().delete_chatflow_history(flow).await.unwrap(), 320);
    assert_eq!(n_rows(store.history()), before);
    assert_eq!(store.history().delete_chatflow_history(flow).await.unwrap(), 0);
    let query = MessageQuery { limit: 10, ..Default::default() };
    let page = store.history().messages(flow, query).await.unwrap();
    assert!(page.messages.is_empty());
    assert_eq!(questions(store.history(), &key(other, "s0")).await.len(), 2);
}

#[tokio::test]
async fn a_turn_that_began_before_a_clearing_is_not_stored_after_it() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 1).await;
    let loaded = store.history().load(key.clone(), 1000).await.unwrap();
    store.history().delete_chatflow_history(key.chatflow).await.unwrap();
    let late = appending(&key, loaded.next_seq, loaded.epoch, turn(&key, loaded.next_seq));
    assert_eq!(store.history().append(late).await.unwrap_err().code, ErrorCode::Conflict);
    let reloaded = store.history().load(key.clone(), 1000).await.unwrap();
    assert_eq!((reloaded.next_seq, reloaded.epoch), (0, loaded.epoch + 1));
    append_all(store.history(), &key, 1).await;
}

#[tokio::test]
async fn a_session_that_begins_anew_during_the_sweep_of_its_chatflow_survives_it() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    for session in 0..30 {
        append_all(store.history(), &key(flow, &format!("s{session}")), 10).await;
    }
    let history = store.history().clone();
    let clearing = tokio::spawn(async move { history.delete_chatflow_history(flow).await });
    // The epoch tells that the grave is dug; the sweep takes several slices more.
    until(async || store.history().deletions.epoch(&flow) > 0).await;
    append_all(store.history(), &key(flow, "s7"), 2).await;
    assert_eq!(questions(store.history(), &key(flow, "s8")).await.len(), 0);
    assert_eq!(clearing.await.unwrap().unwrap(), 600);
    assert_eq!(questions(store.history(), &key(flow, "s7")).await.len(), 2);
    // Session and owner; a turn has one row by date, and one has one by id, one two.
    assert_eq!(n_rows(store.history()), 2 + 3 + 4);
}

#[tokio::test]
async fn a_sweep_that_a_restart_cut_off_is_taken_up_again() {
    let (folder, store) = open();
    let flow = ChatflowId::random();
    for session in 0..20 {
        append_all(store.history(), &key(flow, &format!("s{session}")), 10).await;
    }
    let history = store.history().clone();
    let clearing = tokio::spawn(async move { history.delete_chatflow_history(flow).await });
    until(async || store.history().deletions.epoch(&flow) > 0).await;
    drop(store);
    // Cut off or finished before the stop: both are right.
    let _ = clearing.await.unwrap();
    let store = open_in(&folder);
    for session in 0..20 {
        assert!(questions(store.history(), &key(flow, &format!("s{session}"))).await.is_empty());
    }
    until(async || n_rows(store.history()) == 0).await;
}

#[tokio::test]
async fn a_garbled_turn_is_named_by_its_error_and_can_still_be_deleted() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 3).await;
    let tree = store.history().tree().unwrap();
    let (at, mut head) = tree.scan_prefix([b't']).next_back().unwrap().unwrap();
    let last = head.len() - 1;
    head[last] ^= 1;
    tree.insert(at, head).unwrap();
    drop(tree);
    let error = store
        .history()
        .messages(key.chatflow, session_query(&key, Order::Ascending))
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("turn 2 of conversation 0 is damaged"), "{error}");
    let fault = store.history().load(key.clone(), 1_000_000).await.unwrap_err();
    assert_eq!(fault.code, ErrorCode::StoreFailed);
    assert_eq!(store.history().forget(key.clone()).await.unwrap(), 6);
    assert!(store.history().turns(key, None).await.unwrap().is_empty());
}
