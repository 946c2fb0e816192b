//! Messages that an operator puts into a conversation, and the operator's own
//! view of the history.

use serde_json::{Value, json};

use crate::support::{Flow, Parlor, Scripted};

/// A server with a conversation chain and what its model was asked.
struct Desk {
    server: Parlor,
    model: Scripted,
    flow: String,
}

impl Desk {
    async fn open() -> Self {
        let server = Parlor::start();
        let model = Scripted::saying("Yes.").await;
        let credential = server.openai_credential().await;
        let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
        let flow = server.install_row(&flow.row("b")).await;
        Self { server, model, flow }
    }

    fn message(&self, role: &str, content: &str) -> Value {
        json!({
            "role": role, "content": content, "chatflowid": self.flow, "chatType": "EXTERNAL",
            "chatId": "c", "sessionId": "s",
        })
    }

    async fn rows(&self, path: &str) -> Vec<Value> {
        let path = format!("/api/v1/{path}");
        let reply = self.server.operator().get(&path).await.expect(200);
        reply.json().as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn a_message_goes_behind_its_session_and_the_model_hears_it() {
    let desk = Desk::open().await;
    let ask = json!({"question": "first?", "chatId": "c", "overrideConfig": {"sessionId": "s"}});
    desk.server.ask(&desk.flow, &ask).await.expect(200);

    let caller = desk.server.operator();
    let posted = desk.message("userMessage", "My name is Ann.");
    let stored = caller.post("/api/v1/chatmessage", &posted).await.expect(200).json();
    let answer = desk.message("apiMessage", "Welcome, Ann.");
    let path = format!("/api/v1/chatmessage/{}", desk.flow);
    caller.post(&path, &answer).await.expect(200);

    let rows = desk.rows(&format!("chatmessage/{}?sessionId=s", desk.flow)).await;
    let said: Vec<&str> = rows.iter().map(|row| row["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["first?", "Yes.", "My name is Ann.", "Welcome, Ann."]);
    assert_eq!(rows[2], stored, "the answer is the row as it is stored");

    desk.model.take_received();
    desk.server.ask(&desk.flow, &ask).await.expect(200);
    let asked = desk.model.take_received()[0].body["messages"].to_string();
    assert!(asked.contains("My name is Ann.") && asked.contains("Welcome, Ann."), "{asked}");
}

#[tokio::test]
async fn columns_that_come_as_json_text_are_shown_as_what_they_say() {
    let desk = Desk::open().await;
    let mut posted = desk.message("apiMessage", "Page 3.");
    posted["sourceDocuments"] = json!("[{\"pageContent\": \"x\", \"metadata\": {}}]");
    posted["usedTools"] = json!([{"tool": "calculator"}]);
    posted["followUpPrompts"] = json!("[\"And page 4?\"]");
    let stored = desk.server.operator().post("/api/v1/chatmessage", &posted).await.expect(200);
    let stored = stored.json();
    assert_eq!(stored["sourceDocuments"], json!([{"pageContent": "x", "metadata": {}}]));
    assert_eq!(stored["usedTools"], posted["usedTools"]);
    assert_eq!(stored["followUpPrompts"], posted["followUpPrompts"], "which stays text");
}

#[tokio::test]
async fn an_id_that_is_there_is_a_conflict_and_changes_nothing() {
    let desk = Desk::open().await;
    let caller = desk.server.operator();
    let path = "/api/v1/chatmessage";
    let first = caller.post(path, &desk.message("userMessage", "one")).await.expect(200).json();

    let mut again = desk.message("userMessage", "two");
    again["id"] = first["id"].clone();
    caller.post(path, &again).await.expect(409);

    assert_eq!(desk.rows(&format!("chatmessage/{}", desk.flow)).await, [first]);
}

#[tokio::test]
async fn a_message_that_cannot_be_one_is_refused_by_its_field() {
    let desk = Desk::open().await;
    let whole = desk.message("userMessage", "one");
    let with = |field: &str, value: Value| {
        let mut message = whole.clone();
        message[field] = value;
        message
    };
    let elsewhere = "00000000-0000-4000-8000-000000000000";
    for (message, status, part) in [
        (with("role", Value::Null), 400, "role"),
        (with("role", json!("system")), 400, "system"),
        (with("content", Value::Null), 400, "content"),
        (with("content", json!(1)), 400, "string"),
        (with("chatId", Value::Null), 400, "chatId"),
        (with("chatId", json!("")), 400, "chatId"),
        (with("id", json!("x")), 400, "id: "),
        (with("createdDate", json!("soon")), 400, "createdDate"),
        (with("chatflowid", Value::Null), 400, "chatflowid"),
        (with("chatflowid", json!(elsewhere)), 404, "not found"),
        (json!([]), 400, "object"),
    ] {
        let reply = desk.server.operator().post("/api/v1/chatmessage", &message).await;
        let said = reply.expect_error(status);
        assert!(said.contains(part), "{message}: {said}");
    }
    let path = format!("/api/v1/chatmessage/{}", desk.flow);
    let other = with("chatflowid", json!(elsewhere));
    desk.server.operator().post(&path, &other).await.expect(400);
    desk.server.anyone().post(&path, &whole).await.expect(401);
    assert!(desk.rows(&format!("chatmessage/{}", desk.flow)).await.is_empty());
}

#[tokio::test]
async fn the_internal_view_shows_the_operators_own_door_only() {
    let desk = Desk::open().await;
    let ask = json!({"question": "from outside"});
    desk.server.ask(&desk.flow, &ask).await.expect(200);
    let path = format!("/api/v1/internal-prediction/{}", desk.flow);
    desk.server.operator().post(&path, &json!({"question": "from inside"})).await.expect(200);

    for query in ["", "?chatType=EXTERNAL"] {
        let rows = desk.rows(&format!("internal-chatmessage/{}{query}", desk.flow)).await;
        let said: Vec<&Value> = rows.iter().map(|row| &row["content"]).collect();
        assert_eq!(said, ["from inside", "Yes."], "{query}");
    }
}
