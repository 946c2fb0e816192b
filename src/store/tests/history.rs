use parlor_actors::ports::HistoryStore;
use parlor_schemas::{ChatflowId, ErrorCode, Exchanges, Role, Timestamp};

use super::super::{MessageCursor, MessageQuery, Order};
use super::*;

#[tokio::test]
async fn an_unknown_session_is_empty_complete_and_begins_with_turn_zero() {
    let (_folder, store) = open();
    let loaded = store.history().load(key(ChatflowId::random(), "new"), 1000).await.unwrap();
    assert!(loaded.tail.turns.is_empty() && loaded.tail.complete);
    assert_eq!((loaded.next_seq, loaded.epoch), (0, 0));
}

#[tokio::test]
async fn a_session_wakes_with_its_last_turns_and_knows_that_there_are_older_ones() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    append_all(store.history(), &key, 10).await;
    let weight = Exchanges::weight_of(&Turn::whole(0, turn(&key, 0)));
    let loaded = store.history().load(key.clone(), weight * 3).await.unwrap();
    let seqs: Vec<_> = loaded.tail.turns.iter().map(|turn| turn.seq).collect();
    assert_eq!((seqs, loaded.next_seq, loaded.tail.complete), (vec![7, 8, 9], 10, false));
    let loaded = store.history().load(key.clone(), 1).await.unwrap();
    assert_eq!(loaded.tail.turns.len(), 1, "at least one turn");
    let loaded = store.history().load(key.clone(), weight * 100).await.unwrap();
    assert!(loaded.tail.complete && loaded.tail.turns.len() == 10);
    assert_eq!(store.history().turns(key, Some(2)).await.unwrap()[0].seq, 8);
}

#[tokio::test]
async fn sessions_with_similar_names_and_equal_names_elsewhere_never_share_a_turn() {
    let (_folder, store) = open();
    let (one, other) = (ChatflowId::random(), ChatflowId::random());
    let names = ["s1", "s10", "s1_x", "s", "🦊", "🦊🦊", "a/b", "a%2Fb", "1"];
    let keys: Vec<_> =
        [one, other].iter().flat_map(|flow| names.map(|name| key(*flow, name))).collect();
    for key in &keys {
        append_all(store.history(), key, 2).await;
    }
    for key in &keys {
        let expected = [format!("{} asks 0", key.session), format!("{} asks 1", key.session)];
        assert_eq!(questions(store.history(), key).await, expected);
        let messages = messages_of(store.history(), key, Order::Ascending).await;
        assert!(messages.iter().all(|message| message.chatflowid == key.chatflow));
    }
}

#[tokio::test]
async fn a_turn_that_does_not_follow_the_last_one_is_a_conflict() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    assert_eq!(append(store.history(), &key, 1).await.unwrap_err().code, ErrorCode::Conflict);
    append_all(store.history(), &key, 2).await;
    for wrong in [0, 1, 3] {
        let fault = append(store.history(), &key, wrong).await.unwrap_err();
        assert_eq!(fault.code, ErrorCode::Conflict, "{wrong}");
    }
    append(store.history(), &key, 2).await.unwrap();
    assert_eq!(questions(store.history(), &key).await.len(), 3);
}

#[tokio::test]
async fn a_long_turn_is_cut_into_parts_and_comes_back_whole() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    let mut body = turn(&key, 0);
    body.answer = "🦊 long".repeat(30_000);
    store.history().append(appending(&key, 0, 0, body.clone())).await.unwrap();
    let turns = store.history().turns(key.clone(), None).await.unwrap();
    assert_eq!(turns[0].body, body);
    let longest = store.history().tree().unwrap().iter().map(|row| row.unwrap().1.len()).max();
    assert!(longest.unwrap() <= 6 * 1024);
    assert_eq!(store.history().forget(key).await.unwrap(), 2);
    assert_eq!(n_rows(store.history()), 0);
}

#[tokio::test]
async fn messages_of_a_session_are_in_the_order_of_the_conversation_whatever_the_clock_did() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    for seq in 0..3 {
        let mut body = turn(&key, seq);
        body.asked_at = Timestamp::from_millis(-1_000 * i64::try_from(seq).unwrap());
        store.history().append(appending(&key, seq, 0, body)).await.unwrap();
    }
    let up = messages_of(store.history(), &key, Order::Ascending).await;
    let texts: Vec<_> = up.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(texts[..4], ["s1 asks 0", "s1 hears 0", "s1 asks 1", "s1 hears 1"]);
    let mut down = messages_of(store.history(), &key, Order::Descending).await;
    down.reverse();
    assert_eq!(up, down);
}

#[tokio::test]
async fn pages_of_a_chatflow_meet_every_message_once_in_order_of_date_both_ways() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    for session in ["a", "b", "c"] {
        append_all(store.history(), &key(flow, session), 5).await;
    }
    append_all(store.history(), &key(ChatflowId::random(), "a"), 5).await;
    for order in [Order::Ascending, Order::Descending] {
        let mut all = Vec::new();
        let mut query = MessageQuery { order, limit: 7, ..Default::default() };
        loop {
            let page = store.history().messages(flow, query.clone()).await.unwrap();
            all.extend(page.messages);
            let Some(next) = page.next else { break };
            query.after = MessageCursor::parse(&next.to_text());
            assert!(query.after.is_some());
        }
        assert_eq!(all.len(), 30);
        let mut dates: Vec<_> = all.iter().map(|message| message.created_date).collect();
        if order == Order::Descending {
            dates.reverse();
        }
        assert!(dates.is_sorted());
        let ids: std::collections::HashSet<_> = all.iter().map(|message| message.id).collect();
        assert_eq!(ids.len(), 30);
    }
}

#[tokio::test]
async fn a_range_of_dates_is_inclusive_and_may_split_a_turn() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    append_all(store.history(), &key(flow, "a"), 3).await;
    let at = |ms: i64| Some(Timestamp::from_millis(1_700_000_000_000 + ms));
    let dates = |from, to| MessageFilter { from: at(from), to: at(to), ..Default::default() };
    let query = MessageQuery { filter: dates(500, 2_000), limit: 100, ..Default::default() };
    let page = store.history().messages(flow, query.clone()).await.unwrap();
    let roles: Vec<_> = page.messages.iter().map(|message| message.role).collect();
    let expected = [Role::ApiMessage, Role::UserMessage, Role::ApiMessage, Role::UserMessage];
    assert_eq!(roles, expected);
    assert_eq!(page.next, None);
    let nothing = MessageQuery { filter: dates(2_000, 500), limit: 9, ..Default::default() };
    let page = store.history().messages(flow, nothing).await.unwrap();
    assert!(page.messages.is_empty());
}

#[tokio::test]
async fn a_message_is_found_by_its_id_until_it_is_deleted() {
    let (_folder, store) = open();
    let key = key(ChatflowId::random(), "s1");
    let body = turn(&key, 0);
    store.history().append(appending(&key, 0, 0, body.clone())).await.unwrap();
    let found = store.history().message(body.question_id).await.unwrap().unwrap();
    assert_eq!((found.role, found.content), (Role::UserMessage, body.question));
    let found = store.history().message(body.answer_id).await.unwrap().unwrap();
    assert_eq!((found.role, found.content), (Role::ApiMessage, body.answer));
    assert_eq!(store.history().message(uuid::Uuid::new_v4()).await.unwrap(), None);
    store.history().forget(key).await.unwrap();
    assert_eq!(store.history().message(body.answer_id).await.unwrap(), None);
}

#[tokio::test]
async fn the_sessions_of_a_chat_id_are_found_and_neighbours_are_not() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    for (session, chat) in [("a", "c1"), ("b", "c1"), ("c", "c10"), ("d", "c1_x")] {
        let key = key(flow, session);
        for seq in 0..2 {
            let body = NewTurn { chat_id: ChatId::parse(chat).unwrap(), ..turn(&key, seq) };
            store.history().append(appending(&key, seq, 0, body)).await.unwrap();
        }
    }
    let find = |chat| store.history().sessions_of_chat(flow, ChatId::parse(chat).unwrap());
    assert_eq!(find("c1").await.unwrap(), [key(flow, "a"), key(flow, "b")]);
    store.history().forget(key(flow, "a")).await.unwrap();
    assert_eq!(find("c1").await.unwrap(), [key(flow, "b")]);
    assert_eq!(find("c").await.unwrap(), []);
}
