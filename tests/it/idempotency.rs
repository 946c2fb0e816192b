//! A prediction that is sent again under its `Idempotency-Key` is answered
//! again and stored once, whatever happened in between.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::scripted::words;
use crate::support::{Answer, Caller, Flow, Gate, Parlor, Reply, Scripted, eventually, sse};

pub(crate) const START: Duration = Duration::from_secs(10);

pub(crate) async fn conversation() -> (Parlor, Scripted, String) {
    let model = Scripted::saying("Nice to meet you.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow)
}

pub(crate) fn keyed(server: &Parlor, key: &str) -> Caller {
    server.anyone().with("idempotency-key", key)
}

pub(crate) async fn ask(server: &Parlor, flow: &str, key: &str, body: &Value) -> Reply {
    keyed(server, key).post(&format!("/api/v1/prediction/{flow}"), body).await
}

pub(crate) fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == Some("true")
}

/// Checks that the second answer is the first one, told as such.
pub(crate) fn assert_replayed(first: &Reply, second: &Reply) {
    assert!(!is_replayed(first), "{first:?}");
    assert!(is_replayed(second), "{second:?}");
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(second.body, first.body);
    assert_eq!(second.media_type(), first.media_type());
}

/// Asks on a task of its own, and waits until the model has the question.
async fn ask_aside(
    server: &Parlor,
    model: &Scripted,
    flow: &str,
    key: &str,
    body: Value,
) -> tokio::task::JoinHandle<Reply> {
    let n_before = model.n_open();
    let (caller, path) = (keyed(server, key), format!("/api/v1/prediction/{flow}"));
    let asked = tokio::spawn(async move { caller.post(&path, &body).await });
    let reached = eventually(START, async || model.n_open() > n_before).await;
    assert!(reached, "the model was not asked");
    asked
}

#[tokio::test]
async fn p19_a_repetition_gets_the_same_answer_and_is_stored_once() {
    let (server, model, flow) = conversation().await;
    let body = json!({"question": "hello", "overrideConfig": {"sessionId": "s"}});
    let first = ask(&server, &flow, "k1", &body).await.expect(200);
    for _ in 0..3 {
        assert_replayed(&first, &ask(&server, &flow, "k1", &body).await);
    }
    assert_eq!(model.received().len(), 1);
    assert_eq!(server.messages(&flow, "").await.len(), 2);
    // Another key, and no key, are other requests.
    assert!(!is_replayed(&ask(&server, &flow, "k2", &body).await.expect(200)));
    assert!(!is_replayed(&server.ask(&flow, &body).await.expect(200)));
    assert_eq!(server.messages(&flow, "").await.len(), 6);
}

#[tokio::test]
async fn p19_a_request_that_names_no_session_is_one_conversation_when_it_comes_again() {
    let (server, _model, flow) = conversation().await;
    let body = json!({"question": "hello"});
    let first = ask(&server, &flow, "k1", &body).await.expect(200);
    assert_replayed(&first, &ask(&server, &flow, "k1", &body).await);
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}

#[tokio::test]
async fn p19_a_key_that_comes_with_another_body_is_refused() {
    let (server, model, flow) = conversation().await;
    let body = json!({"question": "hello", "chatId": "c"});
    ask(&server, &flow, "k1", &body).await.expect(200);
    for other in [
        json!({"question": "hello!", "chatId": "c"}),
        json!({"question": "hello", "chatId": "d"}),
        json!({"question": "hello", "chatId": "c", "streaming": true}),
        json!({"question": "hello", "chatId": "c", "overrideConfig": {"temperature": 0}}),
    ] {
        let message = ask(&server, &flow, "k1", &other).await.expect_error(422);
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    assert_eq!(model.received().len(), 1);
    assert_eq!(server.messages(&flow, "").await.len(), 2);
    // What the body means is compared, not how it is laid out.
    let spread = serde_json::to_string_pretty(&body).unwrap();
    let path = format!("/api/v1/prediction/{flow}");
    let again = keyed(&server, "k1").send(Method::POST, &path, Some(spread)).await.expect(200);
    assert!(is_replayed(&again));
}

#[tokio::test]
async fn p19_a_key_belongs_to_a_chatflow_and_a_door() {
    let (server, model, flow) = conversation().await;
    let other = server.install_llm_chain(&model.basepath()).await;
    let body = json!({"question": "hello", "chatId": "c"});
    for flow in [&flow, &other] {
        assert!(!is_replayed(&ask(&server, flow, "k1", &body).await.expect(200)));
    }
    let internal = server.operator().with("idempotency-key", "k1");
    let path = format!("/api/v1/internal-prediction/{flow}");
    let first = internal.post(&path, &body).await.expect(200);
    assert_replayed(&first, &internal.post(&path, &body).await);
    assert_eq!(model.received().len(), 3);
}

#[tokio::test]
async fn p19_a_repetition_is_asked_to_wait_while_the_first_still_runs() {
    let (server, model, flow) = conversation().await;
    let gate = Gate::default();
    let held = gate.clone();
    model.answer(move |_| Answer::Pause(words("Nice to meet you."), held.clone()));
    let body = json!({"question": "hello", "chatId": "c"});
    let asked = ask_aside(&server, &model, &flow, "k1", body.clone()).await;
    for _ in 0..3 {
        let early = ask(&server, &flow, "k1", &body).await;
        assert_eq!(early.header("retry-after"), Some("1"), "{early:?}");
        assert!(early.expect_error(409).contains("Idempotency-Key"));
    }
    ask(&server, &flow, "k1", &json!({"question": "other"})).await.expect_error(422);
    gate.open();
    let first = asked.await.unwrap().expect(200);
    assert_replayed(&first, &ask(&server, &flow, "k1", &body).await);
    assert_eq!(model.received().len(), 1);
}

#[tokio::test]
async fn p19_of_a_crowd_with_one_key_exactly_one_runs() {
    let (server, model, flow) = conversation().await;
    // Each is a chat of its own, so that no session's queue holds them apart.
    let body = json!({"question": "hello"});
    let crowd = (0..32).map(|_| ask(&server, &flow, "k1", &body));
    let replies = futures::future::join_all(crowd).await;
    let (answered, refused): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status == 200);
    assert!(refused.iter().all(|reply| reply.status == 409), "{refused:?}");
    let firsts = answered.iter().filter(|reply| !is_replayed(reply)).count();
    assert_eq!(firsts, 1, "{answered:?}");
    assert!(answered.iter().all(|reply| reply.body == answered[0].body), "{answered:?}");
    assert_eq!(model.received().len(), 1);
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}

#[tokio::test]
async fn p19_a_streamed_answer_is_streamed_again() {
    let (server, model, flow) = conversation().await;
    let body = json!({"question": "hello", "streaming": true, "chatId": "c"});
    let first = ask(&server, &flow, "k1", &body).await.expect(200).events();
    let again = ask(&server, &flow, "k1", &body).await.expect(200);
    assert!(is_replayed(&again));
    assert_eq!(again.header("cache-control"), Some("no-cache"));
    let again = again.events();
    assert_eq!(sse::outline(&again), ["start", "token", "metadata", "end"]);
    assert_eq!(sse::text(&again), "Nice to meet you.");
    assert_eq!(sse::only(&again, "metadata"), sse::only(&first, "metadata"));
    assert_eq!(model.received().len(), 1);
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}

#[tokio::test]
async fn p19_tools_that_an_agent_used_are_told_again() {
    let model = Scripted::start(|asked| match asked.messages().len() {
        2 => Answer::CallTool {
            id: "call_1",
            name: "calculator",
            arguments: json!({"input": "6*7"}).to_string(),
        },
        _ => Answer::Say(words("It is 42.")),
    })
    .await;
    let server = Parlor::start();
    let credential = server.openai_credential().await;
    let flow = Flow::golden("d-toolagent").with_openai(&credential, &model.basepath());
    let flow = server.install("agent", &flow).await;
    let body = json!({"question": "6*7?", "streaming": true});
    let first = ask(&server, &flow, "k1", &body).await.expect(200).events();
    let n_asked = model.received().len();
    let again = ask(&server, &flow, "k1", &body).await.expect(200).events();
    assert_eq!(sse::outline(&again), ["start", "token", "usedTools", "metadata", "end"]);
    for name in ["usedTools", "metadata"] {
        assert_eq!(sse::only(&again, name), sse::only(&first, name));
    }
    assert_eq!(sse::text(&again), "It is 42.");
    assert_eq!(model.received().len(), n_asked);
}

/// A form with a field and a file, between lines of this boundary.
fn form(boundary: &str, question: &str, file: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\n{question}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n{file}\r\n--{boundary}--\r\n"
    )
}

#[tokio::test]
async fn p19_a_form_is_recognized_by_what_it_holds_whatever_its_boundary() {
    let (server, model, flow) = conversation().await;
    let path = format!("/api/v1/prediction/{flow}");
    let send = async |boundary: &str, question: &str, file: &str| {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let caller = keyed(&server, "k1").with("content-type", &kind);
        caller.send(Method::POST, &path, Some(form(boundary, question, file))).await
    };
    let first = send("one", "hello", "a note").await.expect(200);
    assert_replayed(&first, &send("another", "hello", "a note").await);
    send("one", "hello", "another note").await.expect_error(422);
    send("one", "hello!", "a note").await.expect_error(422);
    assert_eq!(model.received().len(), 1);
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}

#[tokio::test]
async fn p19_a_turn_that_failed_or_was_aborted_leaves_its_key_free() {
    let (server, model, flow) = conversation().await;
    let body = json!({"question": "hello", "chatId": "c"});

    model.answer(|_| Answer::Whole { status: 401, headers: Vec::new(), body: "{}".into() });
    for _ in 0..2 {
        let failed = ask(&server, &flow, "k1", &body).await;
        assert!(failed.status >= 400 && failed.status != 409, "{failed:?}");
    }
    assert_eq!(model.received().len(), 2, "the second was not asked anew");

    model.answer(|_| Answer::Hang);
    let asked = ask_aside(&server, &model, &flow, "k1", body.clone()).await;
    let abort = format!("/api/v1/chatmessage/abort/{flow}/c");
    server.anyone().put(&abort, &json!({})).await.expect(200);
    let aborted = asked.await.unwrap();
    assert_eq!(aborted.header("retry-after"), None, "{aborted:?}");
    aborted.expect_error(409);

    model.answer(|_| Answer::Say(words("At last.")));
    // The session lets go of the aborted turn a moment after its caller knows.
    let freed = async || ask(&server, &flow, "k1", &body).await.status == 200;
    assert!(eventually(START, freed).await, "the key is held for ever");
    assert!(is_replayed(&ask(&server, &flow, "k1", &body).await));
    assert_eq!(server.messages(&flow, "").await.len(), 2);
}

#[tokio::test]
async fn p19_what_is_wrong_with_a_request_leaves_its_key_free() {
    let (server, _model, flow) = conversation().await;
    for bad in [json!({}), json!({"question": "q", "overrideConfig": {"temperature": "warm"}})] {
        ask(&server, &flow, "k1", &bad).await.expect_error(400);
    }
    ask(&server, &flow, "k1", &json!({"question": "q"})).await.expect(200);
}

#[tokio::test]
async fn p19_a_chatflow_that_stores_nothing_remembers_no_answer_and_still_holds_two_apart() {
    let (server, model, flow) = conversation().await;
    let config = json!({"apiConfig": json!({"storeMessages": false}).to_string()});
    server.operator().put(&format!("/api/v1/chatflows/{flow}"), &config).await.expect(200);
    let gate = Gate::default();
    let held = gate.clone();
    model.answer(move |_| Answer::Pause(words("Nice to meet you."), held.clone()));
    let body = json!({"question": "hello"});
    let asked = ask_aside(&server, &model, &flow, "k1", body.clone()).await;
    ask(&server, &flow, "k1", &body).await.expect_error(409);
    gate.open();
    asked.await.unwrap().expect(200);
    assert!(!is_replayed(&ask(&server, &flow, "k1", &body).await.expect(200)));
    assert_eq!(model.received().len(), 2);
}

#[tokio::test]
async fn p19_a_key_that_is_no_short_visible_text_is_refused() {
    let (server, model, flow) = conversation().await;
    let long = "x".repeat(256);
    for bad in ["", "a b", "k\u{e4}", &long] {
        let message = ask(&server, &flow, bad, &json!({"question": "q"})).await.expect_error(400);
        assert!(message.contains("Idempotency-Key") && message.contains("255"), "{message}");
    }
    let twice = keyed(&server, "a").with("idempotency-key", "b");
    let path = format!("/api/v1/prediction/{flow}");
    twice.post(&path, &json!({"question": "q"})).await.expect_error(400);
    assert_eq!(model.received().len(), 0);
    ask(&server, &flow, &"x".repeat(255), &json!({"question": "q"})).await.expect(200);
}

#[tokio::test]
async fn p19_a_page_may_send_the_header() {
    let (server, _model, flow) = conversation().await;
    let caller = server.anyone().with("origin", "https://shop.example");
    let caller = caller.with("access-control-request-headers", "content-type,idempotency-key");
    let path = format!("/api/v1/prediction/{flow}");
    let reply = caller.send(Method::OPTIONS, &path, None).await.expect(204);
    let allowed = reply.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("idempotency-key"), "{reply:?}");
}
