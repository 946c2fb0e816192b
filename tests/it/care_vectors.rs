//! Vectors in a backup: what was filled before it is found after a restore,
//! what came later is not, and nothing has to be embedded again.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::scripted::Received;
use crate::support::server::run_command;
use crate::support::{Answer, Options, Parlor, http};
use crate::upsert_goldens::{Stage, vectors};

/// A model that embeds, and answers with what it was sent.
fn embed_or_echo(request: &Received) -> Answer {
    if request.path.ends_with("/embeddings") { vectors(request) } else { Answer::Echo }
}

async fn filled() -> Stage {
    let stage = Stage::started(Parlor::start(), "c-retrievalqa", |flow| flow).await;
    stage.model.answer(embed_or_echo);
    assert_eq!(stage.upsert(json!({})).await.expect(200).json()["numAdded"], 3);
    stage
}

/// The same documents with other metadata take the place of the first ones.
async fn fill_anew(stage: &Stage) {
    let body = json!({"overrideConfig": {"metadata": {"late": 1}}});
    assert_eq!(stage.upsert(body).await.expect(200).json()["numAdded"], 3);
}

/// The documents behind an answer.
async fn sources(stage: &Stage) -> Vec<Value> {
    let answer = stage.server.ask(&stage.flow, &json!({"question": "When does it open?"})).await;
    answer.expect(200).json()["sourceDocuments"].as_array().expect("sources").clone()
}

#[tokio::test]
async fn vectors_of_a_backup_are_those_of_its_moment_and_answer_after_a_restore() {
    let mut stage = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let backup = backup.to_str().unwrap();
    let made = stage.server.command(&["backup", backup, "--with-key"]);
    assert!(made.status.success(), "{made:?}");
    fill_anew(&stage).await;
    assert!(sources(&stage).await.iter().any(|found| found["metadata"]["late"] == 1));

    let new = Arc::new(tempfile::tempdir().unwrap());
    let restored = run_command(&new, &["restore", backup]);
    assert!(restored.status.success(), "{restored:?}");
    stage.server = Parlor::start_on(new, Options::default());
    let found = sources(&stage).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|found| found["metadata"]["late"].is_null()), "{found:#?}");
    stage.model.take_received();
    stage.upsert(json!({})).await.expect(200);
    let calls = stage.model.take_received();
    assert!(!calls.iter().any(|call| call.path.ends_with("/embeddings")), "embedded again");
    assert_eq!(stage.empty().await, 3, "the ledger and the index do not agree");
}

fn manifest_on_disk(data: &Path) -> Vec<u8> {
    let collections = data.join("vectors").read_dir().unwrap();
    let mut manifests = collections.map(|entry| entry.unwrap().path().join("manifest"));
    std::fs::read(manifests.next().expect("a collection")).unwrap()
}

#[tokio::test]
async fn a_slow_reader_of_a_backup_gets_the_vectors_of_its_beginning_too() {
    let stage = filled().await;
    let data = stage.server.folder();
    // More than the buffers between the server and its reader hold.
    let blobs = data.path().join("blobs/x");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("large.bin"), vec![7; 32 << 20]).unwrap();
    let before = manifest_on_disk(data.path());
    let response = stage.server.operator().open_get("/api/v1/backup").await;
    fill_anew(&stage).await;
    assert_ne!(manifest_on_disk(data.path()), before);
    let text = http::read(response).await.expect(200).body;
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_manifest = |line: &Value| {
        line["kind"] == "vectors" && line["path"].as_str().unwrap().ends_with("/manifest")
    };
    lines.find(is_manifest).expect("a manifest");
    let piece = lines.next().unwrap();
    let sent = BASE64_STANDARD.decode(piece["data"].as_str().unwrap()).unwrap();
    assert_eq!(sent, before, "the vectors are of a later moment than the rows");
}

#[tokio::test]
async fn what_record_managers_remember_is_in_a_backup() {
    let stage = filled().await;
    let records = stage.server.folder().path().join("records.sqlite");
    let connection = rusqlite::Connection::open(&records).unwrap();
    let rows = "CREATE TABLE upsertion_records (key TEXT);
        INSERT INTO upsertion_records VALUES ('k')";
    connection.execute_batch(rows).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let made = stage.server.command(&["backup", backup.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    let verified = stage.server.command(&["verify", backup.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");
    let new = tempfile::tempdir().unwrap();
    let restored = run_command(&new, &["restore", backup.to_str().unwrap()]);
    assert!(restored.status.success(), "{restored:?}");
    let connection = rusqlite::Connection::open(new.path().join("records.sqlite")).unwrap();
    let key: String =
        connection.query_row("SELECT key FROM upsertion_records", [], |row| row.get(0)).unwrap();
    assert_eq!(key, "k");
}
