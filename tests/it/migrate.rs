//! Moving in from Flowise: what was there is here, once, and works.

use serde_json::{Value, json};

use crate::support::flowise::{Flowise, Version};
use crate::support::server::run_command;
use crate::support::{Answer, Flow, Options, Parlor, Scripted};

const FLOW: &str = "54d84c37-3f57-4c00-841d-17f95e783c4d";
const GUARDED: &str = "64d84c37-3f57-4c00-841d-17f95e783c4d";
const CREDENTIAL: &str = "99ac54ad-2a53-402d-8339-df11bb9808ee";
const KEY_ID: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE";

/// Id of a message: the role, then the turn.
fn message_id(role: u8, turn: u32) -> String {
    format!("00000000-0000-4000-8000-{role:04}{turn:08}")
}

/// A message as Flowise stores it.
fn message(role: &str, turn: u32, session: &str, date: &str) -> Value {
    json!({
        "id": message_id(u8::from(role == "apiMessage"), turn), "role": role, "chatflowid": FLOW,
        "content": format!("{role} {turn} of {session}"), "chatType": "EXTERNAL",
        "chatId": session, "sessionId": session, "memoryType": "Buffer Memory",
        "createdDate": date,
    })
}

/// A turn of a session, written when it was over.
fn add_turn(flowise: &Flowise, turn: u32, session: &str) {
    let date = |millis| format!("2025-03-04 05:{:02}:{:02}.{millis}", turn / 60, turn % 60);
    flowise.insert("chat_message", &message("userMessage", turn, session, &date(123)));
    flowise.insert("chat_message", &message("apiMessage", turn, session, &date(456)));
}

/// An installation of 2.2.8 with something of everything.
fn installation(version: Version, basepath: &str) -> Flowise {
    let flowise = Flowise::new(version);
    let flow = Flow::golden("b-conversation").with_openai(CREDENTIAL, basepath);
    let row = |id: &str, name: &str, key: Value| {
        json!({
            "id": id, "name": name, "flowData": flow.0.to_string(), "deployed": false,
            "isPublic": true, "apikeyid": key, "chatbotConfig": "{\"welcomeMessage\":\"Hi\"}",
            "category": "support;sales", "type": "CHATFLOW",
            "createdDate": "2025-01-02 03:04:05", "updatedDate": "2025-02-03 04:05:06",
        })
    };
    flowise.insert("chat_flow", &row(FLOW, "Support", Value::Null));
    flowise.insert("chat_flow", &row(GUARDED, "Guarded", json!(KEY_ID)));
    flowise.credential(CREDENTIAL, "openAIApi", &json!({"openAIApiKey": "sk-from-flowise"}));
    let variable = "84d84c37-3f57-4c00-841d-17f95e783c4d";
    flowise.insert(
        "variable",
        &json!({"id": variable, "name": "city", "value": "Oslo", "type": "static"}),
    );
    for turn in 0..3 {
        add_turn(&flowise, turn, "ann");
    }
    let key = json!({"keyName": "Old key", "apiKey": KEY, "apiSecret": "a.b", "id": KEY_ID});
    match version {
        Version::V2_2_8 => {
            let mut key = key;
            key["createdAt"] = json!("23-Nov-24");
            std::fs::write(flowise.path().join("api.json"), json!([key]).to_string()).unwrap();
        }
        Version::V3_1_3 => flowise.insert("apikey", &key),
    }
    flowise
}

/// Runs the command on the folder of a running server; its report.
fn migrate(server: &Parlor, flowise: &Flowise, more: &[&str]) -> (bool, Value) {
    let path = flowise.path().to_str().unwrap();
    let args = [&["migrate", "--flowise", path, "--json"], more].concat();
    let output = server.command(&args);
    let shown = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&shown).unwrap_or_else(|_| {
        panic!("no report: {shown}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.success(), report)
}

/// found, taken, existing and not taken of a kind.
fn counts(report: &Value, kind: &str) -> [u64; 4] {
    let kinds = report["kinds"].as_array().unwrap();
    let row = kinds.iter().find(|row| row["kind"] == kind);
    let row = row.unwrap_or_else(|| panic!("no {kind} in {report}"));
    let left = row["notTaken"].as_array().unwrap().iter();
    let left = left.map(|left| left["rows"].as_u64().unwrap()).sum();
    let count = |column: &str| row[column].as_u64().unwrap();
    [count("found"), count("taken"), count("existing"), left]
}

async fn rows(server: &Parlor, flow: &str, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/chatmessage/{flow}?{query}");
    server.operator().get(&path).await.expect(200).json().as_array().unwrap().clone()
}

/// A server whose OpenAI models are at a scripted server that echoes.
async fn with_model() -> (Parlor, Scripted) {
    (Parlor::start(), Scripted::start(|_| Answer::Echo).await)
}

#[tokio::test]
async fn everything_that_has_a_place_comes_with_its_ids_dates_and_settings() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    let (complete, report) = migrate(&server, &flowise, &[]);
    assert!(complete, "{report}");
    for (kind, n) in
        [("chatflows", 2), ("credentials", 1), ("variables", 1), ("API keys", 1), ("messages", 6)]
    {
        assert_eq!(counts(&report, kind), [n, n, 0, 0], "{kind}");
        let table = match kind {
            "chatflows" => "chat_flow",
            "credentials" => "credential",
            "variables" => "variable",
            "messages" => "chat_message",
            _ => continue,
        };
        let counted = flowise.ask_sqlite3(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(counted, n.to_string(), "{kind}");
    }
    let flow = server.operator().get(&format!("/api/v1/chatflows/{FLOW}")).await.expect(200);
    let flow = flow.json();
    for (column, value) in [
        ("name", json!("Support")),
        ("deployed", json!(false)),
        ("isPublic", json!(true)),
        ("chatbotConfig", json!("{\"welcomeMessage\":\"Hi\"}")),
        ("category", json!("support;sales")),
        ("type", json!("CHATFLOW")),
        ("createdDate", json!("2025-01-02T03:04:05.000Z")),
        ("updatedDate", json!("2025-02-03T04:05:06.000Z")),
    ] {
        assert_eq!(flow[column], value, "{column}");
    }
    let stored = rows(&server, FLOW, "sessionId=ann").await;
    let told = flowise.ask_sqlite3(
        "SELECT id || ' ' || role || ' ' || content || ' ' || replace(createdDate, ' ', 'T') || 'Z'
         FROM chat_message ORDER BY createdDate",
    );
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let shown: Vec<String> = stored
        .iter()
        .map(|row| ["id", "role", "content", "createdDate"].map(|name| text(row, name)).join(" "))
        .collect();
    assert_eq!(shown.join("\n"), told);
    assert_eq!(stored[0]["memoryType"], "Buffer Memory");
}

#[tokio::test]
async fn an_old_key_opens_its_chatflow_and_the_old_secret_reaches_the_model() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    migrate(&server, &flowise, &[]);
    let body = json!({"question": "And now?", "overrideConfig": {"sessionId": "ann"}});
    let path = format!("/api/v1/prediction/{GUARDED}");
    server.anyone().post(&path, &body).await.expect(401);
    server.anyone().bearer(&KEY.replace('Z', "z")).post(&path, &body).await.expect(401);
    server.anyone().bearer(KEY).post(&path, &body).await.expect(200);
    let received = model.take_received();
    assert_eq!(received[0].header("authorization"), Some("Bearer sk-from-flowise"));
    // The memory goes on where it stopped over there.
    server.ask(FLOW, &body).await.expect(200);
    let said = model.take_received()[0].messages();
    let said: Vec<_> =
        said.iter().map(|(_, text)| text.as_str()).filter(|text| text.contains("of ann")).collect();
    assert_eq!(said.len(), 6, "{said:?}");
    assert_eq!((said[0], said[5]), ("userMessage 0 of ann", "apiMessage 2 of ann"));
    assert_eq!(rows(&server, FLOW, "sessionId=ann").await.len(), 8);
    // The key opened operator routes over there, and it does here.
    server.anyone().bearer(KEY).get("/api/v1/chatflows").await.expect(200);
    let folder = std::fs::read(server.folder().path().join("sled/db")).unwrap();
    for secret in [KEY, "sk-from-flowise"] {
        let found = folder.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a secret lies in the data folder in clear");
    }
}

#[tokio::test]
async fn a_second_run_doubles_nothing_and_brings_only_what_is_new() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    migrate(&server, &flowise, &[]);
    let body = json!({"question": "Here", "overrideConfig": {"sessionId": "ann"}});
    server.ask(FLOW, &body).await.expect(200);
    let before = rows(&server, FLOW, "").await;
    let (complete, report) = migrate(&server, &flowise, &[]);
    assert!(complete, "{report}");
    for (kind, n) in
        [("chatflows", 2), ("credentials", 1), ("variables", 1), ("API keys", 1), ("messages", 6)]
    {
        assert_eq!(counts(&report, kind), [n, 0, n, 0], "{kind}");
    }
    assert_eq!(rows(&server, FLOW, "").await, before);
    add_turn(&flowise, 3, "ann");
    add_turn(&flowise, 4, "bob");
    let (_, report) = migrate(&server, &flowise, &[]);
    assert_eq!(counts(&report, "messages"), [10, 4, 6, 0]);
    // A live session reads again: its next turn follows the ones that came.
    server.ask(FLOW, &body).await.expect(200);
    assert_eq!(rows(&server, FLOW, "sessionId=ann").await.len(), 12);
    assert_eq!(rows(&server, FLOW, "sessionId=bob").await.len(), 2);
}

#[tokio::test]
async fn without_the_right_secret_the_credentials_stay_and_the_rest_comes() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    let wrong = flowise.path().join("other.key");
    std::fs::write(&wrong, "another key").unwrap();
    let (complete, report) = migrate(&server, &flowise, &["--secret", wrong.to_str().unwrap()]);
    assert!(!complete);
    assert_eq!(counts(&report, "credentials"), [1, 0, 0, 1]);
    assert_eq!(counts(&report, "messages"), [6, 6, 0, 0]);
    assert!(report.to_string().contains("the key does not fit"), "{report}");
    assert!(report.to_string().contains("name a credential that did not come"), "{report}");
    std::fs::remove_file(flowise.path().join("encryption.key")).unwrap();
    let (_, report) = migrate(&server, &flowise, &[]);
    assert!(report.to_string().contains("no key to read them with"), "{report}");
    // The right one, ended by an editor's line break, brings what was missing.
    std::fs::write(&wrong, format!("{}\n", crate::support::flowise::SECRET)).unwrap();
    let (complete, report) = migrate(&server, &flowise, &["--secret", wrong.to_str().unwrap()]);
    assert!(complete, "{report}");
    assert_eq!(counts(&report, "credentials"), [1, 1, 0, 0]);
    server.ask(FLOW, &json!({"question": "Hi"})).await.expect(200);
}

#[tokio::test]
async fn a_file_of_3_1_comes_too_and_its_narrow_keys_stay_narrow() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V3_1_3, &model.basepath());
    flowise.sql("UPDATE chat_message SET chatType = 'WEBHOOK', reasonContent = '{}'");
    flowise.sql("UPDATE chat_flow SET workspaceId = id, textToSpeech = '{}'");
    let agentflow = json!({
        "id": "74d84c37-3f57-4c00-841d-17f95e783c4d", "name": "Agents", "type": "AGENTFLOW",
        "flowData": {"nodes": [{"id": "startAgentflow_0", "data": {"name": "startAgentflow"}}], "edges": []},
    });
    flowise.insert("chat_flow", &agentflow);
    let (complete, report) = migrate(&server, &flowise, &[]);
    assert!(complete, "{report}");
    assert_eq!(counts(&report, "chatflows"), [3, 3, 0, 0]);
    assert!(
        report["notes"].to_string().contains("cannot run here yet: startAgentflow"),
        "{report}"
    );
    for word in ["WEBHOOK", "reasoning kept with 6", "several", "textToSpeech"] {
        assert!(report["notes"].to_string().contains(word), "{word}: {report}");
    }
    assert_eq!(rows(&server, FLOW, "chatType=EXTERNAL").await.len(), 6);
    let body = json!({"question": "Hi"});
    server
        .anyone()
        .bearer(KEY)
        .post(&format!("/api/v1/prediction/{GUARDED}"), &body)
        .await
        .expect(200);
    server.anyone().bearer(KEY).get("/api/v1/chatflows").await.expect(401);
}

#[tokio::test]
async fn a_folder_without_a_server_is_filled_and_served_afterwards() {
    let model = Scripted::start(|_| Answer::Echo).await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    let folder = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let path = flowise.path().to_str().unwrap();
    let dry = run_command(&folder, &["migrate", "--flowise", path, "--dry-run"]);
    assert!(dry.status.success(), "{dry:?}");
    let table = String::from_utf8(dry.stdout).unwrap();
    assert!(table.contains("would come"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a dry run made something");
    let before = std::fs::read(flowise.file()).unwrap();
    let output = run_command(&folder, &["migrate", "--flowise", path]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "a progress bar without a terminal: {output:?}");
    assert_eq!(std::fs::read(flowise.file()).unwrap(), before);
    assert_eq!(flowise.ask_sqlite3("PRAGMA integrity_check"), "ok");
    let server = Parlor::start_on(folder, Options::default());
    assert_eq!(rows(&server, FLOW, "sessionId=ann").await.len(), 6);
    server.ask(FLOW, &json!({"question": "Hi"})).await.expect(200);
}

/// Feedback on an answer of ann's, and leads.
fn add_feedback(flowise: &Flowise) {
    let row = |n: u32, turn: u32, rating: &str| {
        json!({
            "id": format!("f0000000-0000-4000-8000-{n:012}"), "chatflowid": FLOW, "chatId": "ann",
            "messageId": message_id(1, turn), "rating": rating, "content": format!("word {n}"),
            "createdDate": "2025-03-04 06:00:00.250",
        })
    };
    flowise.insert("chat_message_feedback", &row(0, 0, "THUMBS_UP"));
    flowise.insert("chat_message_feedback", &row(1, 2, "THUMBS_DOWN"));
    // Of an answer that was deleted.
    flowise.insert("chat_message_feedback", &row(2, 99, "THUMBS_UP"));
    let lead = |id: &str, flow: &str| {
        json!({
            "id": id, "chatflowid": flow, "chatId": "ann", "name": "Ann", "email": "ann@b.example",
            "phone": "0047 1", "createdDate": "2025-03-04 06:00:01.500",
        })
    };
    flowise.insert("lead", &lead("e0000000-0000-4000-8000-000000000000", FLOW));
    let gone = "d4d84c37-3f57-4c00-841d-17f95e783c4d";
    flowise.insert("lead", &lead("e0000000-0000-4000-8000-000000000001", gone));
}

#[tokio::test]
async fn feedback_comes_with_its_messages_and_leads_with_their_chatflows() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    add_feedback(&flowise);
    let (complete, report) = migrate(&server, &flowise, &[]);
    assert!(!complete, "{report}");
    assert_eq!(counts(&report, "feedback"), [3, 2, 0, 1]);
    assert_eq!(counts(&report, "leads"), [2, 1, 0, 1]);
    for word in ["their message is not here", "their chatflow is not here"] {
        assert!(report.to_string().contains(word), "{word}: {report}");
    }
    let list = async |path: &str| {
        let path = format!("/api/v1/{path}/{FLOW}?chatId=ann");
        server.operator().get(&path).await.expect(200).json()
    };
    let feedback = list("feedback").await;
    let expected = json!({
        "id": "f0000000-0000-4000-8000-000000000001", "chatflowid": FLOW, "chatId": "ann",
        "messageId": message_id(1, 2), "rating": "THUMBS_DOWN", "content": "word 1",
        "createdDate": "2025-03-04T06:00:00.250Z",
    });
    assert_eq!((feedback.as_array().unwrap().len(), &feedback[1]), (2, &expected));
    let expected = json!([{
        "id": "e0000000-0000-4000-8000-000000000000", "chatflowid": FLOW, "chatId": "ann",
        "name": "Ann", "email": "ann@b.example", "phone": "0047 1",
        "createdDate": "2025-03-04T06:00:01.500Z",
    }]);
    assert_eq!(list("leads").await, expected);
    let rated = rows(&server, FLOW, "sessionId=ann&feedback=true").await;
    assert_eq!(rated[1]["feedback"]["content"], "word 0", "{rated:?}");
    let (_, report) = migrate(&server, &flowise, &[]);
    assert_eq!(counts(&report, "feedback"), [3, 0, 2, 1]);
    assert_eq!(counts(&report, "leads"), [2, 0, 1, 1]);
    assert_eq!(list("feedback").await, feedback);
    // It goes with its session, like feedback that was given here.
    let path = format!("/api/v1/chatmessage/{FLOW}?sessionId=ann");
    server.operator().delete(&path).await.expect(200);
    assert_eq!(list("feedback").await, json!([]));
}

#[tokio::test]
async fn feedback_that_fits_no_message_here_is_refused() {
    let (server, model) = with_model().await;
    let flowise = installation(Version::V2_2_8, &model.basepath());
    migrate(&server, &flowise, &[]);
    let import = async |id: u32, chat: &str, turn: u32| {
        let row = json!({
            "id": format!("f0000000-0000-4000-8000-{id:012}"), "chatflowid": FLOW, "chatId": chat,
            "messageId": message_id(1, turn), "rating": null, "content": "x",
            "createdDate": "2025-03-04T06:00:00.250Z",
        });
        let body = json!({"kind": "feedback", "row": row});
        server.operator().post("/api/v1/rows/import", &body).await
    };
    import(0, "ann", 7).await.expect(409);
    import(0, "bob", 0).await.expect(409);
    assert_eq!(import(0, "ann", 0).await.expect(200).json()["outcome"], "stored");
    assert_eq!(import(0, "ann", 1).await.expect(200).json()["outcome"], "exists");
    let reply = import(1, "ann", 0).await.expect(409);
    assert!(reply.body.contains("has other feedback"), "{reply:?}");
}
