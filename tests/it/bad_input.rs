//! Bad requests and bad flows: each gets a clear error in Flowise's error
//! body, nothing reaches a model, nothing is stored.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Flow, Parlor, Reply, Scripted};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// A server with the recorded LLM chain.
struct Stage {
    server: Parlor,
    model: Scripted,
    flow: String,
}

impl Stage {
    async fn set() -> Self {
        let model = Scripted::saying("Never heard.").await;
        let server = Parlor::start();
        let flow = server.install_llm_chain(&model.basepath()).await;
        Self { server, model, flow }
    }

    async fn send_text(&self, content_type: &str, body: &str) -> Reply {
        let caller = self.server.anyone().with("content-type", content_type);
        let path = format!("/api/v1/prediction/{}", self.flow);
        caller.send(Method::POST, &path, Some(body.to_owned())).await
    }

    /// What a prediction of a flow says that cannot run, asked both ways. A
    /// server that refuses to store such a flow says it then.
    async fn complaint(&self, flow: &Flow) -> (u16, String) {
        let stored = self.server.operator().post("/api/v1/chatflows", &flow.row("bad")).await;
        if stored.status != 200 {
            return (stored.status, stored.error_message());
        }
        let id = stored.json()["id"].as_str().expect("an id").to_owned();
        let whole = self.server.ask(&id, &json!({"question": "hi"})).await;
        let streamed = self.server.ask(&id, &json!({"question": "hi", "streaming": true})).await;
        let message = whole.error_message();
        assert_eq!((streamed.status, streamed.error_message()), (whole.status, message.clone()));
        assert_eq!(self.server.messages(&id, "").await, []);
        (whole.status, message)
    }

    async fn assert_untouched(&self) {
        assert!(self.model.received().is_empty(), "a bad request reached the model");
        assert_eq!(self.server.messages(&self.flow, "").await, []);
    }

    /// The recorded flow, ready to be spoilt.
    async fn good_flow(&self) -> Flow {
        let credential = self.server.openai_credential().await;
        Flow::golden("a-llmchain").with_openai(&credential, &self.model.basepath())
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_bad_request() {
    let stage = Stage::set().await;
    for body in [
        "{\"question\": \"hi\"",
        "{'question': 'hi'}",
        "[]",
        "[{\"question\":\"hi\"}]",
        "\"hi\"",
        "7",
        "null",
    ] {
        let reply = stage.send_text("application/json", body).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        reply.error_message();
    }
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a_body_that_begins_with_a_byte_order_mark_is_read() {
    let stage = Stage::set().await;
    let body = "\u{feff}{\"question\": \"hi\"}";
    let reply = stage.send_text("application/json", body).await.expect(200).json();
    assert_eq!(reply["question"], "hi");
}

#[tokio::test]
async fn a_body_of_plain_text_or_none_at_all_is_refused() {
    let stage = Stage::set().await;
    for (content_type, body) in [("text/plain", "hi"), ("application/octet-stream", "\u{1}\u{2}")] {
        let reply = stage.send_text(content_type, body).await;
        assert!([400, 415].contains(&reply.status), "{content_type}: {reply:?}");
        reply.error_message();
    }
    let path = format!("/api/v1/prediction/{}", stage.flow);
    stage.server.anyone().send(Method::POST, &path, None).await.expect_error(400);
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a17_a_field_of_the_wrong_type_is_named() {
    let stage = Stage::set().await;
    for (body, field) in [
        (json!({}), "question"),
        (json!({"question": null}), "question"),
        (json!({"question": {"text": "hi"}}), "question"),
        (json!({"question": "hi", "history": "before"}), "history"),
        (json!({"question": "hi", "history": [{"role": "system", "content": "x"}]}), "role"),
        (json!({"question": "hi", "overrideConfig": "x"}), "overrideConfig"),
        (json!({"question": "hi", "overrideConfig": {"sessionId": {"$ne": ""}}}), "sessionId"),
        (json!({"question": "hi", "overrideConfig": {"sessionId": ["a"]}}), "sessionId"),
        (json!({"question": "hi", "chatId": 7}), "chatId"),
    ] {
        for streaming in [false, true] {
            let mut body = body.clone();
            body["streaming"] = json!(streaming);
            let message = stage.server.ask(&stage.flow, &body).await.expect_error(400);
            assert!(message.contains(field), "{body}: {message}");
        }
    }
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a17_json_nested_without_end_is_refused_at_once() {
    let stage = Stage::set().await;
    let deep =
        format!("{{\"question\":\"hi\",\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    stage.send_text("application/json", &deep).await.expect_error(400);
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a_chatflow_that_does_not_exist_is_not_found() {
    let stage = Stage::set().await;
    let question = json!({"question": "hi"});
    let message = stage.server.ask(UNKNOWN, &question).await.expect_error(404);
    assert!(message.contains(UNKNOWN), "{message}");
    for id in ["not-a-uuid", "54d84c37", "%00", "..%2f..%2fetc%2fpasswd"] {
        let reply = stage.server.ask(id, &question).await;
        assert!([400, 404].contains(&reply.status), "{id}: {reply:?}");
        reply.error_message();
    }
    let path = format!("/api/v1/chatflows-streaming/{UNKNOWN}");
    stage.server.anyone().get(&path).await.expect_error(404);
    let reply = stage.server.operator().get("/api/v1/chatflows/not-a-uuid").await;
    assert!([400, 404].contains(&reply.status), "{reply:?}");
}

#[tokio::test]
async fn an_unknown_path_is_not_found_in_the_same_body() {
    let server = Parlor::start();
    server.operator().get("/api/v1/no-such-thing").await.expect_error(404);
    server.anyone().get("/api/v1/pingx").await.expect_error(404);
}

#[tokio::test]
async fn a_path_that_lacks_its_chatflow_says_so() {
    let server = Parlor::start();
    let anyone = server.anyone().post("/api/v1/prediction", &json!({"question": "hi"})).await;
    let message = anyone.expect_error(412);
    assert_eq!(message, "Error: predictionsController.createPrediction - id not provided!");
    let operator = server.operator();
    let path = "/api/v1/chatmessage";
    for reply in [operator.get(path).await, operator.delete(path).await] {
        assert!(reply.expect_error(412).contains("id not provided"), "{reply:?}");
    }
    server.anyone().delete(path).await.expect(401);
}

#[tokio::test]
async fn a25_a_node_that_parlor_lacks_is_named_and_never_run() {
    let stage = Stage::set().await;
    let mut flow = stage.good_flow().await;
    flow.data("promptTemplate_0")["name"] = json!("crystalBall");
    let (status, message) = stage.complaint(&flow).await;
    assert_eq!(status, 501, "{message}");
    assert!(message.contains("crystalBall"), "{message}");
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a_graph_with_a_loop_is_refused_with_a_word_about_the_loop() {
    let stage = Stage::set().await;
    let mut flow = stage.good_flow().await;
    // The chain's own text goes into the prompt that the chain is made of, and
    // a second chain gives the flow an ending.
    flow.data("llmChain_0")["outputs"] = json!({"output": "outputPrediction"});
    let values = r#"{"product":"{{llmChain_0.data.instance}}"}"#;
    flow = flow.with_input("promptTemplate_0", "promptValues", json!(values));
    add_second_chain(&mut flow.0);
    let edges = flow.0["edges"].as_array_mut().unwrap();
    edges.push(edge("llmChain_0", "promptTemplate_0", "promptValues"));
    let (status, message) = stage.complaint(&flow).await;
    assert_eq!(status, 422, "{message}");
    let lower = message.to_lowercase();
    assert!(lower.contains("loop") || lower.contains("cycle"), "{message}");
    stage.assert_untouched().await;
}

/// A copy of the chain that ends the flow and reads the same prompt.
fn add_second_chain(flow: &mut Value) {
    let nodes = flow["nodes"].as_array_mut().unwrap();
    let chain = nodes.iter().find(|node| node["id"] == "llmChain_0").unwrap();
    let text = chain.to_string().replace("llmChain_0", "llmChain_1");
    let mut second: Value = serde_json::from_str(&text).unwrap();
    second["data"]["outputs"] = json!({"output": "llmChain"});
    nodes.push(second);
    let edges = flow["edges"].as_array_mut().unwrap();
    edges.push(edge("promptTemplate_0", "llmChain_1", "prompt"));
    edges.push(edge("chatOpenAI_0", "llmChain_1", "model"));
}

fn edge(source: &str, target: &str, input: &str) -> Value {
    let (from, to) = (format!("{source}-output-x-X"), format!("{target}-input-{input}-X"));
    json!({"source": source, "target": target, "sourceHandle": from, "targetHandle": to,
           "type": "buttonedge", "id": format!("{from}-{to}")})
}

#[tokio::test]
async fn a_flow_without_an_ending_node_is_refused_with_a_word_about_it() {
    let stage = Stage::set().await;
    let mut headless = stage.good_flow().await;
    let nodes = headless.0["nodes"].as_array_mut().unwrap();
    nodes.retain(|node| node["id"] != "llmChain_0");
    headless.0["edges"] = json!([]);
    let empty = Flow(json!({"nodes": [], "edges": []}));
    for flow in [headless, empty] {
        let (status, message) = stage.complaint(&flow).await;
        assert_eq!(status, 422, "{message}");
        assert!(message.to_lowercase().contains("ending node"), "{message}");
    }
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a_credential_that_does_not_exist_is_an_error_that_names_the_node() {
    let stage = Stage::set().await;
    let flow = Flow::golden("a-llmchain").with_openai(UNKNOWN, &stage.model.basepath());
    let (status, message) = stage.complaint(&flow).await;
    assert_eq!(status, 422, "{message}");
    assert!(message.to_lowercase().contains("credential"), "{message}");
    assert!(message.contains("chatOpenAI_0"), "{message}");
    stage.assert_untouched().await;
}

#[tokio::test]
async fn a_refused_question_leaves_nothing_in_its_session() {
    let stage = Stage::set().await;
    let flow = stage.server.install_conversation(&stage.model.basepath()).await;
    let session = json!({"sessionId": "s"});
    let bad = json!({"overrideConfig": session, "history": [{"role": "system", "content": "x"}]});
    stage.server.ask(&flow, &bad).await.expect_error(400);
    let good = json!({"question": "hi", "overrideConfig": session});
    stage.server.ask(&flow, &good).await.expect(200);
    assert_eq!(stage.server.messages(&flow, "sessionId=s").await.len(), 2);
}
