//! Stories about feedback and leads: found by what they belong to, page by
//! page, and gone with it.

use parlor_schemas::feedback::{Lead, Rating};
use parlor_schemas::{ChatId, ChatflowId, Timestamp};
use uuid::Uuid;

use super::super::feedback::RatedMessage;
use super::super::listings::RowPageQuery;
use super::super::messages::Order;
use super::{key, open, open_in};

fn chat(text: &str) -> ChatId {
    ChatId::parse(text).unwrap()
}

fn message(chatflow: ChatflowId, session: &str, chat_id: &str) -> RatedMessage {
    RatedMessage { id: Uuid::new_v4(), key: key(chatflow, session), chat_id: chat(chat_id) }
}

fn lead(chatflow: ChatflowId, at: i64) -> Lead {
    Lead {
        id: Uuid::new_v4(),
        name: Some(at.to_string()),
        email: None,
        phone: None,
        chatflowid: chatflow,
        chat_id: chat("c"),
        created_date: Timestamp::from_millis(at),
    }
}

fn all() -> RowPageQuery {
    RowPageQuery { limit: 100, ..RowPageQuery::default() }
}

#[tokio::test]
async fn a_message_has_one_feedback_whatever_is_said_and_at_once() {
    let (folder, store) = open();
    let flow = ChatflowId::random();
    let message = message(flow, "s", "c");
    let rates = (0..8).map(|n| {
        let words = Some(n.to_string());
        store.feedback().rate(message.clone(), Some(Rating::ThumbsUp), words)
    });
    let rows = futures::future::try_join_all(rates).await.unwrap();
    assert!(rows.iter().all(|row| row.id == rows[0].id));
    let down = Some(Rating::ThumbsDown);
    store.feedback().update(rows[0].id, down, None).await.unwrap().unwrap();
    drop(store);
    let store = open_in(&folder);
    let kept = store.feedback().of_message(message.id).unwrap().unwrap();
    assert_eq!((kept.rating, kept.content.as_deref()), (down, Some("7")));
    assert_eq!(store.feedback().page(flow, None, all()).await.unwrap().rows, [kept]);
    assert_eq!(store.feedback().update(Uuid::new_v4(), down, None).await.unwrap(), None);
}

#[tokio::test]
async fn deleting_a_session_a_chat_or_a_chatflow_takes_its_feedback_and_no_neighbours() {
    let (_folder, store) = open();
    let (flow, other) = (ChatflowId::random(), ChatflowId::random());
    let of = [
        (flow, "s1", "a"),
        (flow, "s10", "b"),
        (flow, "s1_x", "b1"),
        (flow, "s2", "b"),
        (other, "s1", "a"),
    ];
    let feedback = store.feedback();
    for (flow, session, chat) in of {
        feedback.rate(message(flow, session, chat), None, None).await.unwrap();
    }
    assert_eq!(feedback.delete_session(key(flow, "s1")).await.unwrap(), 1);
    assert_eq!(feedback.delete_session(key(flow, "s1")).await.unwrap(), 0);
    assert_eq!(feedback.delete_chat(flow, chat("b")).await.unwrap(), 2);
    let left = feedback.page(flow, None, all()).await.unwrap().rows;
    assert_eq!((left.len(), left[0].chat_id.as_str()), (1, "b1"));
    assert_eq!(feedback.page(flow, Some(chat("b1")), all()).await.unwrap().rows, left);
    assert_eq!(feedback.delete_chatflow(flow).await.unwrap(), 1);
    assert!(feedback.get(left[0].id).unwrap().is_none());
    assert_eq!(feedback.page(other, None, all()).await.unwrap().rows.len(), 1);
    feedback.delete_chatflow(other).await.unwrap();
    let tree = store.history().disk.tree("feedback").unwrap();
    assert_eq!(tree.len(), 0, "something that led to a deleted row is left");
}

#[tokio::test]
async fn leads_are_read_page_by_page_from_either_end_and_between_dates() {
    let (_folder, store) = open();
    let flow = ChatflowId::random();
    for at in 0..70 {
        store.leads().put(lead(flow, at / 2)).await.unwrap();
    }
    for order in [Order::Ascending, Order::Descending] {
        let mut query = RowPageQuery { limit: 9, order, ..RowPageQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = store.leads().page(flow, None, query).await.unwrap();
            assert!(page.rows.len() <= 9);
            seen.extend(page.rows.iter().map(|lead| lead.created_date.millis()));
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        let mut expected: Vec<i64> = (0..70).map(|at| at / 2).collect();
        if order == Order::Descending {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    let between = |from, to| RowPageQuery {
        from: Some(Timestamp::from_millis(from)),
        to: Some(Timestamp::from_millis(to)),
        ..all()
    };
    assert_eq!(store.leads().page(flow, None, between(3, 4)).await.unwrap().rows.len(), 4);
    assert!(store.leads().page(flow, None, between(4, 3)).await.unwrap().rows.is_empty());
    assert_eq!(store.leads().delete_chatflow(flow).await.unwrap(), 70);
    assert!(store.leads().page(flow, None, all()).await.unwrap().rows.is_empty());
}
