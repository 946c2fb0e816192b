use parlor_schemas::{ChatId, ChatflowId, MessageFilter, NewTurn, Role, Timestamp};
use serde_json::json;

use super::super::Order;
use super::*;

fn at(ms: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(1_700_000_000_000 + ms))
}

async fn texts(history: &History, key: &SessionKey) -> Vec<String> {
    let messages = messages_of(history, key, Order::Ascending).await;
    messages.into_iter().map(|message| message.content).collect()
}

#[tokio::test]
async fn a_range_of_dates_may_take_one_half_of_a_turn_and_memory_forgets_it_too() {
    let (_folder, store) = open();
    let history = store.history();
    let key = key(ChatflowId::random(), "s1");
    append_all(history, &key, 3).await;
    let filter = MessageFilter { from: at(500), to: at(1_000), ..Default::default() };
    assert_eq!(history.delete_messages(key.chatflow, filter.clone()).await.unwrap(), 2);
    let left = ["s1 asks 0", "s1 hears 1", "s1 asks 2", "s1 hears 2"];
    assert_eq!(texts(history, &key).await, left);
    let turns = history.turns(key.clone(), None).await.unwrap();
    let remembered = history.exchanges(key.clone(), None).await.unwrap();
    let said: Vec<_> = remembered.iter().flat_map(|exchange| exchange.said()).collect();
    let roles = [Role::UserMessage, Role::ApiMessage, Role::UserMessage, Role::ApiMessage];
    assert_eq!(said, std::iter::zip(roles, left).collect::<Vec<_>>());
    assert!(!turns[0].body.answer.contains("hears"), "the lost half is still on the disk");
    assert_eq!(history.delete_messages(key.chatflow, filter).await.unwrap(), 0);
}

#[tokio::test]
async fn the_next_turn_follows_although_the_last_one_was_deleted() {
    let (folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 3).await;
    let filter = MessageFilter { from: at(2_000), ..Default::default() };
    assert_eq!(store.history().delete_messages(key.chatflow, filter).await.unwrap(), 2);
    let loaded = store.history().load(key.clone(), 100_000).await.unwrap();
    assert_eq!((loaded.next_seq, loaded.tail.turns.len()), (3, 2));
    append(store.history(), &key, 3).await.unwrap();
    drop(store);
    let store = open_in(&folder);
    assert_eq!(questions(store.history(), &key).await, ["s1 asks 0", "s1 asks 1", "s1 asks 3"]);
}

#[tokio::test]
async fn a_conversation_that_loses_everything_leaves_no_row() {
    let (_folder, store) = open();
    let history = store.history();
    let flow = ChatflowId::random();
    append_all(history, &key(flow, "stays"), 2).await;
    let before = n_rows(history);
    append_all(history, &key(flow, "goes"), 40).await;
    let chat = Some(ChatId::parse("goes").unwrap());
    let filter = MessageFilter { chat, ..Default::default() };
    assert_eq!(history.delete_messages(flow, filter).await.unwrap(), 80);
    // The grave that hides the rest is swept between the next jobs.
    history.delete_session(key(flow, "nobody")).await.unwrap();
    until(async || {
        history.delete_session(key(flow, "nobody")).await.unwrap();
        n_rows(history) <= before
    })
    .await;
    assert_eq!(questions(history, &key(flow, "stays")).await.len(), 2);
    append(history, &key(flow, "goes"), 0).await.unwrap();
}

#[tokio::test]
async fn a_chat_is_deleted_out_of_a_session_that_it_shares() {
    let (_folder, store) = open();
    let history = store.history();
    let key = key(ChatflowId::random(), "shared");
    for (seq, chat) in ["c1", "c10", "c1", "c1_x"].into_iter().enumerate() {
        let chat_id = ChatId::parse(chat).unwrap();
        let body = NewTurn { chat_id, ..turn(&key, seq as u64) };
        history.append(appending(&key, seq as u64, 0, body)).await.unwrap();
    }
    let chat = ChatId::parse("c1").unwrap();
    let filter = MessageFilter { chat: Some(chat.clone()), ..Default::default() };
    assert_eq!(history.delete_messages(key.chatflow, filter).await.unwrap(), 4);
    assert_eq!(questions(history, &key).await, ["shared asks 1", "shared asks 3"]);
    assert_eq!(history.sessions_of_chat(key.chatflow, chat.clone()).await.unwrap(), []);
    // The chat goes on, and is found again.
    let body = NewTurn { chat_id: chat.clone(), ..turn(&key, 4) };
    history.append(appending(&key, 4, 0, body)).await.unwrap();
    assert_eq!(history.sessions_of_chat(key.chatflow, chat).await.unwrap(), [key]);
}

#[tokio::test]
async fn a_summary_that_tells_of_deleted_turns_goes_with_them() {
    let (_folder, store) = open();
    let history = store.history();
    let key = key(ChatflowId::random(), "s1");
    for seq in 0..3 {
        let memory_state = Some(json!({"summary": "s1 asked 0"}));
        let body = NewTurn { memory_state, ..turn(&key, seq) };
        history.append(appending(&key, seq, 0, body)).await.unwrap();
    }
    let filter = MessageFilter { to: at(500), ..Default::default() };
    assert_eq!(history.delete_messages(key.chatflow, filter).await.unwrap(), 2);
    let turns = history.turns(key, None).await.unwrap();
    assert_eq!(turns.len(), 2);
    assert!(turns.iter().all(|turn| turn.body.memory_state.is_none()));
}

#[tokio::test]
async fn a_search_that_takes_many_slices_finds_the_one_message_at_the_end() {
    let (_folder, store) = open();
    let history = store.history();
    let key = key(ChatflowId::random(), "s1");
    // More messages than one slice looks at.
    append_all(history, &key, 1_100).await;
    let body = NewTurn { memory_type: "Other".to_owned(), ..turn(&key, 1_100) };
    history.append(appending(&key, 1_100, 0, body)).await.unwrap();
    for memory_type in ["Nobody's", "Other"] {
        let filter =
            MessageFilter { memory_type: Some(memory_type.to_owned()), ..Default::default() };
        let expected = if memory_type == "Other" { 2 } else { 0 };
        assert_eq!(history.delete_messages(key.chatflow, filter).await.unwrap(), expected);
    }
    assert_eq!(questions(history, &key).await.len(), 1_100);
}
