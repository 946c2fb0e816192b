//! The Vector Upsert API at its edges: who may call it, what it refuses, and
//! what it says of flows that it cannot fill.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Flow, Options, Parlor, Scripted, eventually, golden};

/// The recorded upserts that a test of this file plays, mended.
pub const PLAYED: &[&str] = &["b-upsert-no-vectorstore", "j-upsert-multipart-wrongfield"];
const LIMIT: Duration = Duration::from_secs(60);
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A flow of vector stores that no version of Parlor knows.
fn stores(ids: &[&str]) -> Flow {
    let node = |id: &&str| {
        json!({"id": id, "data": {
            "id": id, "label": "Made-up Store", "name": "madeUpStore", "category": "Vector Stores",
            "inputs": {}, "outputs": {"output": "retriever"},
        }})
    };
    Flow(json!({"nodes": ids.iter().map(node).collect::<Vec<_>>(), "edges": []}))
}

async fn refused(server: &Parlor, flow: &str, body: Value, status: u16) -> String {
    let path = format!("/api/v1/vector/upsert/{flow}");
    server.anyone().post(&path, &body).await.expect_error(status)
}

#[tokio::test]
async fn a_flow_without_a_vector_store_is_a_bad_request_in_flowises_words() {
    let model = Scripted::saying("Hello.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let recorded = golden::load("b-upsert-no-vectorstore").response().json();
    let message = refused(&server, &flow, json!({}), 400).await;
    assert_eq!(message, "No vector node found");
    assert!(recorded["message"].as_str().unwrap().ends_with(&message), "{recorded}");
    // The same without any body, and for the operator.
    let path = format!("/api/v1/vector/upsert/{flow}");
    server.anyone().send(Method::POST, &path, None).await.expect_error(400);
    let path = format!("/api/v1/vector/internal-upsert/{flow}");
    server.operator().post(&path, &json!({})).await.expect_error(400);
    server.anyone().post(&path, &json!({})).await.assert_turned_away("internal-upsert");
}

#[tokio::test]
async fn the_store_that_is_meant_must_be_clear_and_be_one_of_the_flows() {
    let server = Parlor::start();
    let flow = server.install("two", &stores(&["a_0", "b_0"])).await;
    let message = refused(&server, &flow, json!({}), 400).await;
    let expected = "There are multiple vector nodes, please provide stopNodeId in body request";
    assert_eq!(message, expected);
    for wanted in [json!("nope_0"), json!(["a_0", "nope_0"])] {
        let message = refused(&server, &flow, json!({"stopNodeId": wanted}), 400).await;
        for part in ["nope_0", "Made-up Store (a_0)", "Made-up Store (b_0)"] {
            assert!(message.contains(part), "{message}");
        }
    }
    for wrong in [json!(7), json!({"id": "a_0"}), json!([7])] {
        let message = refused(&server, &flow, json!({"stopNodeId": wrong}), 400).await;
        assert!(message.contains("stopNodeId"), "{message}");
    }
    for unknown in [json!("a_0"), json!(["a_0", "b_0"])] {
        let message = refused(&server, &flow, json!({"stopNodeId": unknown}), 501).await;
        assert!(message.contains("madeUpStore"), "{message}");
    }
}

#[tokio::test]
async fn a_flow_that_does_not_exist_is_not_found_and_a_missing_id_is_said_so() {
    let server = Parlor::start();
    assert!(refused(&server, NOBODY, json!({}), 404).await.contains(NOBODY));
    refused(&server, "no-uuid", json!({}), 404).await;
    let reply = server.anyone().post("/api/v1/vector/upsert", &json!({})).await;
    assert!(reply.expect_error(412).contains("id not provided!"));
}

#[tokio::test]
async fn bodies_and_headers_that_cannot_be_meant_are_refused_by_name() {
    let server = Parlor::start();
    let flow = server.install("one", &stores(&["a_0"])).await;
    let path = format!("/api/v1/vector/upsert/{flow}");
    for (body, part) in [
        ("[]", "object"),
        ("{\"a\":", "JSON"),
        ("{\"overrideConfig\": 1}", "overrideConfig"),
        ("{\"overrideConfig\": {\"sessionId\": {\"$ne\": 1}}}", "sessionId"),
        ("{\"chatId\": 7}", "chatId"),
    ] {
        let reply = server.anyone().send(Method::POST, &path, Some(body.to_owned())).await;
        let message = reply.expect_error(400);
        assert!(message.contains(part), "{body}: {message}");
    }
    let long = "x".repeat(300);
    for key in ["", long.as_str()] {
        let caller = server.anyone().with("idempotency-key", key);
        let message = caller.post(&path, &json!({})).await.expect_error(400);
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    let text = server.anyone().with("content-type", "text/plain");
    text.send(Method::POST, &path, Some("hello".into())).await.expect_error(400);
}

#[tokio::test]
async fn a_file_in_another_field_is_refused_by_the_fields_name() {
    let recorded = golden::load("j-upsert-multipart-wrongfield");
    assert!(recorded.body.contains("-F file=@up1.txt"), "{recorded:?}");
    assert_eq!(recorded.response().json()["message"], "Unexpected field");
    let server = Parlor::start();
    let flow = server.install("one", &stores(&["a_0"])).await;
    let path = format!("/api/v1/vector/upsert/{flow}");
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"up1.txt\"\r\n\r\n\
                x\r\n--b--\r\n";
    let caller = server.anyone().with("content-type", "multipart/form-data; boundary=b");
    let message = caller.send(Method::POST, &path, Some(body.to_owned())).await.expect_error(400);
    assert!(message.contains("\"file\"") && message.contains("files"), "{message}");
}

#[tokio::test]
async fn a_protected_flow_is_filled_with_its_own_key_of_the_right_scope_only() {
    let server = Parlor::start();
    let (id, right) = server.api_key("right").await;
    let (_, other) = server.api_key("other").await;
    let mut row = stores(&["a_0"]).row("protected");
    row["apikeyid"] = json!(id);
    let flow = server.install_row(&row).await;
    let path = format!("/api/v1/vector/upsert/{flow}");
    for caller in [server.anyone(), server.anyone().bearer(&other)] {
        caller.post(&path, &json!({})).await.expect_error(401);
    }
    server.anyone().bearer(&right).post(&path, &json!({})).await.expect_error(501);

    let made = json!({"keyName": "asks only", "scopes": ["predict"]});
    let rows = server.operator().post("/api/v1/apikey", &made).await.expect(200).json();
    let row = rows.as_array().unwrap().iter().find(|row| row["keyName"] == "asks only").unwrap();
    let bound = json!({"apikeyid": row["id"]});
    let chatflow = format!("/api/v1/chatflows/{flow}");
    server.operator().put(&chatflow, &bound).await.expect(200);
    let asks_only = server.anyone().bearer(row["apiKey"].as_str().unwrap());
    asks_only.post(&path, &json!({})).await.expect_error(401);
}

#[tokio::test]
async fn upserts_share_the_rate_limit_of_their_chatflow() {
    let server = Parlor::start();
    let mut row = stores(&["a_0"]).row("limited");
    let limit =
        json!({"status": true, "limitMax": "1", "limitDuration": "3600", "limitMsg": "slow"});
    row["apiConfig"] = json!(json!({"rateLimit": limit}).to_string());
    let flow = server.install_row(&row).await;
    let path = format!("/api/v1/vector/upsert/{flow}");
    server.anyone().post(&path, &json!({})).await.expect_error(501);
    let reply = server.anyone().post(&path, &json!({})).await.expect(429);
    assert_eq!(reply.body, "slow");
}

#[tokio::test]
async fn a_deletion_needs_exactly_one_selector_and_one_store() {
    let server = Parlor::start();
    let flow = server.install("two", &stores(&["a_0", "b_0"])).await;
    let path = format!("/api/v1/vector/{flow}");
    let delete = |query: &str, body: Value| {
        let path = format!("{path}{query}");
        let operator = server.operator();
        async move { operator.send(Method::DELETE, &path, Some(body.to_string())).await }
    };
    for (query, body) in [
        ("", json!({})),
        ("?all=false", json!({})),
        ("?all=true&origin=a", json!({})),
        ("?origin=a", json!({"all": true})),
        ("?sessionId=a", json!({})),
        ("", json!({"ids": []})),
        ("", json!({"ids": ["x"]})),
        ("", json!({"filter": {}})),
        ("", json!({"origin": ""})),
        ("", json!({"all": "true"})),
        ("", json!([])),
    ] {
        delete(query, body).await.expect_error(400);
    }
    let message = delete("?all=true", json!({})).await.expect_error(400);
    assert!(message.contains("stopNodeId"), "{message}");
    delete("?all=true&stopNodeId=a_0", json!({})).await.expect_error(501);
    server.anyone().delete(&format!("{path}?all=true")).await.assert_turned_away("a deletion");
}

#[tokio::test]
async fn the_history_begins_empty_and_refuses_what_it_does_not_know() {
    let server = Parlor::start();
    let flow = server.install("one", &stores(&["a_0"])).await;
    let path = "/api/v1/upsert-history";
    for list in [path.to_owned(), format!("{path}/{flow}"), format!("{path}?order=DESC")] {
        assert_eq!(server.operator().get(&list).await.expect(200).json(), json!([]));
        server.anyone().get(&list).await.assert_turned_away(&list);
    }
    server.operator().get(&format!("{path}/{NOBODY}")).await.expect_error(404);
    server.operator().get(&format!("{path}?chatId=a")).await.expect_error(400);
    server.operator().get(&format!("{path}?order=up")).await.expect_error(400);
    let patch = |body: Value| {
        let operator = server.operator();
        async move { operator.send(Method::PATCH, path, Some(body.to_string())).await }
    };
    for body in [json!({}), json!({"ids": []}), json!({"ids": "x"}), json!({"ids": ["x"]})] {
        patch(body).await.expect_error(400);
    }
    let none = patch(json!({"ids": [NOBODY]})).await.expect(200).json();
    assert_eq!(none, json!({"raw": [], "affected": 0}));
    let reply = server.anyone().send(Method::PATCH, path, Some("{}".into())).await;
    reply.assert_turned_away("a deletion of history");
}

#[tokio::test]
async fn a_job_that_nobody_started_is_not_found_and_listing_is_the_operators() {
    let server = Parlor::start();
    let flow = server.install("one", &stores(&["a_0"])).await;
    // What is refused before it runs is no job.
    refused(&server, &flow, json!({}), 501).await;
    for id in [NOBODY, "no-uuid"] {
        let path = format!("/api/v1/upserts/{id}");
        server.anyone().get(&path).await.expect_error(404);
        server.anyone().delete(&path).await.expect_error(404);
    }
    let of_flow = format!("/api/v1/upserts?chatflowId={flow}");
    for list in ["/api/v1/upserts", &of_flow] {
        assert_eq!(server.operator().get(list).await.expect(200).json(), json!([]));
        server.anyone().get(list).await.assert_turned_away(list);
    }
    server.operator().get("/api/v1/upserts?chatflowId=x").await.expect_error(404);
    server.operator().get("/api/v1/upserts?x=y").await.expect_error(400);
}

#[tokio::test]
async fn the_operator_says_how_many_upserts_run_wait_for_a_store_and_are_there_at_all() {
    let model = Scripted::start(|_| Answer::Hang).await;
    let limits = ["--max-running-upserts", "1", "--max-waiting-upserts", "1", "--max-upserts", "3"];
    let server = Parlor::start_with(Options::default().args(&limits));
    let flow = Flow::template("Local QnA").with_input(
        "localAIEmbeddings_0",
        "basePath",
        json!(model.basepath()),
    );
    let at = |place: &str| flow.clone().with_input("faiss_0", "basePath", json!(place));
    let one = server.install("one", &at("/one")).await;
    let other = server.install("other", &at("/other")).await;
    let fill = |flow: &str| {
        let (caller, path) = (server.anyone(), format!("/api/v1/vector/upsert/{flow}"));
        let file = ("a.txt", "text/plain", "a note".as_bytes());
        async move { caller.post_form(&path, &[], &[file]).await }
    };
    let works = async |running: u64, waiting: u64| {
        let expected = json!({"running": running, "waiting": waiting, "limit": 3});
        let look = async || server.operator().get("/api/v1/runtime").await.expect(200).json();
        let is_so = eventually(LIMIT, async || look().await["upserts"] == expected).await;
        assert!(is_so, "{}", look().await["upserts"]);
    };
    let mut asked = vec![tokio::spawn(fill(&one))];
    works(1, 0).await;
    asked.push(tokio::spawn(fill(&one)));
    works(1, 1).await;
    let message = fill(&one).await.expect_error(429);
    assert!(message.contains("this vector store"), "{message}");
    // The store is free, the one place to run is not.
    asked.push(tokio::spawn(fill(&other)));
    works(1, 2).await;
    fill(&other).await.expect_error(503);
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_question_on_the_command_line_gets_its_answer() {
    let model = Scripted::saying("Hello there. ").await;
    let server = Parlor::start();
    let flow = server.install_llm_chain(&model.basepath()).await;
    let output = server.command_aside(&["ask", &flow, "Who are you?"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "Hello there.");
    let output = server.command_aside(&["ask", &flow, "Who are you?", "--json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&answer["question"], output.status.success()), (&json!("Who are you?"), true));
    let output = server.command(&["ask", NOBODY, "Who are you?"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not found"), "{output:?}");
}

#[tokio::test]
async fn an_upsert_on_the_command_line_says_what_the_server_says() {
    let server = Parlor::start();
    let flow = server.install("two", &stores(&["a_0", "b_0"])).await;
    let said = |args: &[&str]| {
        let output = server.command(args);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["upsert", &flow]).contains("multiple vector nodes"));
    let folder = server.folder();
    let file = folder.path().join("note.txt");
    std::fs::write(&file, "a note").unwrap();
    let file = file.to_str().unwrap();
    assert!(said(&["upsert", &flow, file, "--stop-node", "a_0"]).contains("madeUpStore"));
    assert!(said(&["upsert", &flow, "missing.txt"]).contains("missing.txt cannot be read"));
    assert!(said(&["vectors", "delete", &flow]).contains("required"));
    assert!(
        said(&["vectors", "delete", &flow, "--all", "--origin", "a"]).contains("cannot be used")
    );
    let deletion = ["vectors", "delete", &flow, "--all", "--stop-node", "a_0"];
    assert!(said(&deletion).contains("madeUpStore"));
}
