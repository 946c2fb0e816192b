//! The load generator against a small stand-in for the server, whose faults are staged:
//! what it reports must be what happened.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic, in its helpers too")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use parlor_benches::http;
use parlor_benches::ledger::Ledger;
use parlor_benches::load::{self, Mode, Plan, Report, Sessions, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the stand-in does with request number `n` of a connection.
type Behaviour = fn(n: usize) -> Reply;

enum Reply {
    /// The right answer, after a pause.
    After(Duration),
    /// The right text for another session.
    OtherSession,
    /// 503.
    Full,
    /// A stream of two tokens.
    Stream,
    /// A stream that breaks off before `end`.
    HalfStream,
    /// No answer: the connection closes.
    Close,
}

async fn stand_in(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behaviour));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour) -> Option<()> {
    let mut buffer = BytesMut::new();
    for n in 0.. {
        let session = next_session(&mut stream, &mut buffer).await?;
        let reply = match behaviour(n) {
            Reply::After(pause) => {
                tokio::time::sleep(pause).await;
                whole("200 OK", &format!(r#"{{"text":"yes","sessionId":"{session}"}}"#))
            }
            Reply::OtherSession => whole("200 OK", r#"{"text":"yes","sessionId":"other"}"#),
            Reply::Full => whole("503 Busy", "{}"),
            Reply::Stream => streamed(&session, true),
            Reply::HalfStream => streamed(&session, false),
            Reply::Close => return None,
        };
        stream.write_all(reply.as_bytes()).await.ok()?;
    }
    None
}

async fn next_session(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<String> {
    loop {
        if let Some(end) = http::head_end(buffer)
            && let Some(http::BodyLength::Exactly(length)) = http::body_length(&buffer[..end])
            && buffer.len() >= end + length
        {
            let message = buffer.split_to(end + length);
            let body: serde_json::Value = serde_json::from_slice(&message[end..]).unwrap();
            return body["overrideConfig"]["sessionId"].as_str().map(str::to_owned);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn whole(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn streamed(session: &str, to_its_end: bool) -> String {
    let mut events = vec![
        r#"{"event":"start","data":"y"}"#.to_owned(),
        r#"{"event":"token","data":"y"}"#.to_owned(),
        r#"{"event":"token","data":"es"}"#.to_owned(),
        format!(r#"{{"event":"metadata","data":{{"sessionId":"{session}"}}}}"#),
    ];
    if to_its_end {
        events.push(r#"{"event":"end","data":"[DONE]"}"#.to_owned());
    }
    let body: String = events.iter().map(|event| format!("message:\ndata:{event}\n\n")).collect();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

async fn plan(behaviour: Behaviour, n_requests: u64) -> Plan {
    let target = Target::Flow("f".into());
    let plan = Plan::closed(stand_in(behaviour).await, target, 2, Duration::from_secs(20));
    Plan { max_requests: Some(n_requests), expect: Some("yes".into()), ..plan }
}

async fn run(plan: &Plan) -> Report {
    let report = load::run(plan).await.unwrap();
    assert!(report.adds_up(), "{}", report.to_json());
    report
}

#[tokio::test]
async fn every_right_answer_is_counted_once() {
    let report = run(&plan(|_| Reply::After(Duration::ZERO), 100).await).await;
    assert!(report.is_clean());
    assert_eq!((report.n_right, report.statuses[&200]), (100, 100));
}

#[tokio::test]
async fn an_answer_for_another_session_is_wrong_though_its_text_is_right() {
    let report = run(&plan(|_| Reply::OtherSession, 10).await).await;
    assert_eq!((report.n_right, report.failures["wrong: another session"]), (0, 10));
}

#[tokio::test]
async fn a_full_server_is_counted_apart_from_one_that_breaks_off() {
    let behaviour = |n| if n % 2 == 0 { Reply::Full } else { Reply::Close };
    let report = run(&plan(behaviour, 8).await).await;
    let (n_full, n_lost) = (report.statuses[&503], report.failures["connection lost"]);
    assert_eq!((report.n_right, n_full + n_lost), (0, 8));
    assert!(report.refused.is_some() && report.latency.is_none());
}

#[tokio::test]
async fn streams_are_read_to_their_end() {
    let whole = Plan { stream: true, ..plan(|_| Reply::Stream, 10).await };
    let report = run(&whole).await;
    assert_eq!((report.n_right, report.n_tokens), (10, 20));
    assert!(report.first_token.is_some());

    let half = Plan { stream: true, ..plan(|_| Reply::HalfStream, 10).await };
    let report = run(&half).await;
    assert_eq!(report.failures["wrong: a stream without `end`"], 10);
}

/// One connection, a request due every 10 ms, the first answer after 400 ms: a client
/// that waits for its answers would report one slow request, but 40 were due meanwhile.
#[tokio::test]
async fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
    let stalls_once = |n| Reply::After(Duration::from_millis(if n == 0 { 400 } else { 0 }));
    let open = Plan {
        mode: Mode::Open(100.0),
        n_connections: 1,
        duration: Duration::from_millis(600),
        max_requests: None,
        ..plan(stalls_once, 0).await
    };
    let report = run(&open).await;
    let latency = report.latency.unwrap();
    assert_eq!((report.n_intended, report.n_right), (60, 60));
    assert!(latency.p50_ms > 50.0, "{latency}");
    assert!(report.n_late >= 30, "{}", report.n_late);
}

#[tokio::test]
async fn the_ledger_knows_how_many_turns_each_session_was_promised() {
    let base = plan(|_| Reply::After(Duration::ZERO), 12).await;
    let sessions = Sessions::Rotating { n_sessions: 3, n_turns: 2 };
    let plan = Plan { sessions, keeps_ledger: true, ..base };
    let ledger = Ledger::of(&plan, &run(&plan).await, 100);
    let promised: Vec<_> = ledger.promised().collect();
    assert_eq!(promised.len(), 6);
    assert!(promised.iter().all(|(_, n_turns)| *n_turns == 2), "{promised:?}");
}
