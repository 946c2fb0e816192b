//! Whatever the model server does, the answer is clear, the session stays
//! whole, and its next turn works.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::flows::assert_whole_turns;
use crate::support::ports::Refusing;
use crate::support::scripted::{Received, words};
use crate::support::{Answer, Flow, Parlor, Reply, Scripted, sse};

/// Longer than any number of retries may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// A server with a conversation that already has a good turn.
struct Stage {
    server: Parlor,
    model: Scripted,
    flow: String,
}

impl Stage {
    async fn set() -> Self {
        let model = Scripted::saying("Good answer.").await;
        let server = Parlor::start();
        let credential = server.openai_credential().await;
        let flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
        let flow = server.install("Conversation Chain", &flow).await;
        let stage = Self { server, model, flow };
        stage.ask("before", false).await.expect(200);
        stage
    }

    async fn ask(&self, question: &str, streaming: bool) -> Reply {
        self.send(&turn(question, streaming)).await
    }

    async fn send(&self, body: &Value) -> Reply {
        tokio::time::timeout(PATIENCE, self.server.ask(&self.flow, body))
            .await
            .unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"))
    }

    /// One failing turn, whole and streamed: the status, and how often the
    /// model was asked. Then a good turn, which must know nothing of it.
    async fn fail(
        &self,
        status: u16,
        answer: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) {
        self.fail_asked_so(turn, status, answer).await;
    }

    async fn fail_asked_so(
        &self,
        body: fn(&str, bool) -> Value,
        status: u16,
        answer: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) {
        self.model.answer(answer);
        for streaming in [false, true] {
            self.model.take_received();
            let reply = self.send(&body("lost", streaming)).await;
            assert_failed(&reply, status, streaming);
            let n_calls = self.model.take_received().len();
            assert!((1..=3).contains(&n_calls), "{n_calls} calls for one turn");
        }
        self.assert_whole().await;
    }

    /// The next turn works, and neither it nor the store knows the lost one.
    async fn assert_whole(&self) {
        self.model.answer(|_| Answer::Say(words("Good answer.")));
        self.model.take_received();
        self.ask("after", false).await.expect(200);
        let received = self.model.take_received();
        let seen: Vec<_> = received[0].messages().into_iter().map(|(_, text)| text).collect();
        assert_eq!(seen[1..], ["before", "Good answer.", "after"]);
        let stored = self.server.messages(&self.flow, "sessionId=s").await;
        assert_eq!(stored.len(), 4, "{stored:?}");
        assert_whole_turns(&stored);
    }
}

fn turn(question: &str, streaming: bool) -> Value {
    json!({"question": question, "streaming": streaming, "overrideConfig": {"sessionId": "s"}})
}

/// The same with the node's own time limit, so that silence is given up soon.
fn hurried(question: &str, streaming: bool) -> Value {
    let mut body = turn(question, streaming);
    body["overrideConfig"]["timeout"] = json!(700);
    body
}

/// A failure is a JSON error with its status; in a stream that was opened
/// already it is an `error` event, and then the end.
fn assert_failed(reply: &Reply, status: u16, streaming: bool) {
    if streaming && reply.status == 200 {
        assert_error_then_end(reply);
    } else {
        let message = reply.expect_error(status);
        assert!(!message.contains("sk-mock"), "the answer shows the key: {message}");
    }
}

fn assert_error_then_end(reply: &Reply) {
    let events = reply.events();
    let names = sse::outline(&events);
    assert!(names.ends_with(&["error", "end"]), "{names:?}");
    assert!(!names.contains(&"metadata"), "{names:?}");
    let message = sse::only(&events, "error").as_str().expect("a message").to_owned();
    assert!(!message.is_empty() && !message.contains("sk-mock"), "{message:?}");
}

fn failing(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Answer::Whole { status, headers, body: body.to_owned() }
}

#[tokio::test]
async fn p7_a_model_server_that_answers_500_is_a_502() {
    let body = r#"{"error":{"message":"mock upstream failure","type":"server_error"}}"#;
    let json = [("content-type", "application/json")];
    Stage::set().await.fail(502, move |_| failing(500, &json, body)).await;
}

#[tokio::test]
async fn p7_a_model_server_that_answers_with_a_page_is_a_502() {
    let html = [("content-type", "text/html")];
    let body = "<html><body>Bad Gateway</body></html>";
    Stage::set().await.fail(502, move |_| failing(502, &html, body)).await;
}

#[tokio::test]
async fn p7_a_page_with_status_200_is_a_502() {
    let html = [("content-type", "text/html")];
    let body = "<html><body>Please log in</body></html>";
    Stage::set().await.fail(502, move |_| failing(200, &html, body)).await;
}

#[tokio::test]
async fn p7_a_model_server_that_talks_nonsense_is_a_502() {
    Stage::set().await.fail(502, |_| Answer::Nonsense).await;
}

#[tokio::test]
async fn p7_a_model_server_that_resets_the_connection_is_a_502() {
    Stage::set().await.fail(502, |_| Answer::Reset).await;
}

#[tokio::test]
async fn p7_a_model_server_that_says_nothing_is_a_504() {
    Stage::set().await.fail_asked_so(hurried, 504, |_| Answer::Hang).await;
}

#[tokio::test]
async fn p7_a_model_server_that_refuses_the_connection_is_a_502() {
    let model = Scripted::saying("unused").await;
    let server = Parlor::start();
    let nobody = Refusing::bind();
    let flow = server.install_conversation(&nobody.basepath()).await;
    for streaming in [false, true] {
        let reply = server.ask(&flow, &turn("lost", streaming)).await;
        assert_failed(&reply, 502, streaming);
    }
    assert_eq!(server.messages(&flow, "").await, []);
    assert!(model.received().is_empty());
}

#[tokio::test]
async fn p7_a_rate_limit_of_the_model_server_stays_a_429_and_says_when_to_return() {
    let stage = Stage::set().await;
    let body = r#"{"error":{"message":"Rate limit reached","type":"requests"}}"#;
    stage.model.answer(move |_| failing(429, &[("retry-after", "31")], body));
    let reply = stage.ask("lost", false).await;
    reply.expect_error(429);
    let seconds: u64 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=31).contains(&seconds), "{seconds}");
    stage.assert_whole().await;
}

#[tokio::test]
async fn p7_a_stream_that_breaks_off_ends_with_an_error_and_is_not_asked_for_again() {
    let stage = Stage::set().await;
    stage.model.answer(|_| Answer::BreakOff(words("half an answer ")));
    stage.model.take_received();
    let reply = stage.ask("lost", true).await.expect(200);
    assert_error_then_end(&reply);
    let events = reply.events();
    assert_eq!(sse::outline(&events), ["start", "token", "error", "end"]);
    assert_eq!(sse::text(&events), "half an answer ");
    assert_eq!(stage.model.take_received().len(), 1, "retried after the first token");
    stage.assert_whole().await;
}

#[tokio::test]
async fn p7_a_whole_answer_that_breaks_off_is_a_502() {
    let stage = Stage::set().await;
    stage.model.answer(|_| Answer::BreakOff(words("half an answer ")));
    stage.ask("lost", false).await.expect_error(502);
    stage.assert_whole().await;
}
