use super::*;
use crate::test_support::TestTurn;
use crate::wire::test_server::{TestServer, answer, run};

async fn ask(server: &TestServer, timeout_ms: u64, ctx: &TurnCtx) -> Result<String, NodeError> {
    let budget = RetryBudget::new();
    let secrets = ["topsecret".to_owned()];
    let timeout = Duration::from_millis(timeout_ms);
    let call = Call { budget: &budget, ..Call::new("Mock", ctx, timeout, &secrets) };
    let reply = call.send(|client| client.post(&server.url).body("{}")).await?;
    Ok(String::from_utf8(reply.whole().await?).unwrap())
}

fn ctx() -> TurnCtx {
    TestTurn::asking("hi").ctx()
}

#[test]
fn p8_a_busy_provider_is_asked_again() {
    run(Box::pin(async {
        let busy = answer("503", "retry-after: 0\r\n", "");
        let server = TestServer::answering(&[busy.clone(), busy, answer("200", "", "ok")]).await;

        assert_eq!(ask(&server, 60_000, &ctx()).await.unwrap(), "ok");
        assert_eq!(server.n_requests(), 3);
    }));
}

#[test]
fn p8_a_long_pause_is_reported_instead_of_waited_for() {
    run(Box::pin(async {
        let busy =
            answer("429", "retry-after: 30\r\n", r#"{"error":{"message":"topsecret slow"}}"#);
        let server = TestServer::answering(&[busy]).await;

        let error = ask(&server, 60_000, &ctx()).await.unwrap_err();

        assert_eq!(error.to_string(), "Mock answered 429: [hidden] slow");
        let NodeError::UpstreamStatus { retry_after_s, .. } = error else { panic!("{error}") };
        assert_eq!(retry_after_s, Some(30));
    }));
}

#[test]
fn p8_a_refused_request_is_not_repeated() {
    run(Box::pin(async {
        let server = TestServer::answering(&[answer("400", "", "<html>")]).await;

        let error = ask(&server, 60_000, &ctx()).await.unwrap_err();

        assert_eq!(error.to_string(), "Mock answered 400: an error page");
    }));
}

#[test]
fn a_silent_provider_times_out_and_a_caller_who_left_waits_for_nobody() {
    run(Box::pin(async {
        let server = TestServer::answering(&[String::new()]).await;
        let error = ask(&server, 50, &ctx()).await.unwrap_err();
        assert!(matches!(error, NodeError::UpstreamTimeout { .. }), "{error}");

        let left = ctx();
        left.cancel.cancel();
        let error = ask(&server, 60_000, &left).await.unwrap_err();
        assert!(matches!(error, NodeError::Cancelled), "{error}");
    }));
}

#[test]
fn an_answer_shorter_than_announced_is_broken() {
    run(Box::pin(async {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".to_owned();
        let server = TestServer::answering(&[cut]).await;

        let error = ask(&server, 60_000, &ctx()).await.unwrap_err();

        assert_eq!(error.to_string(), "Mock broke off in the middle of its answer");
    }));
}

#[test]
fn a_provider_that_never_ends_is_cut_off_when_the_call_is_over() {
    const PINGS: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\n\r\n", &[b'.'; 8]];
    run(Box::pin(async {
        let server = TestServer::keeping_alive(PINGS).await;
        let (ctx, budget) = (ctx(), RetryBudget::new());
        let call = Call {
            budget: &budget,
            longest: Duration::from_millis(200),
            ..Call::new("Mock", &ctx, Duration::from_secs(60), &[])
        };

        // On a busy machine the call may be over before the answer has begun.
        let answer =
            async { call.send(|client| client.post(&server.url).body("{}")).await?.whole().await };
        let error = answer.await.unwrap_err();

        assert!(matches!(error, NodeError::UpstreamTimeout { .. }), "{error}");
    }));
}
