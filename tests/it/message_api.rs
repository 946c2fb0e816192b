//! The Message API finds exactly what its selectors say.

use serde_json::{Value, json};

use crate::replay::{Stage, assert_same_answer};
use crate::support::golden;

/// Recorded queries whose answers hold what this stage holds too.
const REPLAYED: &[&str] = &[
    "chatmessage-get-q-chatType_INTERNAL",
    "chatmessage-get-q-memoryType_Nope",
    "chatmessage-get-q-sessionId_",
    "chatmessage-get-date-end-before-start",
    "chatmessage-get-date-iso-end-only",
    "chatmessage-get-chat-1",
    "chatmessage-get-q-chatId_chat_1",
    "chatmessage-get-q-chatType_EXTERNAL_chatId_chat_1",
    "chatmessage-get-q-memoryType_Buffer_Memory_chatId_chat_1",
];

struct Office {
    stage: Stage,
}

impl Office {
    /// The recorded chat and its neighbours.
    async fn open() -> Self {
        let stage = Stage::set().await;
        stage.replay("b-chatid-1").await;
        stage.replay("b-chatid-2").await;
        let flow = stage.flow("b-conversation").to_owned();
        for (chat, session) in [("chat-10", "chat-10"), ("chat-1_x", "s"), ("c", "s")] {
            let body = json!({
                "question": chat, "chatId": chat, "overrideConfig": {"sessionId": session}
            });
            stage.server.ask(&flow, &body).await.expect(200);
        }
        Self { stage }
    }

    fn path(&self, query: &str) -> String {
        format!("/api/v1/chatmessage/{}?{query}", self.stage.flow("b-conversation"))
    }

    async fn rows(&self, query: &str) -> Vec<Value> {
        let reply = self.stage.server.operator().get(&self.path(query)).await.expect(200);
        reply.json().as_array().unwrap().clone()
    }

    async fn questions(&self, query: &str) -> Vec<String> {
        let rows = self.rows(query).await.into_iter();
        let asked = rows.filter(|row| row["role"] == "userMessage");
        asked.map(|row| row["content"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn recorded_queries_are_answered_as_recorded() {
    let office = Office::open().await;
    for name in REPLAYED {
        let exchange = golden::load(name);
        let reply = office.stage.send_as(office.stage.server.operator(), &exchange).await;
        assert_same_answer(&exchange, &reply);
    }
}

#[tokio::test]
async fn a_chat_id_selects_its_own_messages_in_whatever_sessions_they_are() {
    let office = Office::open().await;
    assert_eq!(office.questions("chatId=chat-1_x").await, ["chat-1_x"]);
    assert_eq!(office.questions("chatId=c").await, ["c"]);
    assert_eq!(office.questions("sessionId=s").await, ["chat-1_x", "c"]);
    assert_eq!(office.questions("sessionId=s&chatId=c").await, ["c"]);
    assert_eq!(office.questions("chatId=").await, [""; 0]);
    let elsewhere = json!({"question": "again", "chatId": "c"});
    office.stage.server.ask(office.stage.flow("b-conversation"), &elsewhere).await.expect(200);
    assert_eq!(office.questions("chatId=c").await, ["c", "again"]);
    assert_eq!(office.questions("chatId=c&order=DESC").await, ["again", "c"]);
}

#[tokio::test]
async fn one_message_is_found_by_its_id_and_only_in_its_chatflow() {
    let office = Office::open().await;
    let row = office.rows("chatId=c").await[1].clone();
    let id = row["id"].as_str().unwrap();
    assert_eq!(office.rows(&format!("messageId={id}")).await, std::slice::from_ref(&row));
    assert_eq!(office.rows(&format!("messageId={id}&chatId=chat-1")).await, [Value::Null; 0]);
    let other = format!("/api/v1/chatmessage/{}?messageId={id}", office.stage.flow("a-llmchain"));
    let elsewhere = office.stage.server.operator().get(&other).await.expect(200).json();
    assert_eq!(elsewhere, json!([]));
}

#[tokio::test]
async fn dates_select_inclusively_in_every_form_that_people_write() {
    let office = Office::open().await;
    let all = office.rows("").await;
    let date = |row: &Value| row["createdDate"].as_str().unwrap().to_owned();
    let (first, last) = (date(&all[0]), date(&all[all.len() - 1]));
    assert_eq!(office.rows(&format!("startDate={first}&endDate={last}")).await, all);
    assert_eq!(office.rows(&format!("endDate={first}")).await, all[..1]);
    assert_eq!(office.rows(&format!("startDate={last}")).await.last(), all.last());
    let day = &first[..10];
    assert_eq!(office.rows(&format!("startDate={day}")).await, all);
    let (year, month_day) = day.split_at(4);
    let american = format!("{}%2F{}%2F{year}", &month_day[1..3], &month_day[4..6]);
    assert_eq!(office.rows(&format!("startDate={american}")).await, all);
    assert_eq!(office.rows(&format!("startDate={day}T00:00:00+00:00")).await, all);
}

#[tokio::test]
async fn pages_meet_every_message_once() {
    let office = Office::open().await;
    for query in ["", "order=DESC", "sessionId=s", "sessionId=s&order=DESC", "chatId=chat-1"] {
        let all = office.rows(query).await;
        let mut paged: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = office.path(&format!("{query}&limit=3{cursor}"));
            let reply = office.stage.server.operator().get(&path).await.expect(200);
            paged.extend(reply.json().as_array().unwrap().clone());
            let Some(next) = reply.header("x-next-cursor") else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, all, "{query}");
        assert_eq!(office.rows(&format!("{query}&limit=3&page=1")).await, all[..3], "{query}");
        let second = office.rows(&format!("{query}&limit=2&page=2")).await;
        assert_eq!(second, all[2..4], "{query}");
        assert_eq!(office.rows(&format!("{query}&limit=9&page=99")).await, [Value::Null; 0]);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_its_name() {
    let office = Office::open().await;
    for (query, name) in [
        ("session=s", "session"),
        ("sessionid=s", "sessionid"),
        ("startDate=soon", "startDate"),
        ("endDate=1795411531349", "endDate"),
        ("chatType=BOTH", "chatType"),
        ("chatType[x]=EXTERNAL", "chatType[x]"),
        ("sessionId[]=s", "sessionId[]"),
        ("messageId=7", "messageId"),
        ("order=up", "order"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("page=2", "limit"),
        ("cursor=x", "cursor"),
        ("sessionId=a&sessionId=b", "sessionId"),
    ] {
        let reply = office.stage.server.operator().get(&office.path(query)).await;
        assert!(reply.expect_error(400).contains(name), "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn doors_are_given_alone_repeated_or_as_a_json_array() {
    let office = Office::open().await;
    let all = office.rows("").await;
    let array = "chatType=%5B%22INTERNAL%22%2C%22EXTERNAL%22%5D";
    let brackets = "chatType[]=INTERNAL&chatType[]=EXTERNAL";
    let numbered = "chatType%5B0%5D=EXTERNAL";
    let twice = "chatType=INTERNAL&chatType=EXTERNAL";
    for query in ["chatType=EXTERNAL", twice, array, brackets, numbered] {
        assert_eq!(office.rows(query).await, all, "{query}");
    }
}

#[tokio::test]
async fn p21_selectors_delete_exactly_what_they_show() {
    let office = Office::open().await;
    let operator = office.stage.server.operator();
    for query in ["chatId=c", "sessionId=s&chatId=chat-1_x", "startDate=2000-01-01"] {
        let shown = office.rows(query).await;
        let others = office.rows("").await.len() - shown.len();
        let gone = operator.delete(&office.path(query)).await.expect(200).json();
        assert_eq!(gone, json!({"raw": [], "affected": shown.len()}), "{query}");
        assert_eq!(office.rows("").await.len(), others, "{query}");
    }
    assert_eq!(office.rows("").await, [Value::Null; 0]);
}

#[tokio::test]
async fn p21_a_selector_that_is_unknown_misspelt_or_empty_deletes_nothing() {
    let office = Office::open().await;
    let all = office.rows("").await;
    for query in ["chatid=c", "sessionId=", "chatId=", "messageId=", "session=s", "order=ASC"] {
        office.stage.server.operator().delete(&office.path(query)).await.expect_error(400);
    }
    assert_eq!(office.rows("").await, all);
}

#[tokio::test]
async fn a_live_session_forgets_what_was_deleted_in_the_same_breath() {
    let office = Office::open().await;
    let row = office.rows("chatId=chat-1").await[0].clone();
    let query = format!("messageId={}", row["id"].as_str().unwrap());
    let path = office.path(&query);
    let gone = office.stage.server.operator().delete(&path).await.expect(200).json();
    assert_eq!(gone["affected"], 1);
    office.stage.model.take_received();
    let body = json!({"question": "next", "chatId": "chat-1"});
    office.stage.server.ask(office.stage.flow("b-conversation"), &body).await.expect(200);
    let asked = office.stage.model.take_received();
    let said: Vec<_> = asked[0].messages().into_iter().map(|(role, _)| role).collect();
    assert_eq!(said, ["system", "assistant", "user", "assistant", "user"]);
    let deleted = row["content"].as_str().unwrap();
    assert!(!asked[0].body.to_string().contains(deleted), "{asked:?}");
}

#[tokio::test]
async fn feedback_is_shown_counted_and_selected_with_the_question_before_it() {
    let office = Office::open().await;
    let rows = office.rows("chatId=chat-1").await;
    let flow = office.stage.flow("b-conversation").to_owned();
    let id = rows[1]["id"].clone();
    let rating =
        json!({"messageId": id, "chatId": "chat-1", "rating": "THUMBS_DOWN", "content": "bad"});
    let path = format!("/api/v1/feedback/{flow}");
    office.stage.server.anyone().post(&path, &rating).await.expect(200);

    let exchange = golden::load("chatmessage-get-feedbacktype");
    let reply = office.stage.send_as(office.stage.server.operator(), &exchange).await;
    assert_same_answer(&exchange, &reply);
    let exchange = golden::load("chatmessage-get-feedback");
    let shown = office.stage.send_as(office.stage.server.operator(), &exchange).await.json();
    let shown = shown.as_array().unwrap();
    assert_eq!(shown.len(), 4);
    assert_eq!(shown[1]["feedback"]["content"], "bad");
    assert!([0, 2, 3].iter().all(|at| shown[*at].get("feedback") == Some(&Value::Null)));
    assert_eq!(rows[1].get("feedback"), None);
    assert_eq!(office.rows("feedback=true&feedbackType=THUMBS_UP").await, [Value::Null; 0]);

    let stats = |query: &str| format!("/api/v1/stats/{flow}?{query}");
    let operator = office.stage.server.operator();
    let counted = operator.get(&stats("")).await.expect(200).json();
    let expected = json!({"totalMessages": 10, "totalFeedback": 1, "positiveFeedback": 0});
    assert_eq!(counted, expected);
    for (rating, n_messages) in [("THUMBS_DOWN", 2), ("THUMBS_UP", 0)] {
        let query = stats(&format!("feedbackType={rating}"));
        let counted = operator.get(&query).await.expect(200).json();
        assert_eq!(counted["totalMessages"], n_messages, "{rating}");
    }
    let internal = operator.get(&stats("chatType=INTERNAL")).await.expect(200).json();
    assert_eq!(internal["totalMessages"], 0);

    let rated = office.rows("feedbackType=THUMBS_DOWN&limit=1&page=2").await;
    assert_eq!(rated[0]["id"], id);
    operator.get(&office.path("feedbackType=THUMBS_UP&cursor=x")).await.expect_error(400);

    // A question that the other selectors leave out does not come along.
    let answer_alone = format!("feedbackType=THUMBS_DOWN&messageId={}", id.as_str().unwrap());
    let narrow = office.rows(&answer_alone).await;
    assert_eq!(narrow.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&id]);

    let path = office.path("feedbackType=THUMBS_DOWN");
    let gone = operator.delete(&path).await.expect(200).json();
    assert_eq!(gone["affected"], 2);
    assert_eq!(office.rows("chatId=chat-1").await, rows[2..]);
    let feedback = operator.get(&format!("/api/v1/feedback/{flow}")).await.expect(200).json();
    assert_eq!(feedback, json!([]), "the feedback outlived its message");
}
