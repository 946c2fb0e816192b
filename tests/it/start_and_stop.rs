//! A server starts on an empty folder with something that answers, has its
//! folder for itself, and stops when it is told to.

use serde_json::json;

use crate::support::server::run_command;
use crate::support::{Options, Parlor, Scripted};

#[tokio::test]
async fn a_first_start_installs_an_example_that_answers_without_any_model() {
    let server = Parlor::start_with(Options::default().with_example());
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let id = rows[0]["id"].as_str().unwrap();
    let reply = server.ask(id, &json!({"question": "What is Parlor?"})).await.expect(200).json();
    assert!(!reply["text"].as_str().unwrap().is_empty(), "{reply}");
}

#[tokio::test]
async fn a_server_told_to_start_without_an_example_has_no_chatflow() {
    let server = Parlor::start();
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    assert_eq!(rows, json!([]));
}

#[tokio::test]
async fn the_example_is_not_installed_again_after_it_was_deleted() {
    let mut server = Parlor::start_with(Options::default().with_example());
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    let path = format!("/api/v1/chatflows/{}", rows[0]["id"].as_str().unwrap());
    server.operator().delete(&path).await.expect(200);
    server.terminate().await;
    let server = server.restart();
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    assert_eq!(rows, json!([]));
}

#[tokio::test]
async fn sigterm_ends_a_server_with_success_and_everything_is_there_again() {
    let model = Scripted::saying("Hello.").await;
    let mut server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let (_, key) = server.api_key("kept").await;
    server.ask(&flow, &json!({"question": "hi", "chatId": "c"})).await.expect(200);
    assert!(server.terminate().await.success());
    let server = server.restart();
    assert_eq!(server.messages(&flow, "sessionId=c").await.len(), 2);
    server.anyone().bearer(&key).get("/api/v1/chatflows").await.expect(200);
    // The credential was readable again, or the model would not be reached.
    server.ask(&flow, &json!({"question": "again", "chatId": "c"})).await.expect(200);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_with_a_reason() {
    let server = Parlor::start();
    let folder = server.folder();
    let output = run_command(&folder, &["serve", "--host", "127.0.0.1", "--port", "0"]);
    assert!(!output.status.success(), "two servers share one folder");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    let lower = stderr.to_lowercase();
    assert!(["use", "lock", "running"].iter().any(|word| lower.contains(word)), "{stderr}");
    server.anyone().get("/api/v1/ping").await.expect(200);
}
