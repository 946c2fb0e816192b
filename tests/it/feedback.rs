//! What people say about answers, and the contact data that they leave.
//! Writing follows the chatflow's policy; reading is the operator's.

use serde_json::{Value, json};

use crate::replay::{Stage, assert_same_answer};
use crate::support::golden::{self, Golden};
use crate::support::{Caller, Parlor, Scripted};

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

/// Asks a chatflow and gives the id of the answer's message.
async fn answer(server: &Parlor, flow: &str, chat: &str) -> String {
    answer_to(&server.anyone(), flow, chat).await
}

async fn answer_to(caller: &Caller, flow: &str, chat: &str) -> String {
    let body = json!({"question": "hi", "chatId": chat});
    let reply = caller.post(&format!("/api/v1/prediction/{flow}"), &body).await.expect(200).json();
    reply["chatMessageId"].as_str().expect("an id").to_owned()
}

async fn rows(server: &Parlor, route: &str, flow: &str, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/{route}/{flow}?{query}");
    let rows = server.operator().get(&path).await.expect(200).json();
    rows.as_array().expect("an array").clone()
}

/// The recorded body with ids of this server.
fn body(exchange: &Golden, ids: &[(&str, &str)]) -> Value {
    let mut body: Value = serde_json::from_str(&exchange.body).unwrap();
    for (key, id) in ids {
        body[*key] = json!(id);
    }
    body
}

#[tokio::test]
async fn feedback_is_given_changed_and_listed_as_recorded() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation").to_owned();
    let message = answer(&stage.server, &flow, "chat-1").await;
    let create = golden::load("feedback-create");
    let ids = [("chatflowid", flow.as_str()), ("messageId", message.as_str())];
    let path = format!("/api/v1/feedback/{flow}");
    let created = stage.server.anyone().post(&path, &body(&create, &ids)).await;
    assert_same_answer(&create, &created);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id, message);
    let put = golden::load("feedback-put");
    let path = format!("/api/v1/feedback/{id}");
    assert_same_answer(&put, &stage.server.anyone().put(&path, &body(&put, &[])).await);
    let missing = golden::load("feedback-put-missing");
    assert_same_answer(&missing, &stage.send(&missing).await);
    let listed = rows(&stage.server, "feedback", &flow, "chatId=chat-1").await;
    let keys: Vec<_> = listed[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        ["id", "chatflowid", "chatId", "messageId", "rating", "content", "createdDate"]
    );
    assert_eq!(
        (&listed[0]["rating"], &listed[0]["content"]),
        (&json!("THUMBS_DOWN"), &json!("bad"))
    );
}

#[tokio::test]
async fn a_second_opinion_on_a_message_replaces_the_first() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let message = answer(&stage.server, flow, "c").await;
    let path = "/api/v1/feedback";
    let anyone = stage.server.anyone();
    let first = json!({"messageId": message, "rating": "THUMBS_UP", "content": "good"});
    let first = anyone.post(path, &first).await.expect(200).json();
    let second = json!({"messageId": message, "chatflowid": flow, "rating": "THUMBS_DOWN"});
    let second = anyone.post(path, &second).await.expect(200).json();
    assert_eq!((&second["id"], &second["createdDate"]), (&first["id"], &first["createdDate"]));
    let listed = rows(&stage.server, "feedback", flow, "").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["rating"], &listed[0]["content"]),
        (&json!("THUMBS_DOWN"), &json!(null))
    );
}

#[tokio::test]
async fn a24_only_documented_fields_are_taken_and_each_has_its_type_and_length() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let message = answer(&stage.server, flow, "c").await;
    let anyone = stage.server.anyone();
    let path = format!("/api/v1/feedback/{flow}");
    let with = |key: &str, value: Value| {
        let mut body = json!({"messageId": message, "chatId": "c", "rating": "THUMBS_UP"});
        body[key] = value;
        body
    };
    for (wrong, names) in [
        (json!({}), "Message ID is required"),
        (with("messageId", json!("x")), "messageId"),
        (with("messageId", json!({"$ne": ""})), "messageId"),
        (with("chatId", json!("d")), "chat ID"),
        (with("chatflowid", json!(MISSING)), "chatflow ID"),
        (with("chatflowid", json!("../x")), "chatflowid"),
        (with("rating", json!("GREAT")), "rating"),
        (with("rating", json!(5)), "rating"),
        (with("content", json!("x".repeat(8193))), "content"),
        (with("content", json!(["x"])), "content"),
        (json!([with("rating", json!("THUMBS_UP"))]), "object"),
    ] {
        let message = anyone.post(&path, &wrong).await.expect_error(400);
        assert!(message.contains(names), "{wrong}: {message}");
    }
    let padded = with("content", json!("x".repeat(17 * 1024)));
    anyone.post(&path, &padded).await.expect_error(413);
    anyone.post(&path, &with("messageId", json!(MISSING))).await.expect_error(404);
    assert!(rows(&stage.server, "feedback", flow, "").await.is_empty(), "a refused one was stored");
    let mut greedy = with("id", json!(MISSING));
    greedy["createdDate"] = json!("2001-01-01T00:00:00.000Z");
    greedy["__proto__"] = json!({"rating": "THUMBS_DOWN"});
    let row = anyone.post(&path, &greedy).await.expect(200).json();
    assert_ne!(row["id"], MISSING);
    assert!(!row["createdDate"].as_str().unwrap().starts_with("2001"), "{row}");
}

#[tokio::test]
async fn a8_a_message_is_rated_in_its_own_chatflow_only() {
    let stage = Stage::set().await;
    let (own, other) = (stage.flow("b-conversation"), stage.flow("a-llmchain"));
    let message = answer(&stage.server, own, "c").await;
    let body = json!({"messageId": message, "rating": "THUMBS_UP"});
    let anyone = stage.server.anyone();
    let elsewhere = anyone.post(&format!("/api/v1/feedback/{other}"), &body).await;
    let invented = json!({"messageId": MISSING, "rating": "THUMBS_UP"});
    let unknown = anyone.post(&format!("/api/v1/feedback/{other}"), &invented).await;
    let told = elsewhere.expect_error(404).replace(&message, MISSING);
    assert_eq!(told, unknown.expect_error(404), "it is told that the message exists");
    let mut named = body.clone();
    named["chatflowid"] = json!(other);
    anyone.post("/api/v1/feedback", &named).await.expect_error(404);
    anyone.post(&format!("/api/v1/feedback/{MISSING}"), &body).await.expect_error(404);
}

#[tokio::test]
async fn a8_feedback_and_leads_of_a_protected_chatflow_need_its_key_and_its_page() {
    let stage = Stage::set().await;
    let flow = stage.flow("g-protected");
    let (_, other_key) = stage.server.api_key("another").await;
    let right = || stage.server.anyone().bearer(&stage.key_of_flow_g);
    let message = answer_to(&right(), flow, "c").await;
    let rating = json!({"messageId": message, "chatflowid": flow, "rating": "THUMBS_UP"});
    let unnamed = json!({"messageId": message, "rating": "THUMBS_UP"});
    let lead = json!({"chatflowid": flow, "name": "Ann"});
    let in_flow = format!("/api/v1/feedback/{flow}");
    let posts = [
        (in_flow.as_str(), &rating),
        ("/api/v1/feedback", &rating),
        ("/api/v1/feedback", &unnamed),
        ("/api/v1/leads", &lead),
        ("/api/v1/leads/", &lead),
    ];
    for (path, body) in posts {
        let anyone = stage.server.anyone();
        for caller in [anyone.clone(), anyone.bearer(&other_key), stage.server.operator()] {
            assert_eq!(caller.post(path, body).await.expect_error(401), "Unauthorized", "{path}");
        }
    }
    assert!(rows(&stage.server, "leads", flow, "").await.is_empty(), "a refused lead was stored");
    let row = right().post(&in_flow, &rating).await.expect(200).json();
    let own = format!("/api/v1/feedback/{}", row["id"].as_str().unwrap());
    let change = json!({"content": "x"});
    stage.server.anyone().put(&own, &change).await.expect_error(401);
    right().put(&own, &change).await.expect(200);
    right().post("/api/v1/leads/", &lead).await.expect(200);

    let config = json!({"chatbotConfig": "{\"allowedOrigins\": [\"https://good.example\"]}"});
    stage.server.operator().put(&format!("/api/v1/chatflows/{flow}"), &config).await.expect(200);
    let evil = || right().with("origin", "https://evil.example");
    for (path, body) in posts {
        evil().post(path, body).await.expect_error(403);
    }
    evil().put(&own, &change).await.expect_error(403);
    right().with("origin", "https://good.example").put(&own, &change).await.expect(200);
}

#[tokio::test]
async fn a8_reading_is_the_operators() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    for path in [format!("/api/v1/feedback/{flow}"), format!("/api/v1/leads/{flow}")] {
        for caller in [
            stage.server.anyone(),
            stage.server.anyone().with("x-request-from", "internal"),
            stage.server.anyone().bearer("wrong"),
        ] {
            caller.get(&path).await.assert_turned_away(&path);
        }
        assert_eq!(stage.server.operator().get(&path).await.expect(200).json(), json!([]));
        stage.server.operator().get(&format!("{path}?nope=1")).await.expect_error(400);
        stage.server.operator().get(&format!("{path}?startDate=yesterday")).await.expect_error(400);
    }
    stage.server.operator().get(&format!("/api/v1/leads/{MISSING}")).await.expect_error(404);
}

#[tokio::test]
async fn a_long_list_comes_whole_in_order_and_between_dates() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let anyone = server.anyone();
    let posts = (0..520).map(|n| {
        let body =
            json!({"chatflowid": flow, "chatId": format!("c{}", n % 2), "name": n.to_string()});
        let anyone = anyone.clone();
        async move { anyone.post("/api/v1/leads", &body).await.expect(200) }
    });
    futures::future::join_all(posts).await;
    let all = rows(&server, "leads", &flow, "").await;
    assert_eq!(all.len(), 520);
    let dates: Vec<_> = all.iter().map(|row| row["createdDate"].as_str().unwrap()).collect();
    assert!(dates.is_sorted());
    let reversed = rows(&server, "leads", &flow, "order=DESC").await;
    assert_eq!(reversed.into_iter().rev().collect::<Vec<_>>(), all);
    assert_eq!(rows(&server, "leads", &flow, "chatId=c1").await.len(), 260);
    assert_eq!(
        rows(&server, "leads", &flow, "startDate=2001-01-01&endDate=2001-01-02").await,
        [] as [Value; 0]
    );
    let since = format!("startDate={}", dates[500]);
    assert!(rows(&server, "leads", &flow, &since).await.len() >= 20);
}

#[tokio::test]
async fn deleting_a_session_or_a_chatflow_deletes_what_was_said_about_it() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    for chat in ["s1", "s10"] {
        let message = answer(&stage.server, flow, chat).await;
        let body = json!({"messageId": message, "rating": "THUMBS_UP"});
        let path = format!("/api/v1/feedback/{flow}");
        stage.server.anyone().post(&path, &body).await.expect(200);
        let lead = json!({"chatflowid": flow, "chatId": chat, "name": "Ann"});
        stage.server.anyone().post("/api/v1/leads", &lead).await.expect(200);
    }
    let operator = stage.server.operator();
    operator.delete(&format!("/api/v1/chatmessage/{flow}?sessionId=s1")).await.expect(200);
    let left = rows(&stage.server, "feedback", flow, "").await;
    assert_eq!((left.len(), &left[0]["chatId"]), (1, &json!("s10")));
    assert_eq!(rows(&stage.server, "leads", flow, "").await.len(), 2, "leads are the operator's");
    operator.delete(&format!("/api/v1/chatmessage/{flow}")).await.expect(200);
    assert!(rows(&stage.server, "feedback", flow, "").await.is_empty());
    let row = operator.get(&format!("/api/v1/chatflows/{flow}")).await.expect(200).json();
    operator.delete(&format!("/api/v1/chatflows/{flow}")).await.expect(200);
    operator.post("/api/v1/chatflows", &row).await.expect(200);
    assert!(
        rows(&stage.server, "leads", flow, "").await.is_empty(),
        "a lead outlived its chatflow"
    );
}

#[tokio::test]
async fn a_lead_is_left_and_listed_as_recorded() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation").to_owned();
    let create = golden::load("leads-create");
    let lead = body(&create, &[("chatflowid", &flow)]);
    let created = stage.server.anyone().post("/api/v1/leads", &lead).await;
    assert_same_answer(&create, &created);
    let list = golden::load("leads-list");
    assert_same_answer(&list, &stage.send_as(stage.server.operator(), &list).await);
}

#[tokio::test]
async fn a_lead_takes_what_forms_send_and_nothing_else() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let anyone = stage.server.anyone();
    let typed = json!({"chatflowid": flow, "phone": 12345, "id": MISSING, "isAdmin": true});
    let row = anyone.post("/api/v1/leads/", &typed).await.expect(200).json();
    assert_eq!((&row["phone"], &row["name"]), (&json!("12345"), &json!(null)));
    assert_ne!(row["id"], MISSING);
    assert!(row.get("isAdmin").is_none() && row["chatId"].as_str().unwrap().len() == 36, "{row}");
    for (wrong, status) in [
        (json!({"name": "Ann"}), 400),
        (json!({"chatflowid": MISSING, "name": "Ann"}), 404),
        (json!({"chatflowid": "../../x", "name": "Ann"}), 400),
        (json!({"chatflowid": flow, "chatId": "a\u{0}b"}), 400),
        (json!({"chatflowid": flow, "name": {"a": 1}}), 400),
        (json!({"chatflowid": flow, "email": "x".repeat(513)}), 400),
        (json!({"chatflowid": flow, "email": "x".repeat(17 * 1024)}), 413),
    ] {
        anyone.post("/api/v1/leads", &wrong).await.expect_error(status);
    }
    assert_eq!(rows(&stage.server, "leads", flow, "").await.len(), 1);
}
