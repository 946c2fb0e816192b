//! `parlor health`: what a scheduler's check learns of a server.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::server::run_command;
use crate::support::{Options, Parlor, Scripted, eventually};
use tempfile::TempDir;

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn ok(word: &str) -> (Option<i32>, String, String) {
    (Some(0), word.to_owned(), String::new())
}

#[tokio::test]
async fn a_server_is_ready_by_its_folder_its_port_and_its_address() {
    let server = Parlor::start();
    assert_eq!(said(&server.command(&["health"])), ok("ready"));
    let nowhere = TempDir::new().unwrap();
    let port = server.address().rsplit(':').next().unwrap();
    assert_eq!(said(&run_command(&nowhere, &["health", "--port", port])), ok("ready"));
    let url = format!("http://{}/", server.address());
    assert_eq!(said(&run_command(&nowhere, &["health", "--url", &url])), ok("ready"));
    assert_eq!(nowhere.path().read_dir().unwrap().count(), 0, "a look has made a data folder");
    let output = server.command(&["health", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen, json!({"alive": true, "ready": true, "message": ""}));
}

#[tokio::test]
async fn a_server_that_stops_is_alive_and_not_ready() {
    let server = Parlor::start_with(Options::default().args(&["--drain-grace-s", "300"]));
    server.send_sigterm();
    let is_draining = async || server.anyone().get("/readyz").await.status == 503;
    assert!(eventually(std::time::Duration::from_secs(60), is_draining).await, "it stays ready");
    let (code, out, err) = said(&server.command(&["health"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("parlor: not ready: the server is stopping"), "{err}");
    assert_eq!(said(&server.command(&["health", "--alive"])), ok("alive"));
    let output = server.command(&["health", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&seen["alive"], &seen["ready"]), (&json!(true), &json!(false)));
    assert!(seen["message"].as_str().unwrap().contains("stopping"), "{seen}");
}

#[tokio::test]
async fn where_nobody_answers_or_something_else_does_one_sentence_says_so() {
    let nowhere = TempDir::new().unwrap();
    let (code, _, err) = said(&run_command(&nowhere, &["health"]));
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
    assert!(err.contains("no server answers on this data folder"), "{err}");
    let model = Scripted::saying("Hello.").await;
    let base = model.base();
    drop(model);
    let (code, _, err) = said(&run_command(&nowhere, &["health", "--alive", "--url", &base]));
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
    assert!(err.contains(&base), "{err}");
    let server = Parlor::start();
    let url = format!("http://{}/api-docs", server.address());
    let (code, _, err) = said(&run_command(&nowhere, &["health", "--url", &url]));
    assert_eq!(code, Some(1));
    assert!(err.contains("is no Parlor"), "{err}");
}
