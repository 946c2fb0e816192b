//! A person stops an answer that is on its way: theirs, and nobody else's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::scripted::words;
use crate::support::{Answer, Flow, Parlor, Scripted, eventually, http};

/// A limit and no guess at a duration: a call that nobody drops stays for two
/// minutes, and on a machine that is busy elsewhere a second proves nothing.
const SOON: Duration = Duration::from_secs(20);
const START: Duration = Duration::from_secs(60);

async fn conversation(answer: Answer) -> (Parlor, Scripted, String) {
    let model = Scripted::start(move |_| answer.clone()).await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow)
}

fn abort_path(flow: &str, chat: &str) -> String {
    format!("/api/v1/chatmessage/abort/{flow}/{chat}")
}

async fn abort(server: &Parlor, flow: &str, chat: &str) -> http::Reply {
    server.anyone().put(&abort_path(flow, chat), &json!({})).await
}

fn aborted() -> Value {
    json!({"status": 200, "message": "Chat message aborted"})
}

/// Asks on a task of its own, and waits until the model has the question.
async fn ask_aside(
    server: &Parlor,
    model: &Scripted,
    flow: &str,
    body: Value,
) -> tokio::task::JoinHandle<http::Reply> {
    let n_before = model.n_open();
    let (caller, path) = (server.anyone(), format!("/api/v1/prediction/{flow}"));
    let asked = tokio::spawn(async move { caller.post(&path, &body).await });
    let reached = eventually(START, async || model.n_open() > n_before).await;
    assert!(reached, "the model was not asked");
    asked
}

#[tokio::test]
async fn a_stream_that_is_aborted_says_so_and_ends_and_the_chat_goes_on() {
    for said in ["a few words ", ""] {
        let hang = if said.is_empty() { Answer::Hang } else { Answer::Stall(words(said)) };
        let (server, model, flow) = conversation(hang).await;
        let body = json!({"question": "stop me", "chatId": "c", "streaming": true});
        let asked = ask_aside(&server, &model, &flow, body).await;
        assert_eq!(abort(&server, &flow, "c").await.expect(200).json(), aborted());
        let events = asked.await.unwrap().expect(200).events();
        let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names[names.len() - 2..], ["abort", "end"], "{events:?}");
        assert!(!names.contains(&"metadata") && !names.contains(&"error"), "{events:?}");
        assert!(eventually(SOON, async || model.n_open() == 0).await, "the call goes on");
        assert_eq!(server.messages(&flow, "").await, [], "an aborted turn was stored");
        abort(&server, &flow, "c").await.expect_error(404);
        model.answer(|_| Answer::Say(words("Still here.")));
        let body = json!({"question": "go on", "chatId": "c"});
        server.ask(&flow, &body).await.expect(200);
        assert_eq!(server.messages(&flow, "").await.len(), 2);
    }
}

#[tokio::test]
async fn an_answer_in_one_piece_that_is_aborted_is_a_conflict() {
    let (server, model, flow) = conversation(Answer::Hang).await;
    let asked = ask_aside(&server, &model, &flow, json!({"question": "x", "chatId": "c"})).await;
    abort(&server, &flow, "c").await.expect(200);
    asked.await.unwrap().expect_error(409);
    assert_eq!(server.messages(&flow, "").await, []);
}

#[tokio::test]
async fn a_turn_is_found_by_its_chat_whatever_its_session() {
    let (server, model, flow) = conversation(Answer::Hang).await;
    let ask = |chat: &str| {
        let body = json!({
            "question": "x", "chatId": chat, "streaming": true,
            "overrideConfig": {"sessionId": format!("session of {chat}")}
        });
        ask_aside(&server, &model, &flow, body)
    };
    let (one, ten) = (ask("c1").await, ask("c10").await);
    abort(&server, &flow, "session%20of%20c1").await.expect_error(404);
    abort(&server, &flow, "c").await.expect_error(404);
    abort(&server, &flow, "c1").await.expect(200);
    assert!(one.await.unwrap().body.contains("\"abort\""));
    assert!(!ten.is_finished(), "a neighbour was aborted");
    abort(&server, &flow, "c10").await.expect(200);
    ten.await.unwrap().expect(200);
}

#[tokio::test]
async fn a10_who_guesses_hears_the_same_for_every_id() {
    let (server, model, flow) = conversation(Answer::Hang).await;
    let other = server.install_llm_chain(&model.basepath()).await;
    model.answer(|_| Answer::Say(words("Hello.")));
    server.ask(&flow, &json!({"question": "x", "chatId": "silent"})).await.expect(200);
    model.answer(|_| Answer::Hang);
    let running = json!({"question": "x", "chatId": "running"});
    let asked = ask_aside(&server, &model, &flow, running).await;
    let missing = "00000000-0000-4000-8000-000000000000";
    let long = "x".repeat(600);
    let guesses = [
        (flow.as_str(), "silent"),
        (flow.as_str(), "unknown"),
        (flow.as_str(), "runnin"),
        (flow.as_str(), "running2"),
        (flow.as_str(), "..%2f..%2frunning"),
        (flow.as_str(), "%00running"),
        (flow.as_str(), long.as_str()),
        (other.as_str(), "running"),
        (missing, "running"),
        ("not-a-uuid", "running"),
        ("..%2f", "running"),
    ];
    let first = abort(&server, &flow, "nobody").await;
    first.expect_error(404);
    for (flow, chat) in guesses {
        let reply = abort(&server, flow, chat).await;
        assert_eq!((reply.status, &reply.body), (404, &first.body), "{flow}/{chat}");
    }
    assert!(!asked.is_finished(), "a guess aborted a turn");
    abort(&server, &flow, "running").await.expect(200);
    asked.await.unwrap().expect_error(409);
}

#[tokio::test]
async fn a_protected_chatflows_turns_are_aborted_with_its_key_from_its_page() {
    let model = Scripted::start(|_| Answer::Hang).await;
    let server = Parlor::start();
    let credential = server.openai_credential().await;
    let (key_id, key) = server.api_key("of the flow").await;
    let (_, other_key) = server.api_key("another").await;
    let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
    let mut row = flow.row("protected");
    row["apikeyid"] = json!(key_id);
    row["chatbotConfig"] = json!("{\"allowedOrigins\": [\"https://good.example\"]}");
    let flow = server.install_row(&row).await;
    let (caller, path) = (server.anyone().bearer(&key), format!("/api/v1/prediction/{flow}"));
    let asked =
        tokio::spawn(
            async move { caller.post(&path, &json!({"question": "x", "chatId": "c"})).await },
        );
    assert!(eventually(START, async || model.n_open() == 1).await, "the model was not asked");
    let path = abort_path(&flow, "c");
    abort(&server, &flow, "c").await.expect_error(401);
    server.anyone().bearer(&other_key).put(&path, &json!({})).await.expect_error(401);
    let right = || server.anyone().bearer(&key);
    right().with("origin", "https://evil.example").put(&path, &json!({})).await.expect_error(403);
    assert_eq!(model.n_open(), 1, "a refused caller aborted a turn");
    right().with("origin", "https://good.example").put(&path, &json!({})).await.expect(200);
    asked.await.unwrap().expect_error(409);
}
