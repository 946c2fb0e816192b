//! How a server leaves: what runs ends whole, what comes is sent elsewhere,
//! and nothing that was acknowledged is lost (P11).

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::scripted::words;
use crate::support::sse::{self, outline};
use crate::support::{Answer, Gate, Options, Parlor, Reply, Scripted, eventually, http};

const LIMIT: Duration = Duration::from_secs(60);

/// A conversation whose model answers the first half at once and the rest
/// when the gate is opened.
async fn paused(options: Options) -> (Parlor, Scripted, String, Gate) {
    let gate = Gate::default();
    let pause = gate.clone();
    let model = Scripted::start(move |_| Answer::Pause(words("one two three four"), pause.clone()));
    let model = model.await;
    let server = Parlor::start_with(options);
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow, gate)
}

/// Asks in the background, in a session of its own.
fn asking(server: &Parlor, flow: &str, chat: &str, streaming: bool) -> JoinHandle<Reply> {
    let (caller, path) = (server.anyone(), format!("/api/v1/prediction/{flow}"));
    let body = json!({"question": "hi", "chatId": chat, "streaming": streaming});
    tokio::spawn(async move { http::read(caller.open_post(&path, &body).await).await })
}

async fn until_asked(model: &Scripted, n: usize) {
    let asked = eventually(LIMIT, || async { model.received().len() >= n }).await;
    assert!(asked, "only {} of {n} questions reached the model", model.received().len());
}

async fn until_unanswered(server: &Parlor, n: u64) {
    let caller = server.operator();
    let look = async || caller.get("/api/v1/runtime").await.expect(200).json();
    let have_come = eventually(LIMIT, || async { look().await["unanswered"] == n }).await;
    assert!(have_come, "not {n} requests are there: {}", look().await);
}

async fn until_draining(server: &Parlor) -> Reply {
    let caller = server.anyone();
    let is_draining = || async { caller.get("/readyz").await.status == 503 };
    assert!(eventually(LIMIT, is_draining).await, "the server stays ready after SIGTERM");
    caller.get("/readyz").await
}

#[tokio::test]
async fn p11_streams_and_answers_that_run_at_sigterm_end_whole_and_are_stored() {
    let (mut server, model, flow, gate) = paused(Options::default()).await;
    let asked: Vec<_> =
        (0..8).map(|n| asking(&server, &flow, &format!("c{n}"), n % 2 == 0)).collect();
    until_asked(&model, 8).await;
    server.send_sigterm();
    until_draining(&server).await;
    gate.open();
    for (n, reply) in asked.into_iter().enumerate() {
        let reply = reply.await.unwrap().expect(200);
        if n % 2 == 0 {
            let events = reply.events();
            assert_eq!(outline(&events), ["start", "token", "metadata", "end"]);
            assert_eq!(sse::text(&events), "one two three four");
        } else {
            assert_eq!(reply.json()["text"], "one two three four");
        }
    }
    assert_eq!(server.ended().await.code(), Some(0));
    let server = server.restart();
    for n in 0..8 {
        assert_eq!(server.messages(&flow, &format!("sessionId=c{n}")).await.len(), 2);
    }
}

#[tokio::test]
async fn p11_a_draining_server_tells_probes_and_new_callers_to_go_elsewhere() {
    let (mut server, model, flow, gate) = paused(Options::default()).await;
    server.anyone().get("/readyz").await.expect(200);
    let running = asking(&server, &flow, "c", true);
    until_asked(&model, 1).await;
    server.send_sigterm();
    let not_ready = until_draining(&server).await;
    let prediction = server.ask(&flow, &json!({"question": "late"})).await;
    let stream = server.ask(&flow, &json!({"question": "late", "streaming": true})).await;
    let upsert = server.anyone().post(&format!("/api/v1/vector/upsert/{flow}"), &json!({})).await;
    let path = format!("/api/v1/internal-prediction/{flow}");
    let internal = server.operator().post(&path, &json!({"question": "late"})).await;
    for reply in [not_ready, prediction, stream, upsert, internal] {
        reply.expect_error(503);
        let seconds = reply.header("retry-after").expect("a time to come back");
        assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{reply:?}");
        assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
    }
    server.anyone().get("/healthz").await.expect(200);
    gate.open();
    running.await.unwrap().expect(200);
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(model.received().len(), 1, "a refused question reached the model");
}

#[tokio::test]
async fn p11_what_does_not_end_in_time_is_cut_off_with_an_error_and_an_end() {
    let (mut server, model, flow, _gate) =
        paused(Options::default().args(&["--drain-s", "0"])).await;
    // Once its head is there, a stream can fail by an event only.
    let body = json!({"question": "hi", "chatId": "stream", "streaming": true});
    let stream = server.anyone().open_post(&format!("/api/v1/prediction/{flow}"), &body).await;
    let whole = asking(&server, &flow, "whole", false);
    let waiting = asking(&server, &flow, "whole", false);
    until_asked(&model, 2).await;
    until_unanswered(&server, 3).await;
    let status = server.terminate().await;
    let events = http::read(stream).await.expect(200).events();
    assert!(outline(&events).ends_with(&["error", "end"]), "{events:?}");
    let text = sse::only(&events, "error").as_str().unwrap().to_owned();
    assert!(text.contains("the server stopped"), "{text}");
    for reply in [whole, waiting] {
        let reply = reply.await.unwrap();
        assert!(reply.expect_error(503).contains("the server stop"), "{reply:?}");
    }
    assert_eq!(status.code(), Some(0));
    let server = server.restart();
    for chat in ["stream", "whole"] {
        assert!(server.messages(&flow, &format!("sessionId={chat}")).await.is_empty(), "{chat}");
    }
}

#[tokio::test]
async fn p11_a_second_sigterm_ends_the_server_at_once_and_the_store_is_whole() {
    let (mut server, model, flow, _gate) = paused(Options::default()).await;
    let quick = Scripted::saying("Hello.").await;
    let other = server.install_conversation(&quick.basepath()).await;
    server.ask(&other, &json!({"question": "hi", "chatId": "kept"})).await.expect(200);
    let body = json!({"question": "hi", "chatId": "lost", "streaming": true});
    let path = format!("/api/v1/prediction/{flow}");
    let running = server.anyone().open_post(&path, &body).await;
    until_asked(&model, 1).await;
    server.send_sigterm();
    until_draining(&server).await;
    server.send_sigterm();
    assert_eq!(server.ended().await.code(), Some(143));
    drop(running);
    let server = server.restart();
    assert_eq!(server.messages(&other, "sessionId=kept").await.len(), 2);
    assert!(server.messages(&flow, "sessionId=lost").await.is_empty());
    server.operator().get("/api/v1/verify").await.expect(200);
}

#[tokio::test]
async fn p11_an_idle_server_keeps_its_port_open_for_the_grace_of_load_balancers() {
    let options = Options::default().args(&["--drain-grace-s", "300"]);
    let mut server = Parlor::start_with(options);
    server.send_sigterm();
    // Without the grace nobody would answer any more.
    until_draining(&server).await.expect_error(503);
    server.send_sigterm();
    assert_eq!(server.ended().await.code(), Some(143));
}

#[tokio::test]
async fn p11_an_idle_server_ends_with_success_after_the_grace() {
    let options = Options::default().args(&["--drain-grace-s", "1"]);
    let mut server = Parlor::start_with(options);
    assert_eq!(server.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn p11_a_client_that_keeps_an_idle_connection_does_not_hold_the_server() {
    let mut server = Parlor::start_with(Options::default().args(&["--drain-s", "3600"]));
    let idle = server.anyone();
    idle.get("/healthz").await.expect(200);
    assert_eq!(server.terminate().await.code(), Some(0));
    drop(idle);
}
