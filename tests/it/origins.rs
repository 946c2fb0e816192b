//! From which pages: preflights, CORS of public and operator routes, frames.

use reqwest::Method;
use serde_json::json;

use crate::replay::Stage;
use crate::support::{Options, Parlor, Reply, golden, raw};

const GOOD: &str = "https://good.example";
const EVIL: &str = "https://good.example.evil.example";

fn allowed(reply: &Reply) -> Option<&str> {
    assert_eq!(reply.header("access-control-allow-credentials"), None, "{reply:?}");
    reply.header("access-control-allow-origin")
}

async fn preflight(server: &Parlor, path: &str, origin: &str) -> Reply {
    let page = server.anyone().with("origin", origin);
    let page = page.with("access-control-request-method", "POST");
    let page = page.with("access-control-request-headers", "authorization");
    page.send(Method::OPTIONS, path, None).await
}

#[tokio::test]
async fn a_preflight_of_a_public_route_is_answered_as_recorded() {
    let stage = Stage::set().await;
    let exchange = golden::load("preflight-prediction");
    let reply = stage.send(&exchange).await;
    let recorded = exchange.response();
    assert_eq!((reply.status, reply.body.as_str()), (recorded.status, ""));
    for (name, value) in &recorded.headers {
        if name.starts_with("access-control-") || name == "vary" {
            assert_eq!(reply.header(name), Some(value.as_str()), "{name}");
        }
    }
}

#[tokio::test]
async fn a23_public_routes_may_be_narrowed_to_listed_pages() {
    let options = Options::default().env("CORS_ORIGINS", "https://good.example, http://dev:8080");
    let server = Parlor::start_with(options);
    for (origin, echo) in
        [(GOOD, Some(GOOD)), ("http://dev:8080", Some("http://dev:8080")), (EVIL, None)]
    {
        // As in Flowise, the request itself goes on; the page cannot read the answer.
        let page = server.anyone().with("origin", origin);
        let reply = page.get("/api/v1/ping").await.expect(200);
        assert_eq!(allowed(&reply), echo, "{origin}");
        assert_eq!(reply.header("vary"), Some("Origin"));
        let path = "/api/v1/prediction/00000000-0000-4000-8000-000000000000";
        assert_eq!(allowed(&preflight(&server, path, origin).await), echo, "{origin}");
    }
}

#[tokio::test]
async fn a23_operator_routes_are_closed_to_pages_unless_the_operator_lists_them() {
    let server = Parlor::start();
    let reply = server.operator().with("origin", GOOD).get("/api/v1/chatflows").await.expect(200);
    assert_eq!(allowed(&reply), None);
    let reply = preflight(&server, "/api/v1/chatflows", GOOD).await;
    assert_eq!((reply.status, allowed(&reply)), (404, None));
    let server = Parlor::start_with(Options::default().env("PARLOR_OPERATOR_ORIGINS", GOOD));
    for (origin, echo) in [(GOOD, Some(GOOD)), (EVIL, None)] {
        let page = server.anyone().with("origin", origin);
        assert_eq!(allowed(&page.get("/api/v1/chatflows").await.expect(401)), echo, "{origin}");
        assert_eq!(allowed(&preflight(&server, "/api/v1/apikey", origin).await), echo, "{origin}");
    }
    let public = server.anyone().with("origin", EVIL).get("/api/v1/ping").await;
    assert_eq!(allowed(&public), Some(EVIL), "the operator's list narrows public routes");
}

#[tokio::test]
async fn answers_say_who_may_frame_them_if_that_is_set() {
    let server = Parlor::start();
    let reply = server.anyone().get("/api/v1/ping").await;
    assert_eq!(reply.header("content-security-policy"), None);
    let server = Parlor::start_with(Options::default().env("IFRAME_ORIGINS", GOOD));
    for path in ["/api/v1/ping", "/api/v1/chatflows", "/nowhere"] {
        let reply = server.anyone().get(path).await;
        let policy = reply.header("content-security-policy");
        assert_eq!(policy, Some("frame-ancestors https://good.example"), "{path}");
    }
}

/// A stage whose LLM chain may be embedded at one place only.
async fn narrowed() -> (Stage, String) {
    let stage = Stage::set().await;
    let flow = stage.flow("a-llmchain").to_owned();
    let config = json!({"allowedOrigins": [GOOD], "allowedOriginsError": "no way"});
    let body = json!({"chatbotConfig": config.to_string()});
    let path = format!("/api/v1/chatflows/{flow}");
    stage.server.operator().put(&path, &body).await.expect(200);
    (stage, format!("/api/v1/prediction/{flow}"))
}

#[tokio::test]
async fn a_place_is_compared_by_its_whole_host() {
    let (stage, path) = narrowed().await;
    let body = json!({"question": "hi"});
    for origin in [EVIL, "https://good.example:8443", "https://evil-good.example", "null", "x"] {
        let page = stage.server.anyone().with("origin", origin);
        assert_eq!(page.post(&path, &body).await.expect_error(403), "no way", "{origin}");
    }
    let twice = stage.server.anyone().with("origin", GOOD).with("origin", EVIL);
    twice.post(&path, &body).await.expect_error(403);
    assert!(stage.model.take_received().is_empty(), "a refused page reached the model");
    stage.server.anyone().with("origin", GOOD).post(&path, &body).await.expect(200);
    stage.server.anyone().post(&path, &body).await.expect(200);
}

#[tokio::test]
async fn a_refused_page_that_wants_a_stream_gets_the_text_whether_its_body_comes_or_not() {
    let (stage, path) = narrowed().await;
    let page = stage.server.anyone().with("origin", EVIL);
    let told = page.clone().with("accept", "text/event-stream").post(&path, &json!({})).await;
    let asked = page.post(&path, &json!({"question": "hi", "streaming": "true"})).await;
    for reply in [told, asked] {
        assert_eq!((reply.status, reply.body.as_str()), (403, "no way"));
        assert_eq!(reply.media_type(), "text/html");
    }
    let long = json!({"question": "a".repeat(100_000), "streaming": true});
    assert_eq!(page.post(&path, &long).await.expect_error(403), "no way");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {EVIL}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n",
        stage.server.address()
    );
    // The body never comes; the answer does.
    let reply = raw::exchange(stage.server.address(), head.as_bytes()).await;
    assert_eq!(reply.expect_error(403), "no way");
}

#[tokio::test]
async fn a23_no_foreign_page_writes_with_the_password_that_a_browser_remembers() {
    let options = Options::default().env("PARLOR_OPERATOR_ORIGINS", "https://ops.example");
    let server = Parlor::start_with(options);
    let own = format!("http://{}", server.address());
    let body = json!({"name": "v", "value": "1"});
    let from = |origin: &str, site: &str| {
        let operator = server.operator().with("origin", origin).with("sec-fetch-site", site);
        let body = &body;
        async move { operator.post("/api/v1/variables", body).await }
    };
    for origin in ["https://evil.example", "null", "https://ops.example.evil", ""] {
        from(origin, "cross-site").await.expect_error(403);
    }
    assert_eq!(server.operator().get("/api/v1/variables").await.json(), json!([]));
    from("https://ops.example", "cross-site").await.expect(200);
    from(&own, "none").await.expect(200);
    from("https://behind.a.proxy", "same-origin").await.expect(200);
    let foreign = server.operator().with("origin", "https://evil.example");
    foreign.get("/api/v1/variables").await.expect(200);
}
