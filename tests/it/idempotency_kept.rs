//! What is remembered for an `Idempotency-Key` survives a kill, and not the
//! deletion of its turn.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::idempotency::{START, ask, assert_replayed, conversation, is_replayed, keyed};
use crate::support::scripted::words;
use crate::support::server::run_command;
use crate::support::{Answer, Gate, Options, Parlor, eventually, sse};

#[tokio::test]
async fn p19_the_same_answer_is_there_after_a_kill() {
    let (mut server, model, flow) = conversation().await;
    // Long enough to be stored in parts.
    let long = words(&"many words ".repeat(3_000));
    model.answer(move |_| Answer::Say(long.clone()));
    let bodies = [json!({"question": "a"}), json!({"question": "b", "streaming": true})];
    let mut first = Vec::new();
    for (key, body) in ["ka", "kb"].iter().zip(&bodies) {
        first.push(ask(&server, &flow, key, body).await.expect(200));
    }
    server.kill9();
    let server = server.restart();
    assert_replayed(&first[0], &ask(&server, &flow, "ka", &bodies[0]).await);
    let streamed = ask(&server, &flow, "kb", &bodies[1]).await.expect(200);
    assert_eq!(sse::text(&streamed.events()), sse::text(&first[1].events()));
    assert_eq!(model.received().len(), 2);
    assert_eq!(server.messages(&flow, "").await.len(), 4);
    assert!(server.command(&["verify"]).status.success());
}

#[tokio::test]
async fn p19_a_kill_before_the_answer_leaves_nothing_and_the_key_free() {
    let (mut server, model, flow) = conversation().await;
    let gate = Gate::default();
    let held = gate.clone();
    model.answer(move |_| Answer::Pause(words("Too late for you."), held.clone()));
    let body = json!({"question": "hello", "streaming": true, "chatId": "c"});
    let path = format!("/api/v1/prediction/{flow}");
    let mut response = keyed(&server, "k1").open_post(&path, &body).await;
    response.chunk().await.unwrap().expect("a first piece");
    server.kill9();
    gate.open();
    drop(response);
    let server = server.restart();
    assert_eq!(server.messages(&flow, "").await, []);
    let first = ask(&server, &flow, "k1", &body).await.expect(200);
    assert!(!is_replayed(&first), "{first:?}");
    assert!(is_replayed(&ask(&server, &flow, "k1", &body).await.expect(200)));
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}

#[tokio::test]
async fn p19_kills_at_any_moment_leave_the_turn_with_its_answer_or_neither() {
    let (mut server, model, flow) = conversation().await;
    let path = format!("/api/v1/prediction/{flow}");
    for round in 0..5 {
        let body = json!({"question": format!("q{round}"), "chatId": format!("c{round}")});
        let (n_before, key) = (model.received().len(), format!("k{round}"));
        let (caller, sent, to) = (keyed(&server, &key), body.clone(), path.clone());
        let asked = tokio::spawn(async move { caller.post(&to, &sent).await });
        // The answer is on its way to the disk about now.
        let reached = eventually(START, async || model.received().len() > n_before).await;
        assert!(reached, "the model was not asked");
        server.kill9();
        let acknowledged = asked.await.ok();
        server = server.restart();
        let stored = server.messages(&flow, &format!("chatId=c{round}")).await.len();
        assert!(stored == 0 || stored == 2, "{stored} messages");
        let again = ask(&server, &flow, &key, &body).await.expect(200);
        assert_eq!(is_replayed(&again), stored == 2, "{again:?}");
        if let Some(first) = acknowledged {
            assert_replayed(&first, &again);
        }
        assert_eq!(server.messages(&flow, &format!("chatId=c{round}")).await.len(), 2);
    }
}

#[tokio::test]
async fn p19_deleting_the_session_the_message_or_the_history_takes_the_answer() {
    let (server, model, flow) = conversation().await;
    let body = json!({"question": "hello", "overrideConfig": {"sessionId": "s1"}});
    let neighbour = json!({"question": "hello", "overrideConfig": {"sessionId": "s10"}});
    let kept = ask(&server, &flow, "neighbour", &neighbour).await.expect(200);
    for selector in ["?sessionId=s1", "?chatId=s1", "?messageId=", ""] {
        let first = ask(&server, &flow, "k1", &body).await.expect(200);
        assert!(!is_replayed(&first), "{selector}: {first:?}");
        assert!(is_replayed(&ask(&server, &flow, "k1", &body).await), "{selector}");
        let id = first.json()["chatMessageId"].as_str().unwrap().to_owned();
        let selector =
            if selector.ends_with("Id=") { selector.to_owned() + &id } else { selector.into() };
        if !selector.is_empty() {
            assert_replayed(&kept, &ask(&server, &flow, "neighbour", &neighbour).await);
        }
        let path = format!("/api/v1/chatmessage/{flow}{selector}");
        server.operator().delete(&path).await.expect(200);
    }
    for (key, body) in [("k1", &body), ("neighbour", &neighbour)] {
        assert!(!is_replayed(&ask(&server, &flow, key, body).await.expect(200)));
    }
    assert_eq!(model.received().len(), 7);
}

#[tokio::test]
async fn p19_a_chatflow_that_is_deleted_takes_its_answers_and_its_keys() {
    let (server, _model, flow) = conversation().await;
    let body = json!({"question": "hello"});
    ask(&server, &flow, "k1", &body).await.expect(200);
    let row = server.operator().get(&format!("/api/v1/chatflows/{flow}")).await.expect(200).json();
    server.operator().delete(&format!("/api/v1/chatflows/{flow}")).await.expect(200);
    ask(&server, &flow, "k1", &body).await.expect_error(404);
    assert_eq!(server.install_row(&row).await, flow);
    assert!(!is_replayed(&ask(&server, &flow, "k1", &body).await.expect(200)));
}

#[tokio::test]
async fn p19_a_restored_backup_gives_the_same_answers() {
    let (server, model, flow) = conversation().await;
    let body = json!({"question": "hello", "chatId": "c"});
    let first = ask(&server, &flow, "k1", &body).await.expect(200);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let done = server.command(&["backup", &path("backup")]);
    assert!(done.status.success(), "{done:?}");
    let new = tempfile::tempdir().unwrap();
    for args in [&["verify", &path("backup")][..], &["restore", &path("backup")], &["verify"]] {
        let done = run_command(&new, args);
        assert!(done.status.success(), "{args:?}: {done:?}");
    }
    // The credentials' key is kept apart from backups.
    let key_file = |folder: &TempDir| folder.path().join("encryption.key");
    std::fs::copy(key_file(&server.folder()), key_file(&new)).unwrap();
    let restored = Parlor::start_on(Arc::new(new), Options::default());
    assert_replayed(&first, &ask(&restored, &flow, "k1", &body).await);
    ask(&restored, &flow, "k1", &json!({"question": "other"})).await.expect_error(422);
    assert_eq!(model.received().len(), 1);
}
