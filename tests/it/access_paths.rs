//! A path is taken as it is written: no spelling of an operator's route gets
//! past the guard, and no public route is public by its beginning.

use parlor::http::routes::TABLE;
use serde_json::json;

use crate::support::{Parlor, Reply, raw};

/// A name that shows up in an answer only if a handler has run.
const MARK: &str = "marked-by-the-test";

async fn server_with_a_marked_flow() -> (Parlor, String) {
    let server = Parlor::start();
    let row = json!({"name": MARK, "flowData": "{\"nodes\":[],\"edges\":[]}"});
    let id = server.install_row(&row).await;
    (server, id)
}

fn assert_no_handler(target: &str, reply: &Reply) {
    assert!([400, 401, 404, 405].contains(&reply.status), "{target}: {reply:?}");
    assert!(!reply.body.contains(MARK), "{target} reached a handler: {reply:?}");
}

#[tokio::test]
async fn a1_no_spelling_of_a_path_reaches_an_operator_route_without_credentials() {
    let (server, id) = server_with_a_marked_flow().await;
    let targets = [
        "/API/V1/chatflows",
        "/Api/v1/chatflows",
        "/api/V1/Chatflows",
        "/api/v1//chatflows",
        "//api/v1/chatflows",
        "/api//v1/chatflows",
        "/api/v1/./chatflows",
        "/api/./v1/chatflows",
        "/api/v1/%2e/chatflows",
        "/api/v1/%2E/chatflows",
        "/api/v1%2fchatflows",
        "/api%2fv1%2fchatflows",
        "/%61pi/v1/chatflows",
        "/api/v1/%63hatflows",
        "/api/v1/chatflows/",
        "/api/v1/chatflows//",
        "/api/v1/chatflows;x=1",
        "/api/v1/chatflows%00",
        "/api/v1/chatflows%20",
        "/api/v1/chatflows?",
        "/api/v1/chatflows?x=/api/v1/ping",
        "/api/v1/chatflows#/api/v1/ping",
        "/x/../api/v1/chatflows",
        "/api/v1/ping/../chatflows",
        "/api/v1/ping/%2e%2e/chatflows",
        "/api/v1/ping%2f..%2fchatflows",
        "/api/v1/ping\\..\\chatflows",
        "/api/v1/prediction/../chatflows",
        "/api/v1/chatflows-streaming/../chatflows",
        "/api/v1/chatflows-streaming/..%2fchatflows",
        "/api/v1/version/..;/chatflows",
        "http://127.0.0.1/api/v1/chatflows",
    ];
    for target in targets {
        for method in ["GET", "HEAD", "POST"] {
            let reply = raw::request(server.address(), method, target, &[]).await;
            assert_no_handler(target, &reply);
        }
    }
    for target in [format!("/api/v1//chatflows/{id}"), format!("/api/v1/ping/../chatflows/{id}")] {
        assert_no_handler(&target, &raw::request(server.address(), "GET", &target, &[]).await);
        assert_no_handler(&target, &raw::request(server.address(), "DELETE", &target, &[]).await);
    }
    let rows = server.operator().get("/api/v1/chatflows").await.expect(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "a chatflow was lost or added");
}

#[tokio::test]
async fn a2_a_public_route_is_public_by_its_whole_path() {
    let (server, id) = server_with_a_marked_flow().await;
    let targets = [
        "/api/v1/pingx".to_owned(),
        "/api/v1/ping/x".to_owned(),
        "/api/v1/versions".to_owned(),
        "/api/v1/predictionx".to_owned(),
        format!("/api/v1/chatflows-streamingx/{id}"),
        format!("/api/v1/chatflows-streaming/{id}/x"),
        "/api/v1/verify/apikey".to_owned(),
        "/api/v1/verify/apikey/x/y".to_owned(),
        "/api/v1/chatflows/apikey/x/y".to_owned(),
    ];
    for target in targets {
        let reply = raw::request(server.address(), "GET", &target, &[]).await;
        assert_eq!(reply.status, 404, "{target}: {reply:?}");
        reply.error_message();
    }
}

#[tokio::test]
async fn a_method_that_a_public_route_does_not_have_does_nothing() {
    let (server, id) = server_with_a_marked_flow().await;
    let targets = ["/api/v1/ping".to_owned(), format!("/api/v1/chatflows-streaming/{id}")];
    for target in targets {
        for method in ["DELETE", "PUT", "PATCH", "TRACE"] {
            let reply = raw::request(server.address(), method, &target, &[]).await;
            assert_no_handler(&target, &reply);
        }
    }
}

#[tokio::test]
async fn every_path_refuses_a_method_that_it_has_not_in_json_and_names_those_that_it_has() {
    let server = Parlor::start();
    let mut paths: Vec<_> = TABLE.iter().map(|entry| entry.path).collect();
    paths.dedup();
    for path in paths {
        let own = TABLE.iter().filter(|entry| entry.path == path);
        let mut own: Vec<_> = own.map(|entry| entry.method).collect();
        if let Some(at) = own.iter().position(|method| *method == "GET") {
            own.insert(at + 1, "HEAD");
        }
        let target = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        let target = target.collect::<Vec<_>>().join("/");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if !own.contains(&method) {
                let reply = raw::request(server.address(), method, &target, &[]).await;
                let message = reply.expect_error(405);
                assert_eq!(reply.header("allow"), Some(own.join(", ").as_str()), "{method} {path}");
                assert!(!message.contains(method) && message.contains(own[0]), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_is_refused_has_no_body_and_leaves_the_connection_usable() {
    let server = Parlor::start();
    let both = "HEAD /api/v1/leads HTTP/1.1\r\nHost: x\r\n\r\n\
                GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let reply = raw::exchange(server.address(), both.as_bytes()).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST, OPTIONS")));
    let next_or_nothing = reply.body.is_empty() || reply.body.starts_with("HTTP/1.1 200");
    assert!(next_or_nothing, "{reply:?}");
}

#[tokio::test]
async fn a4_odd_authorization_headers_are_refused_fast_and_never_logged() {
    let (server, _) = server_with_a_marked_flow().await;
    let huge = format!("Authorization: Bearer {}", "hush".repeat(1500));
    let headers: [&[&str]; 7] = [
        &["Authorization:"],
        &["Authorization: Bearer"],
        &["Authorization: Bearer hush", "Authorization: Basic aHVzaA=="],
        &["Authorization: Basic !!!hush!!!"],
        &["Authorization: Basic aHVzaA=="],
        &["Authorization: Bearer h\u{fc}sh"],
        &[&huge],
    ];
    for header in headers {
        let reply = raw::request(server.address(), "GET", "/api/v1/chatflows", header).await;
        assert!([400, 401, 431].contains(&reply.status), "{header:?}: {reply:?}");
        assert!(!reply.body.contains("hush"), "{header:?}: {reply:?}");
    }
    assert!(!server.log().contains("hush"), "the log shows a key:\n{}", server.log());
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused_in_json() {
    let server = Parlor::start();
    let reply = server.operator().get("/api/v1/chatflows?type=a&type=b").await;
    assert!(reply.expect_error(400).contains("query"), "{reply:?}");
}
