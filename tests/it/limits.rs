//! How often: a chatflow's rate limit and a key's own, and whose address counts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::replay::{SENTENCE, Stage, assert_same_answer, assert_same_upstream};
use crate::support::{Caller, Options, Parlor, Reply, Scripted, golden, raw};

/// As the UI stores it.
fn recorded_limit() -> Value {
    json!({"status": true, "limitMax": "2", "limitDuration": "3600", "limitMsg": "slow down"})
}

async fn set_limit(server: &Parlor, flow: &str, limit: &Value) {
    let body = json!({"apiConfig": json!({"rateLimit": limit}).to_string()});
    server.operator().put(&format!("/api/v1/chatflows/{flow}"), &body).await.expect(200);
}

/// A server with a chatflow that takes two calls an hour of a client.
async fn limited(options: Options) -> (Parlor, Scripted, String) {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start_with(options);
    let flow = server.install_llm_chain(&model.basepath()).await;
    set_limit(&server, &flow, &recorded_limit()).await;
    (server, model, flow)
}

async fn ask(caller: &Caller, flow: &str) -> Reply {
    caller.post(&format!("/api/v1/prediction/{flow}"), &json!({"question": "x"})).await
}

fn number(reply: &Reply, header: &str) -> u64 {
    let text = reply.header(header).unwrap_or_else(|| panic!("no {header}: {reply:?}"));
    text.parse().unwrap_or_else(|_| panic!("{header} is {text}"))
}

#[tokio::test]
async fn a21_a_limited_chatflow_answers_as_recorded() {
    let stage = Stage::set().await;
    let flow = stage.flow("a-llmchain");
    set_limit(&stage.server, flow, &recorded_limit()).await;
    let path = format!("/api/v1/prediction/{flow}");
    let mut replies = Vec::new();
    for name in ["ratelimit-1", "ratelimit-1", "ratelimit-3"] {
        let mut exchange = golden::load(name);
        exchange.path.clone_from(&path);
        let reply = stage.send(&exchange).await;
        assert_same_answer(&exchange, &reply);
        replies.push(reply);
    }
    let received = stage.model.take_received();
    assert_same_upstream("ratelimit-1", &received[..1]);
    assert_eq!(received.len(), 2, "a refused question reached the model");
    for (reply, remaining) in replies.iter().zip([1, 0, 0]) {
        assert_eq!(number(reply, "x-ratelimit-limit"), 2);
        assert_eq!(number(reply, "x-ratelimit-remaining"), remaining);
        assert!(number(reply, "x-ratelimit-reset") > 1_700_000_000);
    }
    assert_eq!(replies[2].body, "slow down");
    assert!((1..=3600).contains(&number(&replies[2], "retry-after")));
    assert_eq!(replies[0].header("retry-after"), None);
}

#[tokio::test]
async fn every_answer_of_a_limited_chatflow_says_where_its_client_stands() {
    let (server, _model, flow) = limited(Options::default()).await;
    let page = server.anyone().with("origin", "https://page.example");
    let path = format!("/api/v1/prediction/{flow}");
    let streamed = page.post(&path, &json!({"question": "x", "streaming": true})).await;
    assert_eq!(streamed.media_type(), "text/event-stream");
    assert_eq!(number(&streamed, "x-ratelimit-remaining"), 1);
    let bad = page.post(&path, &json!({"question": {}})).await.expect(400);
    assert_eq!(number(&bad, "x-ratelimit-remaining"), 0);
    let refused = ask(&page, &flow).await.expect(429);
    let echoed = refused.header("access-control-allow-origin");
    assert_eq!(echoed, Some("https://page.example"), "the widget cannot read the message");
    let other = server.install("open", &crate::support::Flow::golden("a-llmchain")).await;
    assert_eq!(ask(&page, &other).await.header("x-ratelimit-limit"), None);
}

#[tokio::test]
async fn a_limit_is_checked_before_the_key_and_before_the_body() {
    let (server, model, flow) = limited(Options::default()).await;
    let (key_id, key) = server.api_key("guard").await;
    let path = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&path, &json!({"apikeyid": key_id})).await.expect(200);
    for _ in 0..2 {
        ask(&server.anyone().bearer("wrong"), &flow).await.expect(401);
    }
    ask(&server.anyone().bearer(&key), &flow).await.expect(429);
    let head = format!(
        "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
        server.address()
    );
    // The body never comes: an answer can only mean that nobody waits for it.
    let answer = raw::exchange(server.address(), head.as_bytes());
    let reply = tokio::time::timeout(Duration::from_secs(60), answer).await.expect("an answer");
    assert_eq!((reply.status, reply.body.as_str()), (429, "slow down"));
    assert!(model.received().is_empty());
}

#[tokio::test]
async fn a_limit_that_is_changed_counts_anew_and_one_that_is_off_does_not_count() {
    let (server, _model, flow) = limited(Options::default()).await;
    for status in [200, 200, 429] {
        ask(&server.anyone(), &flow).await.expect(status);
    }
    set_limit(&server, &flow, &json!({"limitMax": 3, "limitDuration": 3600, "limitMsg": "x"}))
        .await;
    assert_eq!(number(&ask(&server.anyone(), &flow).await, "x-ratelimit-remaining"), 2);
    let mut off = recorded_limit();
    off["status"] = json!(false);
    set_limit(&server, &flow, &off).await;
    for _ in 0..4 {
        assert_eq!(
            ask(&server.anyone(), &flow).await.expect(200).header("x-ratelimit-limit"),
            None
        );
    }
}

#[tokio::test]
async fn a21_a_forwarded_address_is_not_believed_unless_proxies_are_counted() {
    let (server, _model, flow) = limited(Options::default()).await;
    for (n, status) in [200, 200, 429, 429].into_iter().enumerate() {
        let caller = server.anyone().with("x-forwarded-for", &format!("10.0.0.{n}"));
        let caller = caller.with("x-real-ip", &format!("10.0.0.{n}"));
        let caller = caller.with("forwarded", &format!("for=10.0.0.{n}"));
        ask(&caller, &flow).await.expect(status);
        let seen = caller.get("/api/v1/ip").await.expect(200).json();
        assert_eq!(seen["ip"], "127.0.0.1");
    }
}

#[tokio::test]
async fn behind_a_proxy_clients_are_told_apart_by_what_the_proxy_saw() {
    let options = Options::default().env("NUMBER_OF_PROXIES", "1");
    let (server, _model, flow) = limited(options).await;
    let via = |addresses: &str| server.anyone().with("x-forwarded-for", addresses);
    for (n, status) in [200, 200, 429].into_iter().enumerate() {
        // What stands left of the proxy's own entry, the client wrote.
        ask(&via(&format!("10.9.9.{n}, 10.0.0.1")), &flow).await.expect(status);
    }
    ask(&via("10.0.0.1, 10.0.0.2"), &flow).await.expect(200);
    let seen = via("10.9.9.9, 10.0.0.1").get("/api/v1/ip").await.expect(200).json();
    assert_eq!(seen["ip"], "10.0.0.1");
    for status in [200, 200, 429] {
        ask(&via("nonsense"), &flow).await.expect(status);
    }
}

#[tokio::test]
async fn a21_a_key_has_a_limit_of_its_own_on_all_that_it_opens() {
    let model = Scripted::saying(SENTENCE).await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let (id, key) = server.api_key("busy").await;
    let path = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&path, &json!({"apikeyid": id})).await.expect(200);
    let limit = json!({"rateLimit": {"limitMax": 2, "limitDuration": 3600}});
    server.operator().put(&format!("/api/v1/apikey/{id}"), &limit).await.expect(200);
    let caller = server.anyone().bearer(&key);
    assert_eq!(number(&ask(&caller, &flow).await.expect(200), "x-ratelimit-remaining"), 1);
    caller.get("/api/v1/chatflows").await.expect(200);
    let refused = ask(&caller, &flow).await;
    let message = refused.expect_error(429);
    assert!(message.contains("API key") && !message.contains(&key), "{message}");
    assert!((1..=3600).contains(&number(&refused, "retry-after")));
    caller.get("/api/v1/chatflows").await.expect_error(429);
    caller.get(&format!("/api/v1/chatflows/apikey/{key}")).await.expect_error(429);
    let (_, other) = server.api_key("quiet").await;
    server.anyone().bearer(&other).get("/api/v1/chatflows").await.expect(200);
    let none = json!({"rateLimit": null});
    server.operator().put(&format!("/api/v1/apikey/{id}"), &none).await.expect(200);
    ask(&caller, &flow).await.expect(200);
}
