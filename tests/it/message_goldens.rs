//! The recorded history itself, moved in, answers every recorded query with
//! the very rows that Flowise showed: ids and dates too.

use serde_json::{Value, json};

use crate::replay::{FLOWS, Stage};
use crate::support::golden;

/// Recorded queries with the answers that they got.
const QUERIES: &[&str] = &[
    "chatmessage-get",
    "chatmessage-get-basic",
    "chatmessage-get-key",
    "chatmessage-get-chat-1",
    "chatmessage-get-date-date-to-tomorrow",
    "chatmessage-get-date-end-before-start",
    "chatmessage-get-date-iso",
    "chatmessage-get-date-iso-end-only",
    "chatmessage-get-date-us",
    "chatmessage-get-q-chatId_chat_1",
    "chatmessage-get-q-chatType_EXTERNAL_chatId_chat_1",
    "chatmessage-get-q-chatType_INTERNAL",
    "chatmessage-get-q-memoryType_Buffer_Memory_chatId_chat_1",
    "chatmessage-get-q-memoryType_Nope",
    "chatmessage-get-q-messageId_dbcf1d7e_f46b_401f_83f5_4e4090e853f7",
    "chatmessage-get-q-sessionId_",
    "chatmessage-get-q-sessionId_sess_1_order_ASC",
];

/// A server that holds the recorded conversations of flow b.
struct Moved {
    stage: Stage,
}

impl Moved {
    async fn in_() -> Self {
        let moved = Self { stage: Stage::set().await };
        let rows = moved.recorded("chatmessage-get");
        let lines: String = rows.as_array().unwrap().iter().map(|row| format!("{row}\n")).collect();
        let path = "/api/v1/messages/import";
        let caller = moved.stage.server.operator().with("content-type", "application/x-ndjson");
        let report = caller.send(reqwest::Method::POST, path, Some(lines)).await.expect(200).json();
        assert_eq!(report["imported"], json!(46), "{report}");
        moved
    }

    /// A recorded answer, with the id that the chatflow has here.
    fn recorded(&self, name: &str) -> Value {
        let (_, recorded) = FLOWS.iter().find(|(flow, _)| *flow == "b-conversation").unwrap();
        let body = golden::load(name).response.unwrap().body;
        let body = body.replace(recorded, self.stage.flow("b-conversation"));
        serde_json::from_str(&body).unwrap()
    }

    async fn answer(&self, name: &str) -> Value {
        let exchange = golden::load(name);
        self.stage.send_as(self.stage.server.operator(), &exchange).await.expect(200).json()
    }
}

#[tokio::test]
async fn every_recorded_query_finds_the_recorded_rows() {
    let moved = Moved::in_().await;
    for name in QUERIES {
        assert_eq!(moved.answer(name).await, moved.recorded(name), "{name}");
    }
}

#[tokio::test]
async fn what_flowise_overlooked_in_a_query_is_looked_at() {
    let moved = Moved::in_().await;
    let mut newest_first = moved.recorded("chatmessage-get-q-sessionId_sess_1_sort_DESC");
    newest_first.as_array_mut().unwrap().reverse();
    let sorted = moved.answer("chatmessage-get-q-sessionId_sess_1_sort_DESC").await;
    assert_eq!(sorted, newest_first, "sort is documented, so it sorts");

    let epoch = golden::load("chatmessage-get-date-epoch-ms");
    let reply = moved.stage.send_as(moved.stage.server.operator(), &epoch).await;
    let message = reply.expect(400).json()["message"].to_string();
    assert!(message.contains("startDate"), "{message}");

    let unknown = golden::load("chatmessage-delete-unknown-flow");
    moved.stage.send_as(moved.stage.server.operator(), &unknown).await.expect(404);
}

#[tokio::test]
async fn nobody_reads_or_deletes_the_history_without_a_key() {
    let moved = Moved::in_().await;
    let names = ["chatmessage-get-nokey", "chatmessage-get-wrongkey", "chatmessage-delete-nokey"];
    for name in names {
        let exchange = golden::load(name);
        assert_eq!(exchange.response().status, 401, "{name}");
        moved.stage.send(&exchange).await.expect(401);
    }
    assert_eq!(moved.answer("chatmessage-get").await, moved.recorded("chatmessage-get"));
}

#[tokio::test]
async fn a_deleted_session_leaves_exactly_the_other_rows() {
    let moved = Moved::in_().await;
    let answer = moved.answer("chatmessage-delete-session").await;
    assert_eq!(answer, moved.recorded("chatmessage-delete-session"));

    let mut left = moved.recorded("chatmessage-get");
    left.as_array_mut().unwrap().retain(|row| row["sessionId"] != "sess-1");
    assert_eq!(moved.answer("chatmessage-get").await, left);
}

#[tokio::test]
async fn the_history_is_counted_as_recorded() {
    let moved = Moved::in_().await;
    let (counted, recorded) = (moved.answer("stats").await, moved.recorded("stats"));

    let keys = |counts: &Value| counts.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&counted), keys(&recorded));
    // One message more was written between the two recordings.
    assert_eq!((&counted["totalMessages"], &recorded["totalMessages"]), (&json!(46), &json!(47)));
    for count in ["totalFeedback", "positiveFeedback"] {
        assert_eq!(counted[count], recorded[count], "{count}");
    }
}
