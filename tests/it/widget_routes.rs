//! What an embedded chat window, a public page and the operator's screens ask
//! for besides predictions, answered as recorded, and nothing more than that.

use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};

use crate::replay::{Stage, assert_same_answer, assert_same_upstream};
use crate::support::golden::{self, Golden};
use crate::support::server::{PASSWORD, USERNAME};
use crate::support::shape::differences;
use crate::support::{Flow, Parlor, Reply, Scripted, raw};

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

/// The recorded path, for a chatflow here.
fn path_of(exchange: &Golden, id: &str) -> String {
    let (route, _) = exchange.path.rsplit_once('/').expect("an id at the end");
    format!("{route}/{id}")
}

/// The recorded request for a chatflow here, as anyone.
async fn get(server: &Parlor, exchange: &Golden, id: &str) -> Reply {
    server.anyone().get(&path_of(exchange, id)).await
}

async fn install_with(server: &Parlor, flow: &str, column: &str, value: &Value) -> String {
    let mut row = Flow::golden(flow).row(flow);
    row[column] = Value::from(value.to_string());
    server.install_row(&row).await
}

#[tokio::test]
async fn the_widget_gets_its_settings_as_recorded_and_none_of_the_servers() {
    let server = Parlor::start();
    let exchange = golden::load("public-chatbotconfig-crud");
    let config = json!({
        "botMessage": {"showAvatar": false}, "allowedOrigins": ["https://ok.example"],
        "allowedOriginsError": "no way", "postProcessing": {"enabled": true, "customFunction": "x"}
    });
    let id = install_with(&server, "k-llmchain-nostream", "chatbotConfig", &config).await;
    let shown = get(&server, &exchange, &id).await.expect(200).json();
    assert_eq!(differences(&exchange.response().json(), &shown), Vec::<String>::new());
    assert!(!shown.to_string().contains("postProcessing"), "{shown}");
    assert_eq!(shown["isTTSEnabled"], false, "what widgets of 3.1 ask for");

    let exchange = golden::load("public-chatbotconfig-j");
    let config = json!({"fullFileUpload": {"status": true}});
    let id = install_with(&server, "j-upsert", "chatbotConfig", &config).await;
    assert_same_answer(&exchange, &get(&server, &exchange, &id).await);
}

#[tokio::test]
async fn what_may_be_uploaded_is_told_as_recorded() {
    let server = Parlor::start();
    let speech = json!({"localAISTT": {"status": true, "credentialId": "hush"}});
    for (name, flow) in [
        ("chatflows-uploads-b-conversation", "b-conversation"),
        ("chatflows-uploads-f-speech", "f-speech"),
        ("chatflows-uploads-j-upsert", "j-upsert"),
    ] {
        let exchange = golden::load(name);
        let heard = if flow == "f-speech" { &speech } else { &json!({}) };
        let id = install_with(&server, flow, "speechToText", heard).await;
        let reply = get(&server, &exchange, &id).await;
        assert_same_answer(&exchange, &reply);
        let config = server.anyone().get(&format!("/api/v1/public-chatbotConfig/{id}")).await;
        assert_eq!(config.expect(200).json()["uploads"], reply.json());
    }
}

#[tokio::test]
async fn a_chatflow_is_shown_to_strangers_as_recorded_once_it_is_public() {
    let server = Parlor::start();
    let exchange = golden::load("public-chatflows-public");
    let mut row = exchange.response().json();
    row.as_object_mut().unwrap().retain(|key, _| !key.ends_with("Date") && key != "id");
    row["isPublic"] = json!(false);
    let id = server.install_row(&row).await;
    let refused = get(&server, &exchange, &id).await;
    assert_eq!(refused.expect_error(401), "Unauthorized");
    let path = format!("/api/v1/chatflows/{id}");
    server.operator().put(&path, &json!({"isPublic": true})).await.expect(200);
    assert_same_answer(&exchange, &get(&server, &exchange, &id).await);
}

#[tokio::test]
async fn a_public_chatflow_shows_neither_keys_nor_credentials() {
    let server = Parlor::start();
    let credential = server.openai_credential().await;
    let (key, _) = server.api_key("of the flow").await;
    let mut flow = Flow::golden("b-conversation").with_openai(&credential, "http://secret.host/v1");
    flow.data("chatOpenAI_0")["inputs"]["baseOptions"] = json!({"Authorization": "Bearer hush"});
    let mut row = flow.row("public");
    row["isPublic"] = json!(true);
    row["apikeyid"] = json!(key);
    row["speechToText"] = json!("{\"openAIWhisper\": {\"credentialId\": \"hush\"}}");
    row["analytic"] = json!("{\"langSmith\": {\"credentialId\": \"hush\"}}");
    let id = server.install_row(&row).await;
    let shown = server.anyone().get(&format!("/api/v1/public-chatflows/{id}")).await.expect(200);
    for secret in [credential.as_str(), key.as_str(), "hush", "secret.host"] {
        assert!(!shown.body.contains(secret), "{secret} in {}", shown.body);
    }
    assert!(shown.body.contains("chatOpenAI_0") && shown.body.contains("gpt-4o-mini"));
}

#[tokio::test]
async fn a_chatflow_that_is_not_there_is_not_found_on_every_public_route() {
    let server = Parlor::start();
    let long = "x".repeat(5000);
    for route in ["public-chatbotConfig", "public-chatflows", "chatflows-uploads"] {
        for id in [MISSING, "not-a-uuid", "..%2f..%2fetc", "%00", long.as_str()] {
            let reply = server.anyone().get(&format!("/api/v1/{route}/{id}")).await;
            let message = reply.expect_error(404);
            assert!(message.contains("not found") && message.len() < 400, "{route}: {message}");
        }
    }
}

#[tokio::test]
async fn every_route_that_a_page_calls_answers_its_preflight_without_credentials() {
    let server = Parlor::start();
    let paths = [
        format!("public-chatbotConfig/{MISSING}"),
        format!("public-chatflows/{MISSING}"),
        format!("chatflows-uploads/{MISSING}"),
        "feedback".to_owned(),
        format!("feedback/{MISSING}"),
        "leads".to_owned(),
        "leads/".to_owned(),
        format!("chatmessage/abort/{MISSING}/c"),
    ];
    for path in paths {
        let page = server.anyone().with("origin", "https://page.example");
        let page = page.with("access-control-request-headers", "content-type");
        let reply = page.send(Method::OPTIONS, &format!("/api/v1/{path}"), None).await.expect(204);
        let header = |name: &str| reply.header(name);
        assert_eq!(header("access-control-allow-origin"), Some("https://page.example"), "{path}");
        assert_eq!(header("access-control-allow-headers"), Some("content-type"), "{path}");
        assert_eq!(header("access-control-allow-credentials"), None, "{path}");
    }
}

#[tokio::test]
async fn the_head_of_a_route_has_its_status_and_no_body() {
    let server = Parlor::start();
    let id = server.install("flow", &Flow::golden("k-llmchain-nostream")).await;
    let pair = base64::prelude::BASE64_STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    let operator = format!("Authorization: Basic {pair}");
    for (path, who, status) in [
        ("/api/v1/ping".to_owned(), "X-Who: anyone", 200),
        (format!("/api/v1/public-chatbotConfig/{id}"), "X-Who: anyone", 200),
        (format!("/api/v1/public-chatbotConfig/{MISSING}"), "X-Who: anyone", 404),
        ("/api/v1/chatflows".to_owned(), "X-Who: anyone", 401),
        ("/api/v1/chatflows".to_owned(), operator.as_str(), 200),
        (format!("/api/v1/leads/{id}"), operator.as_str(), 200),
    ] {
        let text = format!(
            "HEAD {path} HTTP/1.1\r\nHost: x\r\n{who}\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let reply = raw::exchange(server.address(), text.as_bytes()).await;
        assert_eq!(reply.status, status, "{path}");
        // What follows the head is the next answer, not a body.
        let next_or_nothing = reply.body.is_empty() || reply.body.starts_with("HTTP/1.1 404");
        assert!(next_or_nothing, "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn a_caller_is_told_its_own_address_whatever_it_claims() {
    let server = Parlor::start();
    let recorded = golden::load("ip").response().json();
    let caller = server.anyone().with("x-forwarded-for", "203.0.113.9");
    let shown = caller.get("/api/v1/ip").await.expect(200).json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shown), keys(&recorded));
    assert_eq!(shown["ip"], "127.0.0.1");
}

#[tokio::test]
async fn nodes_are_listed_to_the_operator_and_their_pictures_to_anyone() {
    let server = Parlor::start();
    let nodes = server.operator().get("/api/v1/nodes").await.expect(200).json();
    let nodes = nodes.as_array().unwrap();
    assert!(nodes.len() > 5);
    for node in nodes {
        let name = node["name"].as_str().unwrap();
        let one = server.operator().get(&format!("/api/v1/nodes/{name}")).await.expect(200);
        assert_eq!(one.json(), *node);
        assert!(node["version"].to_string().len() <= 4, "{name} {}", node["version"]);
        let icon = server.anyone().get(&format!("/api/v1/node-icon/{name}")).await.expect(200);
        assert_eq!(icon.media_type(), "image/svg+xml");
        assert_eq!(icon.header("x-content-type-options"), Some("nosniff"));
        assert!(icon.body.starts_with("<svg"), "{icon:?}");
    }
    let credential = server.anyone().get("/api/v1/components-credentials-icon/openAIApi").await;
    assert_eq!(credential.expect(200).media_type(), "image/svg+xml");
    for unknown in ["node-icon/nope", "node-icon/..%2f..%2fetc", "components-credentials-icon/x"] {
        server.anyone().get(&format!("/api/v1/{unknown}")).await.expect_error(404);
    }
    server.operator().get("/api/v1/nodes/nope").await.expect_error(404);
}

#[tokio::test]
async fn the_operator_sees_what_a_request_may_change() {
    let server = Parlor::start();
    let stored = golden::load("chatflow-get-h").response().json();
    let mut row = Flow::golden("h-override").row("Overridable");
    row["apiConfig"] = stored["apiConfig"].clone();
    let id = server.install_row(&row).await;
    let path = format!("/api/v1/flow-config/{id}");
    let rows = server.operator().get(&path).await.expect(200).json();
    let row = |name: &str| {
        let found = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {rows}")).clone()
    };
    let recorded = json!({"node": "ChatOpenAI", "nodeId": "chatOpenAI_0", "label": "Temperature",
                          "name": "temperature", "type": "number"});
    assert_eq!(differences(&recorded, &row("temperature")), Vec::<String>::new());
    let open = ["temperature", "basepath", "openAIApiKey"].map(|name| row(name)["open"].clone());
    assert_eq!(open, [json!(true), json!(false), json!(false)], "apiConfig enables all three");
    assert_eq!(row("imageResolution")["type"], "low, high, auto");
}

#[tokio::test]
async fn a_chatflow_is_changed_and_shown_as_recorded() {
    let server = Parlor::start();
    let id = server.install("Overridable", &Flow::golden("h-override")).await;
    let put = golden::load("chatflow-put-apiconfig");
    let body: Value = serde_json::from_str(&put.body).unwrap();
    let changed = server.operator().put(&path_of(&put, &id), &body).await;
    let shown = server.operator().get(&path_of(&put, &id)).await.expect(200).json();
    assert_eq!(changed.expect(200).json(), shown);
    let recorded = golden::load("chatflow-get-h").response().json();
    let names = |row: &Value| {
        let mut names: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(&shown), names(&recorded));
    assert_eq!(shown["apiConfig"], body["apiConfig"]);
}

#[tokio::test]
async fn imported_chatflows_never_overwrite_what_is_stored() {
    let server = Parlor::start();
    let row = |id: &str, name: &str| json!({"id": id, "name": name, "flowData": "{\"nodes\":[],\"edges\":[]}", "type": "CHATFLOW"});
    let path = "/api/v1/chatflows/importchatflows";
    let body = json!({"Chatflows": [row(MISSING, "one"), row(MISSING, "two")]});
    let result = server.operator().post(path, &body).await.expect(200).json();
    let keys: Vec<_> = result.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["identifiers", "generatedMaps", "raw"]);
    assert_eq!(result["identifiers"][0]["id"], MISSING);
    let bad = json!({"Chatflows": [row(MISSING, "three"), {"name": "no flow"}]});
    let message = server.operator().post(path, &bad).await.expect_error(400);
    assert!(message.contains("Chatflows[1]") && message.contains("flowData"), "{message}");
    let rows = server.operator().get("/api/v1/chatflows?type=CHATFLOW").await.expect(200).json();
    let mut names: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, [json!("one"), json!("two (1)")]);
    server.operator().post(path, &json!({})).await.expect_error(400);
}

#[tokio::test]
async fn the_operators_own_predictions_answer_as_recorded() {
    let stage = Stage::set().await;
    for name in ["internal-prediction-stream", "internal-prediction"] {
        let exchange = golden::load(name);
        stage.model.take_received();
        let reply = stage.send_as(stage.server.operator(), &exchange).await;
        assert_same_answer(&exchange, &reply);
        assert_same_upstream(name, &stage.model.take_received());
        // The header that Flowise took for a sign of its own screens opens nothing.
        stage.send(&exchange).await.assert_turned_away(name);
    }
    let path = format!("/api/v1/chatmessage/{}?sessionId=int-1", stage.flow("b-conversation"));
    let rows = stage.server.operator().get(&path).await.expect(200).json();
    assert!(rows.as_array().unwrap().iter().all(|row| row["chatType"] == "INTERNAL"), "{rows}");
}

#[tokio::test]
async fn the_operator_needs_no_key_of_the_chatflow_and_keeps_to_the_memorys_own_session() {
    let stage = Stage::set().await;
    let path = format!("/api/v1/internal-prediction/{}", stage.flow("g-protected"));
    let body = json!({"question": "hi"});
    stage.server.operator().post(&path, &body).await.expect(200);
    let key = json!({"keyName": "guest", "scopes": ["predict"]});
    let keys = stage.server.operator().post("/api/v1/apikey", &key).await.expect(200).json();
    let key = keys.as_array().unwrap().iter().find(|row| row["keyName"] == "guest").unwrap();
    let guest = stage.server.anyone().bearer(key["apiKey"].as_str().unwrap());
    guest.post(&path, &body).await.assert_turned_away("a key that may only predict");
    let model = Scripted::saying("Hello.").await;
    let credential = stage.server.openai_credential().await;
    let flow = Flow::golden("b-conversation")
        .with_openai(&credential, &model.basepath())
        .with_input("bufferMemory_0", "sessionId", json!("typed"));
    let id = stage.server.install("typed", &flow).await;
    let body = json!({"question": "hi", "chatId": "c", "overrideConfig": {"sessionId": "s"}});
    let path = format!("/api/v1/internal-prediction/{id}");
    let reply = stage.server.operator().post(&path, &body).await.expect(200).json();
    assert_eq!((&reply["sessionId"], &reply["chatId"]), (&json!("typed"), &json!("c")));
    let reply = stage.server.ask(&id, &body).await.expect(200).json();
    assert_eq!(reply["sessionId"], "s", "an external call names its own session");
}
