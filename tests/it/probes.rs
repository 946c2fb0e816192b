//! What load balancers and schedulers ask, and what every answer carries.

use serde_json::json;

use crate::support::{Parlor, raw};

#[tokio::test]
async fn the_probes_answer_everybody_and_say_nothing_but_ok() {
    let server = Parlor::start();
    for path in ["/healthz", "/readyz"] {
        let reply = server.anyone().get(path).await.expect(200);
        assert_eq!((reply.media_type(), reply.body.as_str()), ("text/plain", "ok"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        let head = raw::request(server.address(), "HEAD", path, &[]).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn nothing_near_the_probes_is_open() {
    let server = Parlor::start();
    let targets = ["/healthz/", "/healthzx", "/HEALTHZ", "//readyz", "/readyz/x", "/%72eadyz/.."];
    for target in targets {
        let reply = raw::request(server.address(), "GET", target, &[]).await;
        assert_eq!(reply.status, 404, "{target}: {reply:?}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let reply = raw::request(server.address(), method, "/readyz", &[]).await;
        assert!([404, 405].contains(&reply.status), "{method}: {reply:?}");
    }
}

#[tokio::test]
async fn every_answer_carries_an_id_and_a_plain_one_of_the_caller_is_kept() {
    let server = Parlor::start();
    let id = "00000000-0000-4000-8000-000000000000";
    let paths = ["/healthz".to_owned(), "/nothing".to_owned(), "/api/v1/chatflows".to_owned()];
    for path in paths {
        let own = server.anyone().with("x-request-id", "lb-7.a_b").get(&path).await;
        assert_eq!(own.header("x-request-id"), Some("lb-7.a_b"), "{path}");
        let replaced = server.anyone().with("x-request-id", "a b").get(&path).await;
        let new = replaced.header("x-request-id").expect("an id").to_owned();
        assert_eq!(new.len(), 32, "{path}: {new}");
        let other = server.anyone().get(&path).await;
        assert_ne!(other.header("x-request-id"), Some(new.as_str()), "{path}");
    }
    let reply = server.ask(id, &json!({"question": "hi"})).await;
    assert_eq!(reply.status, 404);
    assert!(reply.header("x-request-id").is_some(), "{reply:?}");
}
