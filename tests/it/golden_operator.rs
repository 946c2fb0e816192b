//! The operator's routes answer as recorded, but to those who may call them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::replay::{FLOWS, Stage, assert_same_answer};
use crate::support::server::{PASSWORD, USERNAME};
use crate::support::shape::differences;
use crate::support::{Caller, Parlor, golden};

/// The keys of a row.
fn keys(row: &Value) -> BTreeSet<&str> {
    row.as_object().expect("a row").keys().map(String::as_str).collect()
}

async fn talk_three_times(stage: &Stage) {
    stage.replay("b-session-1").await;
    stage.replay("b-session-2").await;
    let body = json!({"question": "And again?", "overrideConfig": {"sessionId": "sess-1"}});
    stage.server.ask(stage.flow("b-conversation"), &body).await.expect(200);
}

#[tokio::test]
async fn the_messages_of_a_session_are_shown_as_recorded() {
    let stage = Stage::set().await;
    talk_three_times(&stage).await;
    for name in ["chatmessage-get-q-sessionId_sess_1_order_ASC", "chatmessage-get-q-sessionId_"] {
        let exchange = golden::load(name);
        let reply = stage.send_as(stage.server.operator(), &exchange).await;
        assert_same_answer(&exchange, &reply);
    }
}

#[tokio::test]
async fn sort_and_order_both_turn_the_messages_round_in_any_case() {
    let stage = Stage::set().await;
    talk_three_times(&stage).await;
    let flow = stage.flow("b-conversation");
    let oldest_first = stage.server.messages(flow, "sessionId=sess-1").await;
    assert_eq!(oldest_first.len(), 6);
    let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
    for query in ["sort=DESC", "order=DESC", "order=desc", "sort=desc"] {
        let query = format!("sessionId=sess-1&{query}");
        assert_eq!(stage.server.messages(flow, &query).await, newest_first, "{query}");
    }
}

#[tokio::test]
async fn deleting_a_session_answers_as_recorded_and_leaves_its_neighbours() {
    let stage = Stage::set().await;
    talk_three_times(&stage).await;
    let flow = stage.flow("b-conversation");
    for neighbour in ["sess-", "sess-10", "sess-1_x"] {
        let body = json!({"question": "hi", "overrideConfig": {"sessionId": neighbour}});
        stage.server.ask(flow, &body).await.expect(200);
    }
    let exchange = golden::load("chatmessage-delete-session");
    assert_same_answer(&exchange, &stage.send_as(stage.server.operator(), &exchange).await);
    let again = stage.send_as(stage.server.operator(), &exchange).await.expect(200).json();
    assert_eq!(again, json!({"raw": [], "affected": 0}));
    assert_eq!(stage.server.messages(flow, "").await.len(), 6, "a neighbour lost messages");
}

#[tokio::test]
async fn a_chatflow_is_stored_shown_changed_and_deleted() {
    let server = Parlor::start();
    let operator = server.operator();
    let posted = golden::load("chatflows-post");
    let body: Value = serde_json::from_str(&posted.body).unwrap();
    let row = operator.post("/api/v1/chatflows", &body).await.expect(200).json();
    assert_eq!(differences(&posted.response().json(), &row), Vec::<String>::new());
    let path = format!("/api/v1/chatflows/{}", row["id"].as_str().unwrap());
    let shown = operator.get(&path).await.expect(200).json();
    assert_eq!(keys(&shown), keys(&golden::load("chatflows-get").response().json()));
    assert_eq!((&shown["name"], &shown["flowData"]), (&body["name"], &body["flowData"]));
    let changed = operator.put(&path, &json!({"name": "Renamed"})).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["category"]), (&json!("Renamed"), &body["category"]));
    let gone = operator.delete(&path).await.expect(200).json();
    assert_eq!(gone, json!({"raw": [], "affected": 1}));
    operator.get(&path).await.expect_error(404);
}

#[tokio::test]
async fn chatflows_are_listed_by_their_type_as_recorded() {
    let stage = Stage::set().await;
    let exchange = golden::load("chatflows-list-key");
    assert_same_answer(&exchange, &stage.send_as(stage.server.operator(), &exchange).await);
    let rows = stage.server.operator().get("/api/v1/chatflows").await.expect(200).json();
    let made: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["createdDate"]).collect();
    assert_eq!(made.len(), FLOWS.len());
    assert!(made.is_sorted_by_key(|date| date.as_str()), "the oldest comes first: {made:?}");
}

#[tokio::test]
async fn credentials_are_listed_as_recorded_all_or_by_their_kind() {
    let server = Parlor::start();
    for (name, kind) in [("mock-openai", "openAIApi"), ("mock-localai", "localAIApi")] {
        let body = json!({"name": name, "credentialName": kind, "plainDataObj": {"key": "hush"}});
        server.operator().post("/api/v1/credentials", &body).await.expect(200);
    }
    let exchange = golden::load("credentials-list");
    let recorded = exchange.response().json();
    let recorded: BTreeSet<_> = recorded.as_array().unwrap().iter().map(named).collect();
    let listed = server.operator().get(&exchange.path).await.expect(200).json();
    assert_eq!(listed.as_array().unwrap().iter().map(named).collect::<BTreeSet<_>>(), recorded);
    for (query, expected) in [
        ("credentialName=openAIApi", vec!["mock-openai"]),
        ("credentialName=openAIApi&credentialName=localAIApi", vec!["mock-localai", "mock-openai"]),
        ("credentialName=redisCacheApi", vec![]),
    ] {
        let path = format!("{}?{query}", exchange.path);
        let rows = server.operator().get(&path).await.expect(200).json();
        let rows = rows.as_array().unwrap().clone();
        let names: BTreeSet<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

/// The keys of a credential in their order, its name and kind.
fn named(row: &Value) -> (Vec<String>, String, String) {
    let keys = row.as_object().expect("a row").keys().cloned().collect();
    (keys, row["name"].to_string(), row["credentialName"].to_string())
}

#[tokio::test]
async fn a_chatflow_row_that_cannot_be_stored_is_a_bad_request() {
    let server = Parlor::start();
    for name in ["chatflows-post-badflowdata", "chatflows-post-empty", "chatflows-post-noname"] {
        let body: Value = serde_json::from_str(&golden::load(name).body).unwrap();
        server.operator().post("/api/v1/chatflows", &body).await.expect_error(400);
    }
    let missing = golden::load("chatflows-get-missing");
    server.operator().get(&missing.path).await.expect_error(404);
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    assert_eq!(rows, json!([]), "a refused row was stored");
}

#[tokio::test]
async fn a_place_that_the_chatflow_does_not_allow_is_refused_as_recorded() {
    let stage = Stage::set().await;
    let path = format!("/api/v1/chatflows/{}", stage.flow("a-llmchain"));
    let config =
        json!({"allowedOrigins": ["https://good.example"], "allowedOriginsError": "no way"});
    let body = json!({"chatbotConfig": config.to_string()});
    stage.server.operator().put(&path, &body).await.expect(200);
    let guest = stage.server.anyone().with("origin", "https://evil.example");
    let prediction = format!("/api/v1/prediction/{}", stage.flow("a-llmchain"));
    let refused = guest.post(&prediction, &json!({"question": "hi"})).await;
    assert_same_answer(&golden::load("crud-origin-refused"), &refused);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://evil.example"));
    let refused = guest.post(&prediction, &json!({"question": "hi", "streaming": true})).await;
    assert_same_answer(&golden::load("crud-origin-refused-stream"), &refused);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://evil.example"));
    let friend = stage.server.anyone().with("origin", "https://good.example");
    friend.post(&prediction, &json!({"question": "hi"})).await.expect(200);
}

#[tokio::test]
async fn the_operator_is_known_by_basic_auth_or_by_a_key_and_by_nothing_else() {
    let stage = Stage::set().await;
    let (_, key) = stage.server.api_key("operator").await;
    let anyone = || stage.server.anyone();
    let internal = |caller: Caller| caller.with("x-request-from", "internal");
    let mended = "recorded as refused, mended";
    let cases: [(&str, Caller, u16, &str); 10] = [
        ("none", anyone(), 401, "as recorded"),
        ("internal-none", internal(anyone()), 401, "as recorded"),
        ("internal-wrong", internal(anyone().basic(USERNAME, "wrong")), 401, "as recorded"),
        ("external-basic-wrong", anyone().basic(USERNAME, "wrong"), 401, "as recorded"),
        ("key-wrong", anyone().bearer("x"), 401, "as recorded"),
        ("key-prefix", anyone().bearer(&key[..key.len() - 1]), 401, "a prefix opens nothing"),
        ("key-right", anyone().bearer(&key), 200, "as recorded"),
        ("internal-key", internal(anyone().bearer(&key)), 200, mended),
        ("external-basic-right", anyone().basic(USERNAME, PASSWORD), 200, mended),
        ("internal-basic-right", internal(anyone().basic(USERNAME, PASSWORD)), 200, "as recorded"),
    ];
    let flow = stage.flow("b-conversation");
    let paths = [format!("/api/v1/chatflows/{flow}"), format!("/api/v1/chatmessage/{flow}")];
    for (name, caller, status, why) in cases {
        for path in &paths {
            let reply = caller.get(path).await;
            assert_eq!(reply.status, status, "{name} ({why}): {path}: {reply:?}");
            if status == 401 {
                reply.assert_turned_away(name);
            }
        }
    }
}
