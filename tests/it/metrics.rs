//! What `GET /metrics` tells, to whom, and in which words.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::json;

use crate::support::scripted::words;
use crate::support::{Answer, Options, Parlor, Scripted, eventually};

const LIMIT: Duration = Duration::from_secs(60);

/// The samples of a page by their names with labels, after a look at its form.
async fn samples(server: &Parlor) -> BTreeMap<String, f64> {
    let reply = server.operator().get("/metrics").await.expect(200);
    let kind = reply.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    parse(&reply.body)
}

fn parse(page: &str) -> BTreeMap<String, f64> {
    let (mut families, mut samples) = (HashSet::new(), BTreeMap::new());
    let mut family = "";
    for line in page.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            family = head.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} is told twice");
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').expect("a name and a type");
            assert_eq!(name, family);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(name.starts_with(family), "{line} stands under {family}");
            let twice = samples.insert(name.to_owned(), value.parse().expect("a number"));
            assert!(twice.is_none(), "{name} is told twice");
        }
    }
    assert!(page.ends_with('\n'));
    samples
}

#[tokio::test]
async fn the_metrics_are_the_operators_unless_the_operator_opens_them() {
    let server = Parlor::start();
    server.anyone().get("/metrics").await.assert_turned_away("nobody");
    server.anyone().bearer("wrong").get("/metrics").await.assert_turned_away("a wrong key");
    server.operator().get("/metrics").await.expect(200);
    let (_, key) = server.api_key("operator").await;
    server.anyone().bearer(&key).get("/metrics").await.expect(200);
    for target in ["/metrics/", "/metricsx", "/METRICS"] {
        server.operator().get(target).await.expect_error(404);
    }
    let open = Parlor::start_with(Options::default().env("PARLOR_METRICS_PUBLIC", "true"));
    open.anyone().get("/metrics").await.expect(200);
    open.anyone().get("/api/v1/chatflows").await.assert_turned_away("the rest stays closed");
}

#[tokio::test]
async fn turns_are_counted_by_how_they_ended() {
    let model = Scripted::saying("one two three").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    server.ask(&flow, &json!({"question": "hi", "chatId": "c"})).await.expect(200);
    server.ask(&flow, &json!({"question": "hi", "streaming": true})).await.expect(200);
    server.ask(&flow, &json!({"chatId": "c"})).await.expect(400);
    model.answer(|_| Answer::Whole { status: 401, headers: Vec::new(), body: "{}".to_owned() });
    server.ask(&flow, &json!({"question": "hi"})).await.expect(502);
    model.answer(|_| Answer::Stall(words("a few words ")));
    let body = json!({"question": "hi", "streaming": true});
    let path = format!("/api/v1/prediction/{flow}");
    let running = server.anyone().open_post(&path, &body).await;
    // Those before it may be counted as over only after their answers were read.
    let alone = eventually(LIMIT, || async {
        let now = samples(&server).await;
        (now["parlor_turns_running"], now["parlor_streams_open"]) == (1.0, 1.0)
    });
    assert!(alone.await, "{:?}", samples(&server).await);
    drop(running);
    let left = eventually(LIMIT, || async {
        let now = samples(&server).await;
        now["parlor_turns_total{outcome=\"cancelled\"}"] == 1.0
            && now["parlor_turns_running"] + now["parlor_streams_open"] == 0.0
    });
    assert!(left.await, "the client that left is not counted");
    let now = samples(&server).await;
    for (name, value) in [
        ("parlor_turns_total{outcome=\"ok\"}", 2.0),
        ("parlor_turns_total{outcome=\"bad_request\"}", 1.0),
        ("parlor_turns_total{outcome=\"upstream\"}", 1.0),
        ("parlor_turns_total{outcome=\"refused\"}", 0.0),
        ("parlor_turn_duration_seconds_count", 5.0),
        ("parlor_turn_duration_seconds_bucket{le=\"+Inf\"}", 5.0),
        ("parlor_time_to_first_token_seconds_count", 2.0),
        ("parlor_upstream_errors_total{kind=\"status_4xx\"}", 1.0),
        ("parlor_tokens_total{direction=\"output\"}", 6.0),
        ("parlor_turns_waiting", 0.0),
        ("parlor_turns_limit", 4096.0),
        ("parlor_store_open", 1.0),
        ("parlor_draining", 0.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name}: {now:?}");
    }
    assert!(now["parlor_store_commit_duration_seconds_count"] >= 2.0);
    assert!(now["parlor_sessions_live"] >= 1.0);
    assert!(now["process_resident_memory_bytes"] > 1e6);
}

#[tokio::test]
async fn a_turn_that_the_full_server_refuses_is_counted_as_that() {
    let model = Scripted::start(|_| Answer::Hang).await;
    let server = Parlor::start_with(Options::default().args(&["--max-turns", "1"]));
    let flow = server.install_llm_chain(&model.basepath()).await;
    let (caller, path) = (server.anyone(), format!("/api/v1/prediction/{flow}"));
    let running = tokio::spawn(async move { caller.post(&path, &json!({"question": "hi"})).await });
    assert!(eventually(LIMIT, || async { model.n_open() == 1 }).await);
    server.ask(&flow, &json!({"question": "hi"})).await.expect_error(503);
    let counted = eventually(LIMIT, || async {
        samples(&server).await["parlor_turns_total{outcome=\"refused\"}"] == 1.0
    });
    assert!(counted.await, "{:?}", samples(&server).await);
    running.abort();
}

#[tokio::test]
async fn no_label_comes_from_a_request_or_a_chatflow() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let before: Vec<_> = samples(&server).await.into_keys().collect();
    for n in 0..20 {
        let chat = format!("canary-{n}");
        let asked = json!({"question": "canary", "chatId": chat});
        server.ask(&flow, &asked).await.expect(200);
        server.ask(&format!("canary-{n}"), &asked).await.expect(404);
    }
    let after: Vec<_> = samples(&server).await.into_keys().collect();
    assert_eq!(before, after, "requests made new series");
    let page = server.operator().get("/metrics").await.body;
    assert!(!page.contains("canary") && !page.contains(&flow), "{page}");
}
