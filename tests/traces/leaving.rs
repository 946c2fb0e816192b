//! Collectors that are slow, gone or not wanted: no request waits for one.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::ports::Refusing;
use crate::support::{Answer, Options, Parlor, Scripted, eventually};

const LIMIT: Duration = Duration::from_secs(60);
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// A server that sends its spans as soon as they end.
fn eager(endpoint: &str) -> Options {
    Options::default().env(ENDPOINT, endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "10")
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_neither_a_request_nor_the_farewell() {
    let collector = Scripted::start(|_| Answer::Hang).await;
    let model = Scripted::saying("hello").await;
    let mut server = Parlor::start_with(eager(&collector.base()));
    let flow = server.install_conversation(&model.basepath()).await;
    let is_asked = || async { collector.n_open() > 0 };
    assert!(eventually(LIMIT, is_asked).await, "nothing was sent to the collector");
    for _ in 0..5 {
        server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
    }
    assert_eq!(collector.n_open(), 1, "the collector answered, so nobody had to wait");
    let began = Instant::now();
    assert!(server.terminate().await.success());
    // An attempt may take ten seconds; the farewell does not wait for it.
    assert!(began.elapsed() < Duration::from_secs(9), "it took {:?}", began.elapsed());
    assert!(server.log().contains("the last traces were not sent"), "{}", server.log());
}

#[tokio::test]
async fn a_collector_that_is_gone_is_logged_once_and_without_its_address() {
    let nobody = Refusing::bind();
    let model = Scripted::saying("hello").await;
    let endpoint = nobody.basepath();
    let server = Parlor::start_with(eager(&endpoint));
    let flow = server.install_conversation(&model.basepath()).await;
    let is_told = || async { server.log().contains("traces are lost") };
    assert!(eventually(LIMIT, is_told).await, "{}", server.log());
    for _ in 0..5 {
        server.ask(&flow, &json!({"question": "hi"})).await.expect(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = server.log();
    assert_eq!(log.matches("traces are lost").count(), 1, "{log}");
    assert!(!log.contains(endpoint.trim_start_matches("http://")), "{log}");
}

#[tokio::test]
async fn nothing_is_sent_where_no_address_is_set_or_the_sdk_is_disabled() {
    let collector = Scripted::start(|_| Answer::Hang).await;
    let disabled = eager(&collector.base()).env("OTEL_SDK_DISABLED", "true");
    let unset = Options::default().env("OTEL_SERVICE_NAME", "desk");
    for options in [disabled, unset] {
        let mut server = Parlor::start_with(options);
        server.anyone().get("/healthz").await.expect(200);
        assert!(server.terminate().await.success());
        assert!(!server.log().contains("traces"), "{}", server.log());
    }
    assert!(collector.received().is_empty());
}

#[tokio::test]
async fn an_address_that_is_none_stops_the_start_with_a_sentence() {
    let mut options = Options::default().env(ENDPOINT, "no address");
    options = options.env("LOG_LEVEL", "info");
    let refused = std::panic::catch_unwind(|| Parlor::start_with(options));
    assert!(refused.is_err(), "the server started");
}
