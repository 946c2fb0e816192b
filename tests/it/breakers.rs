//! A provider that keeps failing is left alone for a while; what its callers
//! did wrong never counts against it.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::ports::{Refusing, free_port};
use crate::support::scripted::{Received, words};
use crate::support::{Answer, Flow, Options, Parlor, Reply, Scripted, eventually};

const LIMIT: Duration = Duration::from_secs(30);
/// The calls that a breaker wants to see before it opens.
const ENOUGH: usize = 20;

/// 501 counts as any other 5xx, and no try is repeated after it.
fn broken() -> Answer {
    failing(501, &[])
}

fn failing(status: u16, headers: &[(&'static str, &str)]) -> Answer {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Answer::Whole { status, headers, body: "{}".to_owned() }
}

async fn started(args: &[&str]) -> (Parlor, Scripted, String) {
    let model = Scripted::saying("Back again.").await;
    let server = Parlor::start_with(Options::default().args(args));
    let flow = server.install_llm_chain(&model.basepath()).await;
    (server, model, flow)
}

async fn ask(server: &Parlor, flow: &str) -> Reply {
    server.ask(flow, &json!({"question": "x"})).await
}

async fn metric(server: &Parlor, name: &str) -> f64 {
    let page = server.operator().get("/metrics").await.expect(200).body;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

#[tokio::test]
async fn an_outage_is_answered_at_once_until_a_probe_finds_the_provider_back() {
    let (server, model, flow) = started(&["--breaker", "10"]).await;
    model.answer(|_| broken());
    for reply in join_all((0..ENOUGH).map(|_| ask(&server, &flow))).await {
        reply.expect_error(502);
    }
    assert_eq!(model.take_received().len(), ENOUGH);
    model.answer(|_| Answer::Say(words("Back again.")));

    for streaming in [false, true] {
        let reply = server.ask(&flow, &json!({"question": "x", "streaming": streaming})).await;
        let message = reply.expect_error(503);
        assert!(message.contains("OpenAI") && message.contains("try again in"), "{message}");
        let seconds: u64 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!((1..=10).contains(&seconds), "{seconds}");
    }
    assert!(model.take_received().is_empty(), "the provider was asked");
    assert_eq!(metric(&server, "parlor_breakers_open").await, 1.0);
    assert_eq!(metric(&server, "parlor_breaker_refused_total").await, 2.0);

    let is_back = eventually(LIMIT, || async { ask(&server, &flow).await.status == 200 });
    assert!(is_back.await, "it is left alone for ever");
    assert_eq!(model.take_received().len(), 1, "more than the probe went through");
    assert_eq!(metric(&server, "parlor_breakers_open").await, 0.0);
    ask(&server, &flow).await.expect(200);
}

#[tokio::test]
async fn a_provider_that_is_down_is_no_reason_to_leave_another_one_alone() {
    let (server, model, flow) = started(&[]).await;
    let nobody = Refusing::bind();
    let wrong = server.install_llm_chain(&nobody.basepath()).await;
    join_all((0..ENOUGH).map(|_| ask(&server, &wrong))).await;
    ask(&server, &wrong).await.expect_error(503);
    ask(&server, &flow).await.expect(200);
    assert_eq!(model.received().len(), 1);
}

#[tokio::test]
async fn refusals_of_the_provider_open_nothing() {
    let (server, model, flow) = started(&[]).await;
    for (status, ours) in [(401, 502), (400, 502), (404, 502), (429, 429)] {
        model.answer(move |_| failing(status, &[("retry-after", "30")]));
        for _ in 0..=ENOUGH {
            ask(&server, &flow).await.expect_error(ours);
        }
    }
    model.answer(|_| Answer::Say(words("Fine.")));
    ask(&server, &flow).await.expect(200);
}

#[tokio::test]
async fn impatient_callers_and_those_who_leave_cannot_close_a_provider_to_others() {
    let (server, model, flow) = started(&[]).await;
    model.answer(|_| Answer::Hang);
    let body = json!({"question": "x", "overrideConfig": {"timeout": 1}});
    let replies = join_all((0..=ENOUGH).map(|_| server.ask(&flow, &body))).await;
    for reply in replies {
        reply.expect_error(504);
    }
    let left: Vec<_> = (0..=ENOUGH)
        .map(|_| {
            let (caller, path) = (server.anyone(), format!("/api/v1/prediction/{flow}"));
            tokio::spawn(async move { caller.post(&path, &json!({"question": "x"})).await })
        })
        .collect();
    assert!(eventually(LIMIT, || async { model.n_open() == left.len() }).await, "they came");
    left.iter().for_each(|caller| caller.abort());
    assert!(eventually(LIMIT, || async { model.n_open() == 0 }).await, "they left");
    model.answer(|_| Answer::Say(words("Fine.")));
    ask(&server, &flow).await.expect(200);
}

#[tokio::test]
async fn an_operator_can_do_without() {
    let (server, model, flow) = started(&["--breaker", "off"]).await;
    model.answer(|_| broken());
    for _ in 0..ENOUGH + 5 {
        ask(&server, &flow).await.expect_error(502);
    }
    assert_eq!(model.received().len(), ENOUGH + 5);
    assert_eq!(metric(&server, "parlor_breakers_open").await, 0.0);
}

#[tokio::test]
async fn an_error_of_a_provider_is_counted_once_for_its_turn_and_not_for_each_try() {
    let (server, model, flow) = started(&[]).await;
    model.answer(|_| failing(503, &[("retry-after", "0")]));
    ask(&server, &flow).await.expect_error(502);
    assert_eq!(model.received().len(), 3);
    let name = "parlor_upstream_errors_total{kind=\"status_5xx\"}";
    assert_eq!(metric(&server, name).await, 1.0);
}

/// The recorded questions on documents, whose documents lie in another store.
async fn searching(
    server: &Parlor,
    model: &Scripted,
    store: &str,
    inputs: &[(&str, Value)],
) -> String {
    let credential = server.openai_credential().await;
    let mut flow = Flow::golden("c-retrievalqa").with_openai(&credential, &model.basepath());
    let data = flow.data("memoryVectorStore_0");
    data["name"] = json!(store);
    for (name, value) in inputs {
        data["inputs"][*name] = value.clone();
    }
    server.install(store, &flow).await
}

/// Embeds, chats, and has no collection of vectors.
fn without_collections(request: &Received) -> Answer {
    if request.path.contains("/collections/") {
        return failing(404, &[]);
    }
    if request.path.ends_with("/embeddings") {
        let body = json!({"data": [{"index": 0, "embedding": [1, 0, 0]}]}).to_string();
        return Answer::Whole { status: 200, headers: Vec::new(), body };
    }
    Answer::Say(words("I do not know."))
}

#[tokio::test]
async fn a_collection_that_is_not_there_is_no_error_and_a_database_that_is_gone_is_one() {
    let (server, model, _) = started(&[]).await;
    model.answer(without_collections);
    let inputs = [("qdrantServerUrl", json!(model.base())), ("qdrantCollection", json!("papers"))];
    let flow = searching(&server, &model, "qdrant", &inputs).await;
    ask(&server, &flow).await.expect(200);
    let n_not_found = model.received().iter().filter(|r| r.path.contains("/collections/")).count();
    assert!(n_not_found > 0, "nothing was searched for");
    let refused = "parlor_upstream_errors_total{kind=\"status_4xx\"}";
    assert_eq!(metric(&server, refused).await, 0.0);

    let inputs =
        [("host", json!("127.0.0.1")), ("port", json!(free_port())), ("database", json!("d"))];
    server.credential("PostgresApi", json!({"user": "nobody", "password": "secret"})).await;
    let flow = searching(&server, &model, "postgres", &inputs).await;
    let message = ask(&server, &flow).await.expect_error(502);
    assert!(message.contains("PostgreSQL"), "{message}");
    let broken = "parlor_upstream_errors_total{kind=\"broken\"}";
    assert_eq!(metric(&server, broken).await, 1.0);
}
