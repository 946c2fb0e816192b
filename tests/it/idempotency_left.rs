//! A client that sent an `Idempotency-Key` and left: its turn runs to its end
//! without it, and the repetition gets the answer.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::idempotency::{START, ask, is_replayed};
use crate::support::scripted::words;
use crate::support::{Answer, Gate, Options, Parlor, Reply, Scripted, eventually, sse};

/// A conversation whose model answers the first half at once and the rest
/// when the gate is opened.
async fn paused(options: Options, text: &str) -> (Parlor, Scripted, String, Gate) {
    let (gate, tokens) = (Gate::default(), words(text));
    let held = gate.clone();
    let model = Scripted::start(move |_| Answer::Pause(tokens.clone(), held.clone())).await;
    let server = Parlor::start_with(options);
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow, gate)
}

fn question(streaming: bool) -> Value {
    json!({"question": "hello", "streaming": streaming, "chatId": "c"})
}

/// Asks under the key `k1`, and leaves while the model answers. The server has
/// seen it when it closes its side too.
async fn ask_and_leave(server: &Parlor, model: &Scripted, flow: &str, body: &Value) {
    let body = body.to_string();
    let mut socket = TcpStream::connect(server.address()).await.expect("the server accepts");
    let request = format!(
        "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k1\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("the server reads");
    assert!(eventually(START, async || model.n_open() == 1).await, "the model was not asked");
    socket.shutdown().await.expect("the server listens");
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(START, socket.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the server keeps the connection of a client that left");
    assert!(!String::from_utf8_lossy(&rest).contains("chatMessageId"), "it was answered");
}

/// Repeats the request until it is not told to wait any more.
async fn ask_again(server: &Parlor, flow: &str, body: &Value) -> Reply {
    let over = async || ask(server, flow, "k1", body).await.status != 409;
    assert!(eventually(START, over).await, "the first request runs for ever");
    ask(server, flow, "k1", body).await
}

#[tokio::test]
async fn p19_a_client_with_a_key_that_left_gets_its_answer_when_it_comes_again() {
    for streaming in [false, true] {
        let (server, model, flow, gate) = paused(Options::default(), "Nice to meet you.").await;
        let body = question(streaming);
        ask_and_leave(&server, &model, &flow, &body).await;
        let early = ask(&server, &flow, "k1", &body).await;
        assert_eq!(early.header("retry-after"), Some("1"), "{early:?}");
        early.expect_error(409);
        gate.open();
        let reply = ask_again(&server, &flow, &body).await.expect(200);
        assert!(is_replayed(&reply), "{reply:?}");
        let text = if streaming {
            sse::text(&reply.events())
        } else {
            reply.json()["text"].as_str().unwrap().to_owned()
        };
        assert_eq!(text, "Nice to meet you.");
        assert_eq!(model.received().len(), 1, "the model was asked again");
        assert_eq!(server.messages(&flow, "sessionId=c").await.len(), 2);
    }
}

#[tokio::test]
async fn p19_a_long_stream_whose_reader_left_is_not_held_by_its_full_channel() {
    let long = "word ".repeat(2_000);
    let (server, model, flow, gate) = paused(Options::default(), &long).await;
    let body = question(true);
    ask_and_leave(&server, &model, &flow, &body).await;
    gate.open();
    let reply = ask_again(&server, &flow, &body).await.expect(200);
    assert!(is_replayed(&reply), "{reply:?}");
    assert_eq!(sse::text(&reply.events()), long);
    assert_eq!(model.received().len(), 1);
}

#[tokio::test]
async fn p19_a_turn_whose_client_left_is_aborted_like_any_other() {
    for streaming in [false, true] {
        let (server, model, flow, _gate) = paused(Options::default(), "Never said.").await;
        let body = question(streaming);
        ask_and_leave(&server, &model, &flow, &body).await;
        let abort = format!("/api/v1/chatmessage/abort/{flow}/c");
        server.anyone().put(&abort, &json!({})).await.expect(200);
        model.answer(|_| Answer::Say(words("At last.")));
        let reply = ask_again(&server, &flow, &body).await.expect(200);
        assert!(reply.body.contains("last."), "{reply:?}");
        assert_eq!(model.received().len(), 2, "the aborted turn was answered");
        assert_eq!(server.messages(&flow, "").await.len(), 2);
    }
}

#[tokio::test]
async fn p19_a_turn_whose_client_left_keeps_its_permit_to_its_end_and_gives_it_back() {
    let options = Options::default().args(&["--max-turns", "1"]);
    let (server, model, flow, gate) = paused(options, "Nice to meet you.").await;
    ask_and_leave(&server, &model, &flow, &question(true)).await;
    let other = json!({"question": "other", "chatId": "d"});
    server.ask(&flow, &other).await.expect_error(503);
    gate.open();
    assert!(is_replayed(&ask_again(&server, &flow, &question(true)).await));
    // The permit comes back a moment after the answer is stored.
    let admitted = async || server.ask(&flow, &other).await.status == 200;
    assert!(eventually(START, admitted).await, "the permit is lost");
    let metrics = server.operator().get("/metrics").await.expect(200).body;
    let cancelled = metrics.lines().find(|line| line.contains("outcome=\"cancelled\""));
    assert!(cancelled.is_some_and(|line| line.ends_with(" 0")), "{cancelled:?}");
}

#[tokio::test]
async fn p19_a_stopping_server_waits_for_a_turn_whose_client_left() {
    let (mut server, model, flow, gate) = paused(Options::default(), "Nice to meet you.").await;
    ask_and_leave(&server, &model, &flow, &question(false)).await;
    server.send_sigterm();
    let caller = server.anyone();
    let is_draining = async || caller.get("/readyz").await.status == 503;
    assert!(eventually(START, is_draining).await, "the server stays ready after SIGTERM");
    gate.open();
    assert_eq!(server.ended().await.code(), Some(0));
    let server = server.restart();
    let reply = ask(&server, &flow, "k1", &question(false)).await.expect(200);
    assert!(is_replayed(&reply), "{reply:?}");
    assert_eq!(server.messages(&flow, "sessionId=c").await.len(), 2);
}

#[tokio::test]
async fn p19_a_stopping_server_cuts_off_a_turn_whose_client_left_when_time_is_over() {
    for streaming in [false, true] {
        let options = Options::default().args(&["--drain-s", "0"]);
        let (mut server, model, flow, _gate) = paused(options, "Never said.").await;
        ask_and_leave(&server, &model, &flow, &question(streaming)).await;
        assert_eq!(server.terminate().await.code(), Some(0));
        let server = server.restart();
        assert!(server.messages(&flow, "").await.is_empty());
    }
}

#[tokio::test]
async fn p19_where_nothing_is_stored_a_client_that_leaves_takes_its_turn_with_it() {
    let (server, model, flow, _gate) = paused(Options::default(), "Never said.").await;
    let config = json!({"apiConfig": json!({"storeMessages": false}).to_string()});
    server.operator().put(&format!("/api/v1/chatflows/{flow}"), &config).await.expect(200);
    model.answer(|_| Answer::Hang);
    ask_and_leave(&server, &model, &flow, &question(true)).await;
    assert!(eventually(START, async || model.n_open() == 0).await, "the call goes on");
}
