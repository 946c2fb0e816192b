//! What the log holds, and what it never holds: canaries are sent through
//! every way in, to a server that logs as much as it can.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::support::scripted::{Answer, Received};
use crate::support::server::PASSWORD;
use crate::support::{Flow, Options, Parlor, Scripted, eventually};
use crate::uploads::text_file;

/// Part of all that must not be logged.
const CANARY: &str = "kanarienvogel";

const LIMIT: Duration = Duration::from_secs(60);

fn chatty(format: &str) -> Options {
    Options::default().env("LOG_LEVEL", "debug").env("LOG_FORMAT", format)
}

/// The log, once it holds these words: it is read by another thread.
async fn log_with(server: &Parlor, words: &str) -> String {
    let is_told = || async { server.log().contains(words) };
    assert!(eventually(LIMIT, is_told).await, "{words} is not in the log: {}", server.log());
    server.log()
}

/// What was sent, as a provider that complains would quote it.
fn complaint(request: &Received) -> Answer {
    let message = format!("no: {} {:?}", request.text, request.headers);
    let body = json!({"error": {"message": message}}).to_string();
    Answer::Whole { status: 400, headers: Vec::new(), body }
}

/// Sends the canary as a question, a key, a header, a file and a secret, to
/// models that answer, fail, break off and talk nonsense.
async fn sing(server: &Parlor, model: &Scripted) {
    let secret = json!({"openAIApiKey": format!("sk-{CANARY}")});
    let credential = server.credential("openAIApi", secret).await;
    let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
    let flow = server.install("Conversation Chain", &flow).await;
    let caller = server.anyone().bearer(CANARY).with("x-custom", CANARY).with("cookie", CANARY);
    let path = format!("/api/v1/prediction/{flow}");
    let scripts: [fn(&Received) -> Answer; 4] =
        [|_| Answer::Echo, complaint, |_| Answer::Nonsense, |_| Answer::Reset];
    for script in scripts {
        model.answer(script);
        model.take_received();
        for streaming in [false, true] {
            let body = json!({
                "question": CANARY, "streaming": streaming,
                "history": [{"role": "userMessage", "content": CANARY}],
                "overrideConfig": {"systemMessagePrompt": CANARY},
                "uploads": [text_file("a.txt", CANARY)],
            });
            caller.post(&path, &body).await;
        }
        let fields = [("question", CANARY), ("custom", CANARY)];
        caller.post_form(&path, &fields, &[("a.txt", "text/plain", CANARY.as_bytes())]).await;
        assert!(model.take_received().len() >= 3, "a prediction was refused at the door");
    }
    for broken in [format!("{{\"question\": {CANARY}}}"), format!("\"{CANARY}\"")] {
        caller.send(reqwest::Method::POST, &path, Some(broken)).await;
    }
    caller.get("/api/v1/chatflows").await.expect(401);
    server.anyone().basic("operator", CANARY).get("/api/v1/chatflows").await.expect(401);
    caller.post(&format!("/api/v1/attachments/{flow}/c"), &json!({"files": CANARY})).await;
    server.operator().get(&format!("/api/v1/verify/apikey/{CANARY}")).await;
}

#[tokio::test]
async fn no_log_holds_a_question_a_key_a_header_or_a_file_even_at_debug_level() {
    let model = Scripted::start(|_| Answer::Echo).await;
    let mut server = Parlor::start_with(chatty("json"));
    sing(&server, &model).await;
    server.terminate().await;
    let log = log_with(&server, "stopping: no new requests").await;
    assert!(
        log.contains("\"level\":\"DEBUG\""),
        "the log says too little to prove anything: {log}"
    );
    assert!(log.contains("UpstreamFailed"), "no turn failed: {log}");
    let encoded = BASE64_STANDARD_NO_PAD.encode(CANARY);
    let tells = |line: &&str| line.contains(CANARY) || line.contains(&encoded);
    let told: Vec<_> = log.lines().filter(tells).collect();
    assert!(told.is_empty(), "{told:#?}");
    assert!(!log.contains(PASSWORD), "the log shows the operator's password");
}

#[tokio::test]
async fn the_line_of_an_error_is_json_and_holds_the_id_of_its_request() {
    let model = Scripted::start(complaint).await;
    let server = Parlor::start_with(Options::default().env("LOG_FORMAT", "json"));
    let flow = server.install_conversation(&model.basepath()).await;
    let path = format!("/api/v1/prediction/{flow}");
    let caller = server.anyone().with("x-request-id", "find-me-1");
    let reply = caller.post(&path, &json!({"question": "hi"})).await.expect(502);
    assert_eq!(reply.header("x-request-id"), Some("find-me-1"));
    let log = log_with(&server, "find-me-1").await;
    let line = log.lines().find(|line| line.contains("find-me-1")).expect("a line with the id");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["level"], &line["code"]), (&json!("WARN"), &json!("UpstreamFailed")));
    assert_eq!(line["request"], "find-me-1");
}

#[tokio::test]
async fn an_error_within_a_stream_is_logged_with_the_id_too() {
    let broken = Answer::BreakOff(crate::support::scripted::words("a few words "));
    let model = Scripted::start(move |_| broken.clone()).await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let caller = server.anyone().with("x-request-id", "find-me-2");
    let body = json!({"question": "hi", "streaming": true});
    caller.post(&format!("/api/v1/prediction/{flow}"), &body).await.expect(200);
    log_with(&server, "find-me-2").await;
}

#[tokio::test]
async fn a21_whoever_sends_broken_requests_does_not_fill_the_log() {
    let server = Parlor::start();
    for _ in 0..20 {
        let broken = b"GET / HTTP/1.1\r\nX y\r\n\r\n";
        assert_eq!(crate::support::raw::exchange(server.address(), broken).await.status, 400);
    }
    assert!(server.log().lines().count() < 20, "{}", server.log());
}
