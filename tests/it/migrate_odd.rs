//! Moving in from installations that are odd, broken, old, or in use.

use serde_json::{Value, json};

use crate::support::flowise::{Flowise, Version};
use crate::support::server::run_command;
use crate::support::{Flow, Parlor};

const FLOW: &str = "54d84c37-3f57-4c00-841d-17f95e783c4d";

fn flow_row() -> Value {
    json!({"id": FLOW, "name": "Support", "flowData": Flow::golden("b-conversation").0.to_string()})
}

fn with_flow() -> Flowise {
    let flowise = Flowise::new(Version::V2_2_8);
    flowise.insert("chat_flow", &flow_row());
    flowise
}

/// A message whose id ends in its number.
fn message(n: u32, role: &str, session: &str, date: &str) -> Value {
    json!({
        "id": format!("00000000-0000-4000-8000-{n:012}"), "role": role, "chatflowid": FLOW,
        "content": n.to_string(), "chatId": session, "sessionId": session, "createdDate": date,
        "chatType": "EXTERNAL",
    })
}

fn run(server: &Parlor, path: &std::path::Path) -> Value {
    let output = server.command(&["migrate", "--flowise", path.to_str().unwrap(), "--json"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The sentence of a command that did nothing.
fn refusal(path: &std::path::Path) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    let output = run_command(&folder, &["migrate", "--flowise", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was made");
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(sentence.trim().lines().count(), 1, "{sentence}");
    sentence
}

fn kind<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let mut kinds = report["kinds"].as_array().unwrap().iter();
    kinds.find(|row| row["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {report}"))
}

async fn contents(server: &Parlor, query: &str) -> Vec<String> {
    let rows = server.messages(FLOW, query).await.into_iter();
    rows.map(|(role, content)| format!("{}{content}", &role[..1])).collect()
}

#[tokio::test]
async fn the_order_of_a_session_survives_cut_dates_shuffled_rows_and_missing_halves() {
    let server = Parlor::start();
    let flowise = with_flow();
    let rows = [
        // The answer's date was cut to its second by an older version.
        (1, "userMessage", "cut", "2025-01-01 00:00:05.700"),
        (2, "apiMessage", "cut", "2025-01-01 00:00:05"),
        // A table that was filled from the last to the first.
        (14, "apiMessage", "back", "2025-01-01 00:00:04.000"),
        (13, "userMessage", "back", "2025-01-01 00:00:03.000"),
        (12, "apiMessage", "back", "2025-01-01 00:00:02.000"),
        (11, "userMessage", "back", "2025-01-01 00:00:01.000"),
        // Two turns at once: the second was over first.
        (21, "userMessage", "both", "2025-01-01 00:00:02.000"),
        (22, "apiMessage", "both", "2025-01-01 00:00:03.000"),
        (23, "userMessage", "both", "2025-01-01 00:00:01.000"),
        (24, "apiMessage", "both", "2025-01-01 00:00:04.000"),
        (31, "apiMessage", "half", "2025-01-01 00:00:01.000"),
        (32, "userMessage", "half", "2025-01-01 00:00:02.000"),
        (33, "userMessage", "half", "2025-01-01 00:00:03.000"),
        (34, "apiMessage", "half", "2025-01-01 00:00:04.000"),
    ];
    for (n, role, session, date) in rows {
        flowise.insert("chat_message", &message(n, role, session, date));
    }
    let report = run(&server, flowise.path());
    assert_eq!(kind(&report, "messages")["taken"], 14, "{report}");
    assert_eq!(contents(&server, "sessionId=cut").await, ["u1", "a2"]);
    assert_eq!(contents(&server, "sessionId=back").await, ["u11", "a12", "u13", "a14"]);
    assert_eq!(contents(&server, "sessionId=both").await, ["u23", "a24", "u21", "a22"]);
    assert_eq!(contents(&server, "sessionId=half").await, ["a31", "u32", "u33", "a34"]);
    let told = flowise.ask_sqlite3("SELECT count(DISTINCT sessionId) FROM chat_message");
    assert_eq!(told, "4");
}

#[tokio::test]
async fn columns_of_an_answer_are_shown_as_flowise_shows_them() {
    let server = Parlor::start();
    let flowise = with_flow();
    let mut answer = message(1, "apiMessage", "s", "2025-01-01 00:00:05.700");
    let columns = json!({
        "sourceDocuments": [{"pageContent": "x"}], "usedTools": [{"tool": "t"}],
        "fileAnnotations": [{"filePath": "p"}], "agentReasoning": [{"agentName": "a"}],
        "artifacts": [{"type": "png"}], "action": {"id": "1"},
    });
    for (column, value) in columns.as_object().unwrap() {
        answer[column] = value.to_string().into();
    }
    answer["followUpPrompts"] = json!("[\"And then?\"]");
    answer["sessionId"] = Value::Null;
    let mut question = message(2, "userMessage", "s", "2025-01-01 00:00:06.700");
    question["fileUploads"] = json!("[{\"name\":\"a.png\"}]");
    question["leadEmail"] = json!("ann@example.org");
    flowise.insert("chat_message", &answer);
    flowise.insert("chat_message", &question);
    run(&server, flowise.path());
    let path = format!("/api/v1/chatmessage/{FLOW}?sessionId=s");
    let rows = server.operator().get(&path).await.expect(200).json();
    for (column, value) in columns.as_object().unwrap() {
        assert_eq!(rows[0][column], *value, "{column}");
    }
    assert_eq!(rows[0]["followUpPrompts"], "[\"And then?\"]");
    assert_eq!(rows[1]["fileUploads"], json!([{"name": "a.png"}]));
    assert_eq!(rows[1]["leadEmail"], "ann@example.org");
}

#[tokio::test]
async fn what_has_no_place_or_cannot_be_read_is_counted_with_its_reason() {
    let server = Parlor::start();
    let flowise = with_flow();
    flowise.insert("chat_flow", &json!({"id": "x", "name": "Broken", "flowData": "{"}));
    flowise.insert(
        "chat_flow",
        &json!({"id": "no-uuid", "name": "Odd", "flowData": "{\"nodes\":[]}"}),
    );
    flowise.insert("tool", &json!({"id": "t", "name": "t", "description": "d", "color": "red"}));
    flowise.insert("lead", &json!({"id": "l", "chatflowid": FLOW, "chatId": "c"}));
    flowise.insert(
        "chat_message_feedback",
        &json!({
            "id": "f", "chatflowid": FLOW, "chatId": "c", "messageId": "m", "rating": "THUMBS_UP"
        }),
    );
    let date = "2025-01-01 00:00:05.700";
    let mut orphan = message(1, "userMessage", "s", date);
    orphan["chatflowid"] = json!("00000000-0000-4000-8000-000000000000");
    flowise.insert("chat_message", &orphan);
    flowise.insert("chat_message", &message(2, "somebody", "s", date));
    flowise.insert("chat_message", &message(3, "userMessage", "s", "soon"));
    flowise.insert("chat_message", &message(4, "userMessage", "line\nbreak", date));
    let mut odd = message(5, "userMessage", "s", date);
    odd["id"] = json!("five");
    flowise.insert("chat_message", &odd);
    flowise.insert("chat_message", &message(6, "userMessage", "s", date));
    let report = run(&server, flowise.path());
    let reasons = |name: &str| kind(&report, name)["notTaken"].to_string();
    assert!(reasons("chatflows").contains("Broken"), "{report}");
    assert_eq!(kind(&report, "chatflows")["taken"], 1);
    for (name, word) in [("tools", "JavaScript"), ("leads", "no UUID"), ("feedback", "not here")] {
        assert!(reasons(name).contains(word), "{report}");
    }
    assert_eq!(kind(&report, "messages")["taken"], 1, "{report}");
    for word in
        ["chatflow is not here", "neither a question", "no date", "control character", "no UUID"]
    {
        assert!(reasons("messages").contains(word), "{word}: {report}");
    }
    assert_eq!(contents(&server, "").await, ["u6"]);
}

#[tokio::test]
async fn an_instance_export_comes_like_its_database() {
    let server = Parlor::start();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ExportData.json");
    let export = json!({
        "FileDefaultName": "ExportData.json",
        // Before their chatflow: the order of the lists is nobody's promise.
        "ChatMessage": [
            message(1, "userMessage", "s", "2025-01-01T00:00:05.700Z"),
            message(2, "apiMessage", "s", "2025-01-01T00:00:06.700Z"),
        ],
        "AgentFlow": [], "AssistantFlow": [], "ChatFlow": [flow_row()],
        "Tool": [{"id": "t", "name": "t"}], "DocumentStoreFileChunk": [{"id": "c"}],
        "Variable": [{"id": "84d84c37-3f57-4c00-841d-17f95e783c4d", "name": "city", "value": "Oslo", "type": "static"}],
    });
    std::fs::write(&file, export.to_string()).unwrap();
    for (taken, existing) in [(2, 0), (0, 2)] {
        let report = run(&server, &file);
        let messages = kind(&report, "messages");
        assert_eq!((&messages["taken"], &messages["existing"]), (&json!(taken), &json!(existing)));
        assert_eq!(kind(&report, "variables")["found"], 1);
        assert_eq!(kind(&report, "tools")["notTaken"][0]["rows"], 1);
        assert!(report["notes"].to_string().contains("carries no credentials"), "{report}");
    }
    assert_eq!(contents(&server, "sessionId=s").await, ["u1", "a2"]);
}

#[tokio::test]
async fn a_database_with_few_tables_gives_what_it_has() {
    let server = Parlor::start();
    let flowise = Flowise::bare();
    flowise.sql(
        "CREATE TABLE chat_flow (id varchar PRIMARY KEY NOT NULL, name varchar, flowData text)",
    );
    flowise.insert("chat_flow", &flow_row());
    let report = run(&server, &flowise.file());
    assert_eq!(kind(&report, "chatflows")["taken"], 1, "{report}");
    assert_eq!(kind(&report, "messages")["found"], 0);
}

#[test]
fn what_is_no_installation_is_refused_in_one_sentence() {
    let folder = tempfile::TempDir::new().unwrap();
    assert!(refusal(folder.path()).contains("is not there"));
    let file = folder.path().join("database.sqlite");
    std::fs::write(&file, "no database").unwrap();
    assert!(refusal(folder.path()).contains("no SQLite database"));
    std::fs::write(&file, "{\"nodes\": []}").unwrap();
    assert!(refusal(&file).contains("parlor import"));
    std::fs::write(&file, "{\"ChatFlow\": [").unwrap();
    assert!(refusal(&file).contains("nor a whole export"));
    assert!(refusal(&Flowise::bare().file()).contains("no table chat_flow"));
    let flowise = with_flow();
    std::fs::write(flowise.path().join("api.json"), "{").unwrap();
    assert!(refusal(flowise.path()).contains("api.json"));
}

#[tokio::test]
async fn a_damaged_database_is_named_and_nothing_is_made_of_its_ruins() {
    let flowise = with_flow();
    let bytes = std::fs::read(flowise.file()).unwrap();
    let copy = tempfile::TempDir::new().unwrap();
    let file = copy.path().join("database.sqlite");
    std::fs::write(&file, &bytes[..bytes.len() / 4]).unwrap();
    let sentence = refusal(&file);
    assert!(sentence.contains("damaged"), "{sentence}");
}

#[test]
fn a_database_that_is_being_written_is_refused() {
    let flowise = with_flow();
    flowise.sql("PRAGMA journal_mode = WAL");
    flowise.insert("variable", &json!({"id": "v", "name": "n", "value": "x"}));
    let sentence = refusal(flowise.path());
    assert!(sentence.contains("write-ahead log"), "{sentence}");
}

#[tokio::test]
async fn the_import_routes_are_the_operators_and_say_what_they_refuse() {
    let server = Parlor::start();
    for path in ["/api/v1/messages/import", "/api/v1/rows/import"] {
        server.anyone().post(path, &json!({})).await.expect(401);
    }
    let row = json!({"kind": "credential", "row": {"plainData": "sk-not-to-be-shown"}});
    let reply = server.operator().post("/api/v1/rows/import", &row).await.expect(400);
    assert!(!reply.body.contains("sk-not"), "{}", reply.body);
    let key = |id: &str| {
        let digest = "a".repeat(64);
        let row = json!({"id": id.repeat(32), "keyName": "k", "digest": digest, "prefix": "p",
            "scopes": ["predict"], "createdDate": "2025-01-01T00:00:05.700Z"});
        json!({"kind": "apiKey", "row": row})
    };
    for (id, status, outcome) in [("b", 200, "stored"), ("b", 200, "exists"), ("c", 409, "")] {
        let reply = server.operator().post("/api/v1/rows/import", &key(id)).await.expect(status);
        assert_eq!(reply.json()["outcome"].as_str().unwrap_or(""), outcome);
    }
    let import = |lines: String| {
        let operator = server.operator();
        async move { operator.send(reqwest::Method::POST, "/api/v1/messages/import", Some(lines)).await }
    };
    let good = message(1, "userMessage", "s", "2025-01-01T00:00:05.700Z").to_string();
    let report = |reply: Value| {
        let count = |name: &str| reply[name].as_u64().unwrap();
        (count("imported"), count("skipped"), count("refused"))
    };
    // No such chatflow yet.
    assert_eq!(report(import(good.clone()).await.expect(200).json()), (0, 0, 1));
    let flow = flow_row();
    server.operator().post("/api/v1/chatflows", &flow).await.expect(200);
    let reply = import(format!("{good}\n{{}}\n{good}\n")).await.expect(200).json();
    assert_eq!(reply["refusals"][0]["line"], 2, "{reply}");
    assert_eq!(report(reply), (1, 1, 1));
    assert_eq!(contents(&server, "").await, ["u1"]);
}
