//! The data is looked after: messages go out and come in, a backup of a
//! running server holds what was acknowledged, damage is named, and what is
//! too old goes.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::server::run_command;
use crate::support::{Flow, Options, Parlor, Scripted, eventually};

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn fails(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(output));
    assert!(!text(output).contains("panicked"), "{}", text(output));
    text(output)
}

fn path_of(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// A server with a conversation of so many turns in each session.
async fn server_with(model: &Scripted, sessions: &[&str], n_turns: usize) -> (Parlor, String) {
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    for session in sessions {
        for n in 0..n_turns {
            ask(&server, &flow, session, n).await;
        }
    }
    (server, flow)
}

async fn ask(server: &Parlor, flow: &str, session: &str, n: usize) {
    let body =
        json!({"question": format!("{session} {n}"), "overrideConfig": {"sessionId": session}});
    server.ask(flow, &body).await.expect(200);
}

fn lines(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same chatflow on another server, where its messages are to go.
async fn twin(server: &Parlor, flow: &str) -> Parlor {
    let other = Parlor::start();
    let row = server.operator().get(&format!("/api/v1/chatflows/{flow}")).await.expect(200).json();
    other.install_row(&row).await;
    other
}

/// An old message as it comes from elsewhere.
fn old_line(flow: &str, role: &str, date: &str) -> Value {
    json!({"id": uuid::Uuid::new_v4(), "role": role, "chatflowid": flow, "content": "old",
           "chatId": "old", "sessionId": "old", "createdDate": date})
}

#[tokio::test]
async fn exported_messages_are_the_same_on_another_server_and_come_in_only_once() {
    let model = Scripted::saying("Yes.").await;
    let (server, flow) = server_with(&model, &["a", "b/1 🦊"], 3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = path_of(&folder, "messages.ndjson");
    succeeds(&server.command(&["export", "--output", &file]));
    let exported = lines(&file);
    assert_eq!(exported.len(), 12);
    assert_eq!((&exported[0]["role"], &exported[0]["turn"]), (&json!("userMessage"), &json!(0)));
    let rows = server.operator().get(&format!("/api/v1/chatmessage/{flow}?sessionId=a")).await;
    let rows = rows.expect(200).json();
    for (line, row) in exported.iter().zip(rows.as_array().unwrap()) {
        for (name, value) in row.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name}");
        }
    }
    let other = twin(&server, &flow).await;
    let said = succeeds(&other.command(&["import-messages", &file]));
    assert!(said.contains("12 messages imported, 0 skipped"), "{said}");
    let said = succeeds(&other.command(&["import-messages", &file]));
    assert!(said.contains("0 messages imported, 12 skipped"), "{said}");
    let again = path_of(&folder, "again.ndjson");
    succeeds(&other.command(&["export", "--output", &again]));
    assert_eq!(lines(&again), exported);
    let one = succeeds(&other.command(&["export", "--chatflow", &flow, "--session", "b/1 🦊"]));
    assert_eq!(one.lines().count(), 6);
    assert!(fails(&other.command(&["export", "--output", &again])).contains("exists already"));
}

#[tokio::test]
async fn a_conversation_that_came_in_is_remembered_also_by_a_session_in_memory() {
    let model = Scripted::saying("Yes.").await;
    let (server, flow) = server_with(&model, &["a"], 2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = path_of(&folder, "messages.ndjson");
    succeeds(&server.command(&["export", "--output", &file]));
    let other = twin(&server, &flow).await;
    let credential = other.openai_credential().await;
    let here = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
    let row = json!({"flowData": here.0.to_string()});
    other.operator().put(&format!("/api/v1/chatflows/{flow}"), &row).await.expect(200);
    ask(&other, &flow, "a", 9).await;
    succeeds(&other.command(&["import-messages", &file]));
    model.take_received();
    ask(&other, &flow, "a", 10).await;
    let sent: Vec<_> = model.take_received()[0].messages();
    let said: Vec<_> = sent.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(said[said.len() - 7..], ["a 9", "Yes.", "a 0", "Yes.", "a 1", "Yes.", "a 10"]);
}

#[tokio::test]
async fn lines_that_are_no_messages_are_refused_by_their_numbers_and_the_others_stored() {
    let model = Scripted::saying("Yes.").await;
    let (server, flow) = server_with(&model, &[], 0).await;
    let folder = tempfile::tempdir().unwrap();
    let file = path_of(&folder, "mixed.ndjson");
    let good = old_line(&flow, "userMessage", "2026-01-01T00:00:00.000Z").to_string();
    let elsewhere = uuid::Uuid::new_v4().to_string();
    let foreign = old_line(&elsewhere, "userMessage", "2026-01-01T00:00:00.000Z").to_string();
    std::fs::write(&file, format!("{good}\n\nnonsense\n{foreign}\n{{\"id\":1}}")).unwrap();
    let said = fails(&server.command(&["import-messages", &file]));
    assert!(said.contains("1 messages imported, 0 skipped"), "{said}");
    for line in ["line 3:", "line 4:", "line 5:"] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(server.messages(&flow, "sessionId=old").await.len(), 1);
    let again = ["import-messages", &file, "--chatflow", &flow, "--json"];
    let said = fails(&server.command(&again));
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["imported"], &report["refused"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_backup_of_a_running_server_becomes_a_server_that_goes_on() {
    let model = Scripted::saying("Yes.").await;
    let (server, flow) = server_with(&model, &["a", "b"], 4).await;
    let blobs = server.folder().path().join("blobs/x");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("picture.png"), vec![7; 200_000]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backup = path_of(&folder, "backup");
    // Turns go on while the backup is made, in the same conversation.
    let (running, asked) = (Arc::new(server), flow.clone());
    let writer = Arc::clone(&running);
    let writing = tokio::spawn(async move {
        for n in 4..20 {
            ask(&writer, &asked, "a", n).await;
        }
    });
    let (at, server) = (backup.clone(), Arc::clone(&running));
    let made = tokio::task::spawn_blocking(move || server.command(&["backup", &at, "--with-key"]));
    succeeds(&made.await.unwrap());
    writing.await.unwrap();
    succeeds(&running.command(&["verify", &backup]));
    let new = Arc::new(tempfile::tempdir().unwrap());
    succeeds(&run_command(&new, &["restore", &backup]));
    assert!(std::fs::read(new.path().join("blobs/x/picture.png")).unwrap() == vec![7; 200_000]);
    succeeds(&run_command(&new, &["verify"]));
    let restored = Parlor::start_on(new, Options::default().with_example());
    let rows = restored.operator().get("/api/v1/chatflows").await.expect(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "the example came back: {rows}");
    let messages = restored.messages(&flow, "sessionId=a&order=ASC").await;
    assert!(messages.len() >= 8 && messages.len() % 2 == 0, "{}", messages.len());
    for (n, pair) in messages.chunks(2).enumerate() {
        assert_eq!(pair[0].1, format!("a {n}"));
        assert_eq!(pair[1].1, "Yes.");
    }
    assert_eq!(restored.messages(&flow, "sessionId=b").await.len(), 8);
    // The credential can be read, and the conversation goes on.
    ask(&restored, &flow, "a", 99).await;
    succeeds(&restored.command(&["verify"]));
}

#[tokio::test]
async fn a_backup_that_changed_is_not_restored_and_says_why() {
    let model = Scripted::saying("Yes.").await;
    let (server, _) = server_with(&model, &["a"], 2).await;
    let folder = tempfile::tempdir().unwrap();
    let backup = path_of(&folder, "backup");
    succeeds(&server.command(&["backup", &backup]));
    assert!(!Path::new(&backup).join("encryption.key").exists());
    assert!(fails(&server.command(&["backup", &backup])).contains("not empty"));
    assert!(fails(&server.command(&["restore", &backup])).contains("not empty"));
    let files = Path::new(&backup).read_dir().unwrap().map(|entry| entry.unwrap().path());
    let history =
        files.into_iter().find(|path| path.to_str().unwrap().contains("history")).unwrap();
    let mut bytes = std::fs::read(&history).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&history, bytes).unwrap();
    let said = fails(&server.command(&["verify", &backup, "--json"]));
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(found["problems"][0]["kind"], "wrongChecksum");
    let new = tempfile::tempdir().unwrap();
    let said = fails(&run_command(&new, &["restore", &backup]));
    assert!(said.contains("not as they were written"), "{said}");
    assert_eq!(new.path().read_dir().unwrap().count(), 0, "something was restored");
    std::fs::remove_file(Path::new(&backup).join("manifest.json")).unwrap();
    assert!(fails(&run_command(&new, &["restore", &backup])).contains("no finished backup"));
}

#[tokio::test]
async fn verifying_a_data_folder_tells_damage_by_its_exit_code_and_makes_nothing() {
    let model = Scripted::saying("Yes.").await;
    let (mut server, _) = server_with(&model, &["a"], 2).await;
    let said = succeeds(&server.command(&["verify"]));
    assert!(said.contains("2 turns") && said.contains("Nothing is wrong"), "{said}");
    server.terminate().await;
    let folder = server.folder();
    succeeds(&run_command(&folder, &["verify"]));
    std::fs::write(folder.path().join("sled/db"), b"garbled").unwrap();
    let said = fails(&run_command(&folder, &["verify"]));
    assert!(said.contains("WRONG"), "{said}");
    let nothing = tempfile::tempdir().unwrap();
    let said = fails(&run_command(&nothing, &["verify"]));
    assert!(said.contains("no data of Parlor"), "{said}");
    assert_eq!(nothing.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn nobody_but_the_operator_reads_or_writes_everything() {
    let server = Parlor::start();
    for path in ["messages/export", "backup", "verify"] {
        let reply = server.anyone().get(&format!("/api/v1/{path}")).await;
        reply.assert_turned_away(path);
    }
    let reply = server.anyone().post("/api/v1/messages/import", &json!({})).await;
    reply.assert_turned_away("import");
    let operator = server.operator();
    operator.get("/api/v1/messages/export?chatflow=..").await.expect_error(400);
    operator.get("/api/v1/messages/export?sesion=a").await.expect_error(400);
}

#[tokio::test]
async fn messages_that_are_too_old_are_gone_after_a_start_and_younger_ones_stay() {
    let model = Scripted::saying("Yes.").await;
    let (mut server, flow) = server_with(&model, &["new"], 1).await;
    let keeps_all = server.install_conversation(&model.basepath()).await;
    let folder = tempfile::tempdir().unwrap();
    for flow in [&flow, &keeps_all] {
        let file = path_of(&folder, flow);
        let line = |role| old_line(flow, role, "2020-01-01T00:00:00.000Z").to_string();
        std::fs::write(&file, [line("userMessage"), line("apiMessage")].join("\n")).unwrap();
        succeeds(&server.command(&["import-messages", &file]));
        let rows = server.operator().get(&format!("/api/v1/chatmessage/{flow}?chatId=old")).await;
        let said = json!({"messageId": rows.json()[1]["id"], "chatId": "old", "content": "Good."});
        server.operator().post(&format!("/api/v1/feedback/{flow}"), &said).await.expect(200);
    }
    let path = format!("/api/v1/chatflows/{flow}");
    let wrong = json!({"apiConfig": json!({"retentionDays": "soon"}).to_string()});
    let why = server.operator().put(&path, &wrong).await.expect_error(400);
    assert!(why.contains("retentionDays"), "{why}");
    let right = json!({"apiConfig": json!({"retentionDays": 30}).to_string()});
    server.operator().put(&path, &right).await.expect(200);
    assert_eq!(server.messages(&flow, "").await.len(), 4);
    server.terminate().await;
    let server = server.restart();
    let is_gone = async || server.messages(&flow, "").await.len() == 2;
    assert!(eventually(Duration::from_secs(60), is_gone).await);
    assert_eq!(server.messages(&flow, "sessionId=new").await.len(), 2);
    assert_eq!(server.messages(&keeps_all, "").await.len(), 2);
    let feedback = async |flow: &str| {
        let rows = server.operator().get(&format!("/api/v1/feedback/{flow}")).await.expect(200);
        rows.json().as_array().unwrap().len()
    };
    // It goes with its message, right after it.
    assert!(eventually(Duration::from_secs(60), async || feedback(&flow).await == 0).await);
    assert_eq!(feedback(&keeps_all).await, 1);
}

#[tokio::test]
async fn a_chatflow_that_stores_nothing_answers_and_remembers_nothing() {
    let model = Scripted::saying("Yes.").await;
    let (server, flow) = server_with(&model, &["s"], 1).await;
    let config = json!({"apiConfig": json!({"storeMessages": false}).to_string()});
    server.operator().put(&format!("/api/v1/chatflows/{flow}"), &config).await.expect(200);
    ask(&server, &flow, "s", 1).await;
    ask(&server, &flow, "other", 0).await;
    model.take_received();
    ask(&server, &flow, "other", 1).await;
    let sent = model.take_received()[0].messages();
    assert!(!sent.iter().any(|(_, text)| text.contains("other 0")), "{sent:?}");
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}
