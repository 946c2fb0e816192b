//! One chatflow, or one API key, cannot take the whole server.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::scripted::{Received, words};
use crate::support::{Answer, Caller, Flow, Options, Parlor, Reply, Scripted, eventually};

const LIMIT: Duration = Duration::from_secs(20);

/// Hangs for who asks for it, and answers all others.
fn script(request: &Received) -> Answer {
    match request.text.contains("hang") {
        true => Answer::Hang,
        false => Answer::Say(words("Here.")),
    }
}

async fn ask(caller: &Caller, flow: &str, question: &str) -> Reply {
    caller.post(&format!("/api/v1/prediction/{flow}"), &json!({"question": question})).await
}

/// Callers who wait until they are sent away.
fn hang(caller: &Caller, flow: &str, n_callers: usize) -> Vec<JoinHandle<Reply>> {
    let one = |_| {
        let (caller, flow) = (caller.clone(), flow.to_owned());
        tokio::spawn(async move { ask(&caller, &flow, "hang").await })
    };
    (0..n_callers).map(one).collect()
}

async fn runtime(server: &Parlor) -> Value {
    server.operator().get("/api/v1/runtime").await.expect(200).json()
}

async fn assert_all_left(server: &Parlor, callers: &[JoinHandle<Reply>]) {
    callers.iter().for_each(JoinHandle::abort);
    let is_empty = || async {
        let turns = &runtime(server).await["turns"];
        turns["running"] == 0 && turns["waiting"] == 0
    };
    assert!(eventually(LIMIT, is_empty).await, "{}", runtime(server).await);
}

fn assert_refused(reply: &Reply, whose: &str) {
    let message = reply.expect_error(429);
    assert!(message.contains(whose), "{message}");
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_flooded_chatflow_is_429_and_leaves_another_one_unharmed() {
    let model = Scripted::start(script).await;
    let server = Parlor::start_with(Options::default().args(&["--max-turns", "8"]));
    assert_eq!(runtime(&server).await["limits"]["chatflowTurns"], 6);
    let flooded = server.install_llm_chain(&model.basepath()).await;
    let other = server.install_llm_chain(&model.basepath()).await;
    for _ in 0..2 {
        let callers = hang(&server.anyone(), &flooded, 6);
        assert!(eventually(LIMIT, || async { model.n_open() == 6 }).await, "{}", model.n_open());
        for _ in 0..5 {
            assert_refused(&ask(&server.anyone(), &flooded, "x").await, "chatflow");
            ask(&server.anyone(), &other, "x").await.expect(200);
        }
        let rest = hang(&server.anyone(), &other, 2);
        assert!(eventually(LIMIT, || async { model.n_open() == 8 }).await, "{}", model.n_open());
        for flow in [&flooded, &other] {
            let full = ask(&server.anyone(), flow, "x").await;
            full.expect_error(503);
            assert_eq!(full.header("retry-after"), Some("1"));
        }
        rest.iter().for_each(JoinHandle::abort);
        assert_all_left(&server, &callers).await;
        ask(&server.anyone(), &flooded, "x").await.expect(200);
    }
}

#[tokio::test]
async fn an_operator_may_give_a_chatflow_less_or_all() {
    let model = Scripted::start(script).await;
    for (args, most) in [
        (["--max-turns", "3", "--max-chatflow-turns", "1"], 1),
        (["--max-turns", "3", "--max-chatflow-turns", "9"], 3),
    ] {
        let server = Parlor::start_with(Options::default().args(&args));
        let flow = server.install_llm_chain(&model.basepath()).await;
        let callers = hang(&server.anyone(), &flow, most);
        assert!(eventually(LIMIT, || async { model.n_open() == most }).await);
        let status = if most == 1 { 429 } else { 503 };
        ask(&server.anyone(), &flow, "x").await.expect_error(status);
        assert_all_left(&server, &callers).await;
    }
}

#[tokio::test]
async fn a_key_has_its_share_over_all_chatflows_that_it_opens() {
    let model = Scripted::start(script).await;
    let server = Parlor::start_with(Options::default().args(&["--max-key-turns", "2"]));
    let credential = server.openai_credential().await;
    let guarded = async |name: &str| {
        let (id, key) = server.api_key(name).await;
        let flow = Flow::golden("a-llmchain").with_openai(&credential, &model.basepath());
        let mut row = flow.row(name);
        row["apikeyid"] = json!(id);
        (server.install_row(&row).await, server.anyone().bearer(&key))
    };
    let (flow, busy) = guarded("busy").await;
    let (quiet_flow, quiet) = guarded("quiet").await;
    let callers = hang(&busy, &flow, 2);
    assert!(eventually(LIMIT, || async { model.n_open() == 2 }).await);
    assert_refused(&ask(&busy, &flow, "x").await, "API key");
    // The same key at another door.
    let path = format!("/api/v1/internal-prediction/{quiet_flow}");
    assert_refused(&busy.post(&path, &json!({"question": "x"})).await, "API key");
    ask(&quiet, &quiet_flow, "x").await.expect(200);
    server.operator().post(&path, &json!({"question": "x"})).await.expect(200);
    assert_all_left(&server, &callers).await;
    ask(&busy, &flow, "x").await.expect(200);
}
