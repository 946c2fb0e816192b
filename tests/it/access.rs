//! Who may call what: operators, keys of chatflows, and everybody else.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{PASSWORD, USERNAME};
use crate::support::{Answer, Parlor, Scripted, raw};

const ID: &str = "00000000-0000-4000-8000-000000000000";

/// Every operator route of this version, with a body where one is taken.
fn operator_routes() -> Vec<(Method, String, Option<Value>)> {
    let row = json!({"name": "x", "flowData": "{\"nodes\":[],\"edges\":[]}"});
    let secret = json!({"name": "x", "credentialName": "openAIApi", "plainDataObj": {}});
    let key = json!({"keyName": "x"});
    let route = |method: Method, path: &str, body: Option<&Value>| {
        (method, format!("/api/v1/{path}"), body.cloned())
    };
    let chatflow = format!("chatflows/{ID}");
    let message = format!("chatmessage/{ID}");
    vec![
        route(Method::GET, "chatflows", None),
        route(Method::POST, "chatflows", Some(&row)),
        route(Method::GET, &chatflow, None),
        route(Method::PUT, &chatflow, Some(&row)),
        route(Method::DELETE, &chatflow, None),
        route(Method::POST, "rows/import", Some(&json!({"kind": "chatflow", "row": row}))),
        route(Method::GET, "messages/export", None),
        route(Method::GET, "backup", None),
        route(Method::GET, "verify", None),
        route(Method::GET, "runtime", None),
        route(Method::POST, "messages/import", Some(&json!({"id": ID}))),
        route(Method::GET, "credentials", None),
        route(Method::POST, "credentials", Some(&secret)),
        route(Method::GET, "apikey", None),
        route(Method::POST, "apikey", Some(&key)),
        route(Method::PUT, &format!("apikey/{ID}"), Some(&key)),
        route(Method::DELETE, &format!("apikey/{ID}"), None),
        route(Method::POST, &format!("apikey/{ID}/rotate"), Some(&json!({}))),
        route(Method::POST, "apikey/import", Some(&json!({}))),
        route(Method::GET, "variables", None),
        route(Method::POST, "variables", Some(&json!({"name": "x", "value": "y"}))),
        route(Method::PUT, &format!("variables/{ID}"), Some(&json!({"value": "y"}))),
        route(Method::DELETE, &format!("variables/{ID}"), None),
        route(Method::POST, "chatflows/importchatflows", Some(&row)),
        route(Method::POST, &format!("internal-prediction/{ID}"), Some(&row)),
        route(Method::GET, &format!("flow-config/{ID}"), None),
        route(Method::GET, &format!("feedback/{ID}"), None),
        route(Method::GET, &format!("leads/{ID}"), None),
        route(Method::POST, &format!("vector/internal-upsert/{ID}"), Some(&json!({}))),
        route(Method::DELETE, &format!("vector/{ID}"), Some(&json!({"all": true}))),
        route(Method::GET, "upserts", None),
        route(Method::GET, "upsert-history", None),
        route(Method::GET, &format!("upsert-history/{ID}"), None),
        route(Method::PATCH, "upsert-history", Some(&json!({"ids": [ID]}))),
        route(Method::GET, "nodes", None),
        route(Method::GET, "nodes/chatOpenAI", None),
        route(Method::GET, &message, None),
        route(Method::DELETE, &message, None),
    ]
}

#[tokio::test]
async fn a3_every_operator_route_refuses_a_caller_without_credentials() {
    let server = Parlor::start();
    let callers = [
        ("nobody", server.anyone()),
        ("internal", server.anyone().with("x-request-from", "internal")),
        ("an empty key", server.anyone().with("authorization", "Bearer ")),
        ("a wrong key", server.anyone().bearer("wrong")),
        ("a wrong password", server.anyone().basic(USERNAME, "wrong")),
        ("no password", server.anyone().basic(USERNAME, "")),
        ("a padded password", server.anyone().basic(USERNAME, &format!("{PASSWORD} "))),
        ("another scheme", server.anyone().with("authorization", "Digest x")),
    ];
    for (method, path, body) in operator_routes() {
        for (who, caller) in &callers {
            let body = body.as_ref().map(Value::to_string);
            let reply = caller.send(method.clone(), &path, body).await;
            reply.assert_turned_away(&format!("{who}: {method} {path}"));
        }
    }
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    assert_eq!(rows, json!([]), "a refused caller stored a chatflow");
}

#[tokio::test]
async fn every_operator_route_is_open_to_basic_auth_and_to_a_key() {
    let server = Parlor::start();
    let (_, key) = server.api_key("operator").await;
    let callers = [
        server.operator(),
        server.operator().with("x-request-from", "internal"),
        server.anyone().bearer(&key),
    ];
    for (method, path, _) in operator_routes() {
        // Reading is enough to see the door open, and changes nothing.
        if method == Method::GET {
            for caller in &callers {
                let reply = caller.get(&path).await;
                assert!([200, 404].contains(&reply.status), "{path}: {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_public_routes_are_open_to_everybody() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let ping = server.anyone().get("/api/v1/ping").await.expect(200);
    assert_eq!(ping.body, "pong");
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(server.anyone().get(probe).await.expect(200).body, "ok");
    }
    let version = server.anyone().get("/api/v1/version").await.expect(200).json();
    assert_eq!(version["version"], "2.2.8");
    assert!(version["parlor"].is_string(), "{version}");
    server.anyone().get(&format!("/api/v1/chatflows-streaming/{flow}")).await.expect(200);
    server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
}

#[tokio::test]
async fn a_key_is_shown_once_and_masked_afterwards() {
    let server = Parlor::start();
    let (first_id, first) = server.api_key("first").await;
    let (_, second) = server.api_key("second").await;
    assert!(first.len() >= 40 && first != second);
    let listed = server.operator().get("/api/v1/apikey").await.expect(200);
    let made = server.operator().post("/api/v1/apikey", &json!({"keyName": "third"})).await;
    for reply in [&listed, &made] {
        assert!(!reply.body.contains(&first) && !reply.body.contains(&second), "{reply:?}");
    }
    server.anyone().bearer(&first).get("/api/v1/chatflows").await.expect(200);
    server.operator().delete(&format!("/api/v1/apikey/{first_id}")).await.expect(200);
    server.anyone().bearer(&first).get("/api/v1/chatflows").await.expect(401);
    assert!(!server.log().contains(&second), "the log shows a key");
}

#[tokio::test]
async fn a_key_made_on_the_command_line_opens_the_running_server() {
    let server = Parlor::start();
    let output = server.command(&["keys", "create", "--name", "shell", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let key = made["apiKey"].as_str().expect("the key in clear");
    server.anyone().bearer(key).get("/api/v1/chatflows").await.expect(200);
}

#[tokio::test]
async fn a_secret_of_a_credential_is_never_shown_again() {
    let server = Parlor::start();
    let secrets = json!({"openAIApiKey": "sk-do-not-show"});
    let id = server.credential("openAIApi", secrets).await;
    let listed = server.operator().get("/api/v1/credentials").await.expect(200);
    assert!(listed.body.contains(&id), "{listed:?}");
    assert!(!listed.body.contains("sk-do-not-show"), "{listed:?}");
    assert!(!listed.body.contains("encryptedData\":\""), "{listed:?}");
    assert!(!server.log().contains("sk-do-not-show"), "the log shows a secret");
}

/// A server with a chatflow that only the key `right` may call.
async fn protected() -> (Parlor, Scripted, String, String) {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let (key_id, right) = server.api_key("right").await;
    let path = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&path, &json!({"apikeyid": key_id})).await.expect(200);
    (server, model, flow, right)
}

#[tokio::test]
async fn a6_a_protected_chatflow_answers_its_own_key_only() {
    let (server, model, flow, right) = protected().await;
    let (_, other) = server.api_key("other").await;
    let path = format!("/api/v1/prediction/{flow}");
    for streaming in [false, true] {
        let body = json!({"question": "hi", "streaming": streaming});
        let callers = [
            server.anyone(),
            server.anyone().with("x-request-from", "internal"),
            server.anyone().bearer(&other),
            server.anyone().bearer(&right[..right.len() - 1]),
        ];
        for caller in callers {
            let message = caller.post(&path, &body).await.expect_error(401);
            assert!(!message.contains(&right), "{message}");
        }
        server.anyone().bearer(&right).post(&path, &body).await.expect(200);
    }
    assert_eq!(model.received().len(), 2, "a refused caller reached the model");
}

#[tokio::test]
async fn a_chatflow_whose_key_was_deleted_stays_closed() {
    let (server, model, flow, right) = protected().await;
    let rows = server.operator().get("/api/v1/apikey").await.expect(200).json();
    let row = rows.as_array().unwrap().iter().find(|row| row["keyName"] == "right").unwrap();
    let path = format!("/api/v1/apikey/{}", row["id"].as_str().unwrap());
    server.operator().delete(&path).await.expect(200);
    let path = format!("/api/v1/prediction/{flow}");
    for caller in [server.anyone(), server.anyone().bearer(&right)] {
        caller.post(&path, &json!({"question": "hi"})).await.expect_error(401);
    }
    assert!(model.received().is_empty());
}

#[tokio::test]
async fn a6_a_caller_without_the_key_is_refused_before_the_body_is_read() {
    let (server, model, flow, _) = protected().await;
    model.answer(|_| Answer::Hang);
    let head = format!(
        "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
        server.address()
    );
    // The body never comes: an answer can only mean that nobody waits for it.
    let answer = raw::exchange(server.address(), head.as_bytes());
    let reply = tokio::time::timeout(Duration::from_secs(60), answer).await.expect("an answer");
    assert_eq!(reply.status, 401, "{reply:?}");
}
