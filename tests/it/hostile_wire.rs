//! Connections that mean no good, byte for byte: slow ones, broken ones, many
//! at once. Honest callers beside them notice nothing.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::scripted::words;
use crate::support::{Answer, Gate, Options, Parlor, Scripted, eventually, raw};

const PATIENCE: Duration = Duration::from_secs(30);
/// Of each kind of hostile connection.
const N_HOSTILE: usize = 100;
/// Turns that wait in one session.
const QUEUE: usize = 64;

async fn conversation(options: Options) -> (Parlor, Scripted, String) {
    let model = Scripted::saying("Fine.").await;
    let server = Parlor::start_with(options);
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow)
}

fn impatient() -> Options {
    Options::default().env("PARLOR_BODY_TIMEOUT_S", "1")
}

async fn begin(server: &Parlor, bytes: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket
}

/// What comes until the server closes the connection.
async fn rest_of(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await;
    assert!(reading.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn head_of_a_post(server: &Parlor, flow: &str, n_bytes: usize) -> String {
    format!(
        "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {n_bytes}\r\n",
        server.address()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p13_honest_callers_are_served_beside_slow_heads_slow_bodies_and_idle_readers() {
    let (server, model, flow) = conversation(Options::default()).await;
    model.answer(|request| {
        let asked = request.messages().pop().map(|(_, content)| content).unwrap_or_default();
        let is_hostile = asked == "flood me";
        Answer::Say(if is_hostile { vec!["x".repeat(1000); 5_000] } else { words("Fine.") })
    });
    let body = json!({"question": "flood me", "streaming": true}).to_string();
    let mut hostile = Vec::new();
    for n in 0..N_HOSTILE {
        hostile.push(begin(&server, "POST /api/v1/prediction/x HTTP/1.1\r\nX-Slow: ").await);
        hostile.push(begin(&server, &(head_of_a_post(&server, &flow, 5000) + "\r\n{")).await);
        if n % 10 == 0 {
            let reader = head_of_a_post(&server, &flow, body.len()) + "\r\n" + &body;
            hostile.push(begin(&server, &reader).await);
        }
    }
    for n in 0..N_HOSTILE {
        let chat = format!("honest {}", n % 7);
        let reply = server.ask(&flow, &json!({"question": "hi", "chatId": chat})).await;
        assert_eq!(reply.expect(200).json()["text"], "Fine.");
    }
    drop(hostile);
}

#[tokio::test]
async fn p13_idle_connections_do_not_use_up_the_open_files_that_a_shell_gives() {
    let (server, _model, flow) = conversation(Options::default().open_files(128)).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(begin(&server, "").await);
    }
    server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
    // Who waits until idle ones are given up is served too, but had to wait.
    assert!(!server.log().contains("open files"), "{}", server.log());
}

#[tokio::test]
async fn p13_a_thousand_connections_at_once_wait_for_their_turn() {
    let (server, _model, flow) = conversation(Options::default()).await;
    server.signal("STOP");
    let opened = futures::future::join_all((0..1_000).map(|_| begin(&server, "")));
    // While the server takes none, those that its queue has no room for are never opened.
    let opened = tokio::time::timeout(Duration::from_secs(20), opened).await;
    server.signal("CONT");
    assert!(opened.is_ok(), "connections were turned away");
    server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
}

#[tokio::test]
async fn a21_a_head_or_a_body_that_drips_is_given_up() {
    let (server, model, flow) = conversation(impatient()).await;
    let head = begin(&server, "POST /api/v1/prediction/x HTTP/1.1\r\nX-Slow: ").await;
    let json = begin(&server, &(head_of_a_post(&server, &flow, 5000) + "\r\n{\"question\"")).await;
    let form = head_of_a_post(&server, &flow, 5000)
        .replace("application/json", "multipart/form-data; boundary=b");
    let form = begin(&server, &(form + "\r\n--b\r\nContent-Disp")).await;
    let chunked = head_of_a_post(&server, &flow, 0)
        .replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunked = begin(&server, &(chunked + "\r\n1\r\n{\r\n")).await;
    for (kind, socket) in [("head", head), ("JSON", json), ("form", form), ("chunks", chunked)] {
        let answer = rest_of(socket).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{kind}: {answer}");
    }
    assert!(model.received().is_empty());
    assert_eq!(server.messages(&flow, "").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a21_a_crowd_on_one_session_is_queued_to_its_limit_and_refused_beyond() {
    let (server, model, flow) = conversation(Options::default()).await;
    let gate = Gate::default();
    let pause = gate.clone();
    model.answer(move |request| match request.text.contains("wait for it") {
        true => Answer::Pause(words("one two"), pause.clone()),
        false => Answer::Say(words("at once")),
    });
    let ask = |_| {
        let (caller, path) = (server.anyone(), format!("/api/v1/prediction/{flow}"));
        let body = json!({"question": "wait for it", "chatId": "one"});
        tokio::spawn(async move { caller.post(&path, &body).await })
    };
    let asked: Vec<_> = (0..300).map(ask).collect();
    let n_expected = 300 - QUEUE - 1;
    let n_refused = || asked.iter().filter(|reply| reply.is_finished()).count();
    assert!(eventually(PATIENCE, async || n_refused() == n_expected).await, "{}", n_refused());
    server.ask(&flow, &json!({"question": "hi", "chatId": "other"})).await.expect(200);
    gate.open();
    let mut n_answered = 0;
    for reply in asked {
        let reply = reply.await.unwrap();
        if reply.status == 200 {
            n_answered += 1;
        } else {
            assert!(reply.expect_error(429).contains("session"), "{reply:?}");
            assert!(reply.header("retry-after").is_some(), "{reply:?}");
        }
    }
    assert_eq!(n_answered, QUEUE + 1);
    assert_eq!(server.messages(&flow, "sessionId=one").await.len(), 2 * n_answered);
}

/// Requests whose length or end two parsers could see in two ways.
const AMBIGUOUS: [&str; 12] = [
    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "Content-Length: 4\r\nContent-Length: 40\r\n",
    "Content-Length: 4, 40\r\n",
    "Content-Length: +4\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Length : 4\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: \u{b}chunked\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\n",
];

#[tokio::test]
async fn a1_no_request_is_smuggled_behind_another() {
    let (server, _model, flow) = conversation(Options::default()).await;
    let hidden = format!("GET /api/v1/chatflows-streaming/{flow} HTTP/1.1\r\nHost: h\r\n\r\n");
    for header in AMBIGUOUS {
        let text = format!(
            "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: h\r\n\
             Content-Type: application/json\r\n{header}\r\n0\r\n\r\n{hidden}"
        );
        let mut socket = begin(&server, &text).await;
        socket.shutdown().await.unwrap();
        let answer = rest_of(socket).await;
        let n_answers = answer.matches("HTTP/1.1 ").count();
        assert!(!answer.contains("isStreaming"), "{header:?} let one through: {answer}");
        assert!(n_answers <= 1 && !answer.contains(" 200 "), "{header:?}: {answer}");
    }
    server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
}

#[tokio::test]
async fn a17_what_is_no_http_is_refused_and_the_server_goes_on() {
    let (server, _model, flow) = conversation(Options::default()).await;
    let path = format!("/api/v1/prediction/{flow}");
    let long = "x".repeat(200_000);
    for text in [
        "GET\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(5_000)),
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nX y\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"),
        format!("GET {path} HTTP/9.9\r\nHost: h\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
    ] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        // The server may close before it has read all of it.
        let _ = socket.write_all(text.as_bytes()).await;
        let _ = socket.shutdown().await;
        let answer = rest_of_broken(socket).await;
        let shown: String = text.chars().take(60).collect();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer}");
    }
    server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
}

/// As [`rest_of`], of a server that resets what it does not want to read.
async fn rest_of_broken(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await;
    assert!(reading.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a17_bytes_that_are_no_json_or_no_text_are_bad_requests() {
    let (server, model, flow) = conversation(Options::default()).await;
    for body in [
        &b"{\"question\": \"\xff\xfe\"}"[..],
        b"{\"question\": \"\xc3\"}",
        b"\xef\xbb\xbf{\"question\": \"hi\"",
        b"{\"question\": \"hi\", \"overrideConfig\": {\"temperature\": NaN}}",
        b"{\"question\": \"hi\", \"overrideConfig\": {\"temperature\": 1e400}}",
        b"{\"question\": \"hi\", \"overrideConfig\": {\"temperature\": -Infinity}}",
        b"{\"question\": \"\\ud800\"}",
        b"{\"question\": \"hi\"} {\"question\": \"hi\"}",
        b"{\"question\": \"a\0b\"}",
    ] {
        let mut bytes = (head_of_a_post(&server, &flow, body.len()) + "\r\n").into_bytes();
        bytes.extend_from_slice(body);
        let reply = raw::exchange(server.address(), &bytes).await;
        assert_eq!(reply.status, 400, "{:?}: {reply:?}", String::from_utf8_lossy(body));
        reply.error_message();
    }
    assert!(model.received().is_empty());
}

#[tokio::test]
async fn a17_a_body_of_very_many_small_things_is_refused_before_they_fill_the_memory() {
    let (server, model, flow) = conversation(Options::default()).await;
    let zeros = "0,".repeat(200_000);
    let keys: Vec<_> = (0..2_000).map(|n| format!("\"k{n}\":1")).collect();
    let keys = keys.join(",");
    let quoted = format!("[{zeros}0]");
    for (kind, body, part) in [
        ("json", format!("{{\"question\":\"x\",\"y\":[{zeros}0]}}"), "values"),
        ("json", format!("{{\"question\":\"x\",\"overrideConfig\":{{{keys}}}}}"), "keys"),
        (
            "json",
            format!("{{\"question\":\"x\",\"overrideConfig\":{{\"vars\":{{{keys}}}}}}}"),
            "keys",
        ),
        ("x-www-form-urlencoded", "question=x&".repeat(200_000), "fields"),
        ("x-www-form-urlencoded", format!("question=x&history={quoted}"), "values"),
    ] {
        let head = head_of_a_post(&server, &flow, body.len())
            .replace("application/json", &format!("application/{kind}"));
        let reply = raw::exchange(server.address(), (head + "\r\n" + &body).as_bytes()).await;
        assert_eq!(reply.status, 400, "{part}: {reply:?}");
        assert!(reply.error_message().contains(part), "{part}: {reply:?}");
    }
    assert!(model.received().is_empty());
}
