//! Moving in from Flowise with the files that were uploaded there.

use serde_json::{Value, json};

use crate::retrieval::with_embeddings;
use crate::support::flowise::{Flowise, Version};
use crate::support::{Answer, Flow, Parlor, Scripted};

const FLOW: &str = "da72ee43-d78f-484c-9296-b34a0dc09ee8";
const GONE: &str = "00000000-0000-4000-8000-000000000000";
const CREDENTIAL: &str = "99ac54ad-2a53-402d-8339-df11bb9808ee";
const PIXEL: &[u8] = b"\x89PNG\r\n of a chat";

/// An installation whose chatflow reads a stored file, with uploads of chats
/// below this folder of its storage.
fn installation(version: Version, below: &str, model: &Scripted) -> Flowise {
    let flowise = Flowise::new(version);
    let stored = json!("FILE-STORAGE::[\"bakery.txt\"]");
    let flow = Flow::golden("c-retrievalqa").with_openai(CREDENTIAL, &model.basepath());
    let flow = flow.with_input("textFile_0", "txtFile", stored);
    let row = json!({"id": FLOW, "name": "Bakery", "flowData": flow.0.to_string()});
    flowise.insert("chat_flow", &row);
    flowise.credential(CREDENTIAL, "openAIApi", &json!({"openAIApiKey": "sk-mock"}));
    let storage = flowise.path().join("storage").join(below);
    for (path, bytes) in [
        (format!("{FLOW}/bakery.txt"), &b"The bakery opens at noon."[..]),
        (format!("{FLOW}/chat 1/dot.png"), PIXEL),
        (format!("{FLOW}/chat-2/notes.txt"), b"of another chat"),
        (format!("{GONE}/chat-1/dot.png"), b"of nobody"),
        ("not-a-chatflow/x.txt".to_owned(), b"of something else"),
    ] {
        let path = storage.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let secret = flowise.path().join("encryption.key");
    std::os::unix::fs::symlink(secret, storage.join(FLOW).join("chat-2/key.txt")).unwrap();
    flowise
}

/// Moves in; found, taken and existing of the uploads.
fn migrate(server: &Parlor, flowise: &Flowise, more: &[&str]) -> [u64; 3] {
    let path = flowise.path().to_str().unwrap();
    let output = server.command(&[&["migrate", "--flowise", path, "--json"], more].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(output.status.success(), "{report}");
    let mut kinds = report["kinds"].as_array().unwrap().iter();
    let uploads = kinds.find(|kind| kind["kind"] == "uploads").expect("uploads are counted");
    ["found", "taken", "existing"].map(|column| uploads[column].as_u64().unwrap())
}

async fn model() -> Scripted {
    Scripted::start(with_embeddings(|_| Answer::Echo)).await
}

async fn assert_all_is_here(server: &Parlor) {
    let file = |flow: &str, chat: &str, name: &str| {
        format!("/api/v1/get-upload-file?chatflowId={flow}&chatId={chat}&fileName={name}")
    };
    let picture = server.anyone().get(&file(FLOW, "chat%201", "dot.png")).await.expect(200);
    assert_eq!(picture.media_type(), "image/png");
    let notes = server.anyone().get(&file(FLOW, "chat-2", "notes.txt")).await.expect(200);
    assert_eq!(notes.body, "of another chat");
    for (flow, name) in [(FLOW, "dot.png"), (FLOW, "key.txt"), (GONE, "dot.png")] {
        server.anyone().get(&file(flow, "chat-2", name)).await.expect_error(404);
    }
    let path = format!("/api/v1/vector/internal-upsert/{FLOW}");
    let filled = server.operator().post(&path, &json!({})).await.expect(200).json();
    assert_eq!(filled["addedDocs"][0]["pageContent"], "The bakery opens at noon.");
}

#[tokio::test]
async fn files_of_chats_and_of_loaders_come_once() {
    let (server, model) = (Parlor::start(), model().await);
    let flowise = installation(Version::V2_2_8, "", &model);
    assert_eq!(migrate(&server, &flowise, &["--dry-run"]), [3, 3, 0]);
    assert_eq!(migrate(&server, &flowise, &[]), [3, 3, 0]);
    assert_all_is_here(&server).await;
    assert_eq!(migrate(&server, &flowise, &[]), [3, 0, 3]);
}

#[tokio::test]
async fn files_below_an_organisation_of_3_1_come_too() {
    let (server, model) = (Parlor::start(), model().await);
    let flowise = installation(Version::V3_1_3, "5c1f43b2-0000-4000-8000-cd230946cd68", &model);
    assert_eq!(migrate(&server, &flowise, &[]), [3, 3, 0]);
    assert_all_is_here(&server).await;
}
