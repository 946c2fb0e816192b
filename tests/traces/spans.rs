//! The spans of requests: who is whose child, and what each tells.

use serde_json::{Value, json};

use crate::collector::{Span, Spans, Traced};
use crate::support::scripted::words;
use crate::support::sse;
use crate::support::{Answer, Flow, Options, Scripted};

const REQUEST: &str = "POST /api/v1/prediction/{id}";
const TURN: &str = "invoke_workflow";
const CHAT: &str = "chat gpt-4o-mini";

/// The request, its turn and the only call of a model in it.
fn turn(spans: &Spans) -> [&Span; 3] {
    let request = spans.only(REQUEST);
    let turns = spans.under(request, TURN);
    assert_eq!(turns.len(), 1, "{spans:#?}");
    let chats = spans.under(turns[0], CHAT);
    assert_eq!(chats.len(), 1, "{spans:#?}");
    [request, turns[0], chats[0]]
}

/// An address as spans tell it.
fn server(model: &Scripted) -> (Value, Value) {
    let base = model.base();
    let (host, port) = base.trim_start_matches("http://").split_once(':').unwrap();
    (json!(host), json!(port.parse::<u16>().unwrap()))
}

fn assert_answered(spans: &Spans, model: &Scripted, streamed: bool) {
    let [request, turn, chat] = turn(spans);
    assert_eq!(
        [&*request.kind, &*turn.kind, &*chat.kind],
        ["SPAN_KIND_SERVER", "SPAN_KIND_INTERNAL", "SPAN_KIND_CLIENT"]
    );
    for span in [request, turn, chat] {
        assert_eq!((&*span.status, span.events), ("STATUS_CODE_UNSET", 0), "{span:#?}");
        assert_eq!(span.attribute("error.type"), Value::Null);
    }
    assert_eq!(request.attributes.len(), 4, "{request:#?}");
    assert_eq!(request.attribute("http.request.method"), "POST");
    assert_eq!(request.attribute("http.route"), "/api/v1/prediction/{id}");
    assert_eq!(request.attribute("http.response.status_code"), 200);
    assert_eq!(request.attribute("url.scheme"), "http");
    assert_eq!(turn.attribute("gen_ai.operation.name"), "invoke_workflow");
    let (host, port) = server(model);
    let mut expected = json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": chat.attribute("gen_ai.response.model"),
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": chat.attribute("gen_ai.usage.input_tokens"),
        "gen_ai.usage.output_tokens": 2, "server.address": host, "server.port": port,
    });
    if streamed {
        expected["gen_ai.request.stream"] = json!(true);
    }
    assert!(chat.attribute("gen_ai.response.model").is_string(), "{chat:#?}");
    assert!(chat.attribute("gen_ai.usage.input_tokens").as_u64() > Some(0), "{chat:#?}");
    assert_eq!(json!(chat.attributes), expected);
}

#[tokio::test]
async fn a_request_its_turn_and_its_model_call_are_one_trace_whose_id_the_reply_tells() {
    let model = Scripted::start(|_| Answer::Say(words("well done"))).await;
    let traced = Traced::start();
    let flow = traced.server.install_conversation(&model.basepath()).await;
    let reply = traced.server.ask(&flow, &json!({"question": "hi"})).await.expect(200).json();
    let (spans, _) = traced.collect().await;
    assert_answered(&spans, &model, false);
    let [request, turn, chat] = turn(&spans);
    assert_eq!(request.parent, "");
    for span in [request, turn, chat] {
        assert_eq!(json!(span.trace_id), reply["traceId"]);
    }
    assert_eq!(turn.attribute("parlor.chatflow.id"), json!(flow));
    // What the operator did before is told too, each request in a trace of its own.
    let install = spans.only("POST /api/v1/chatflows");
    assert_ne!(install.trace_id, request.trace_id);
}

#[tokio::test]
async fn a_streamed_turn_continues_the_trace_of_its_caller() {
    let model = Scripted::start(|_| Answer::Say(words("well done"))).await;
    let traced = Traced::start();
    let flow = traced.server.install_conversation(&model.basepath()).await;
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let caller = traced.server.anyone().with("traceparent", &format!("00-{trace}-{parent}-01"));
    let body = json!({"question": "hi", "streaming": true});
    let reply = caller.post(&format!("/api/v1/prediction/{flow}"), &body).await.expect(200);
    assert_eq!(sse::only(&reply.events(), "metadata")["traceId"], trace);
    let (spans, _) = traced.collect().await;
    assert_answered(&spans, &model, true);
    let request = spans.only(REQUEST);
    assert_eq!((&*request.trace_id, &*request.parent), (trace, parent));
}

#[tokio::test]
async fn a_failing_provider_is_told_by_its_status_all_the_way_up() {
    let body = json!({"error": {"message": "no such key"}}).to_string();
    let refusal = Answer::Whole { status: 401, headers: Vec::new(), body };
    let model = Scripted::start(move |_| refusal.clone()).await;
    let traced = Traced::start();
    let flow = traced.server.install_conversation(&model.basepath()).await;
    traced.server.ask(&flow, &json!({"question": "hi"})).await.expect(502);
    let (spans, _) = traced.collect().await;
    let [request, turn, chat] = turn(&spans);
    let errors = [request, turn, chat].map(|span| {
        assert_eq!(span.status, "STATUS_CODE_ERROR", "{span:#?}");
        span.attribute("error.type")
    });
    assert_eq!(errors, ["502", "UpstreamFailed", "401"].map(|error| json!(error)));
    assert_eq!(request.attribute("http.response.status_code"), 502);
    assert_eq!(chat.attribute("gen_ai.response.finish_reasons"), json!(["error"]));
}

#[tokio::test]
async fn the_tools_of_an_agent_are_beside_its_model_calls() {
    let model = Scripted::start(|request| match request.messages().last() {
        Some((role, _)) if role == "tool" => Answer::Say(words("forty two")),
        _ => Answer::CallTool {
            id: "c",
            name: "calculator",
            arguments: json!({"input": "6*7"}).to_string(),
        },
    })
    .await;
    let traced = Traced::start();
    let credential = traced.server.openai_credential().await;
    let flow = Flow::golden("d-toolagent").with_openai(&credential, &model.basepath());
    let flow = traced.server.install("agent", &flow).await;
    traced.server.ask(&flow, &json!({"question": "How much?"})).await.expect(200);
    let (spans, _) = traced.collect().await;
    let turn = spans.only(TURN);
    let chats = spans.under(turn, CHAT);
    let reasons = chats.iter().map(|chat| chat.attribute("gen_ai.response.finish_reasons"));
    assert_eq!(reasons.collect::<Vec<_>>(), [json!(["tool_call"]), json!(["stop"])]);
    let tools = spans.under(turn, "execute_tool calculator");
    assert_eq!(tools.len(), 1, "{spans:#?}");
    let expected = json!({
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "calculator",
        "gen_ai.tool.type": "function",
    });
    assert_eq!(json!(tools[0].attributes), expected);
}

#[tokio::test]
async fn an_upsert_is_a_trace_of_its_own_that_is_linked_to_its_request() {
    let model = Scripted::start(|request| {
        let n_texts = request.body["input"].as_array().map_or(1, Vec::len);
        let data: Vec<_> =
            (0..n_texts).map(|n| json!({"index": n, "embedding": [0.5, 0.25]})).collect();
        Answer::Whole { status: 200, headers: Vec::new(), body: json!({"data": data}).to_string() }
    })
    .await;
    let traced = Traced::start();
    let credential = traced.server.openai_credential().await;
    let flow = Flow::golden("c-retrievalqa").with_openai(&credential, &model.basepath());
    let flow = traced.server.install("retrieval", &flow).await;
    let path = format!("/api/v1/vector/upsert/{flow}");
    traced.server.operator().post(&path, &json!({})).await.expect(200);
    let (spans, _) = traced.collect().await;
    let request = spans.only("POST /api/v1/vector/upsert/{id}");
    let upsert = spans.only("upsert");
    assert_eq!((&*upsert.parent, &upsert.links), ("", &vec![request.trace_id.clone()]));
    let embeddings: Vec<_> = spans.0.iter().filter(|span| span.parent == upsert.span_id).collect();
    assert_eq!(embeddings.len(), 1, "{spans:#?}");
    let (host, port) = server(&model);
    let model = embeddings[0].attribute("gen_ai.request.model");
    assert_eq!(embeddings[0].name, format!("embeddings {}", model.as_str().unwrap()));
    let expected = json!({
        "gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model, "server.address": host, "server.port": port,
    });
    assert_eq!(json!(embeddings[0].attributes), expected);
}

#[tokio::test]
async fn a_service_and_its_collectors_key_are_named_by_the_standards_variables() {
    for (variables, name) in [
        (vec![("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")], "parlor"),
        (vec![("OTEL_SERVICE_NAME", "desk")], "desk"),
        (vec![("OTEL_RESOURCE_ATTRIBUTES", "service.name=help")], "help"),
    ] {
        let options = Options::default().env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc");
        let options =
            variables.iter().fold(options, |options, (name, value)| options.env(name, value));
        let traced = Traced::start_with(options);
        traced.server.anyone().get("/healthz").await.expect(200);
        let (spans, _) = traced.collect().await;
        let span = spans.only("GET /healthz");
        assert_eq!(span.resource["service.name"], name);
        assert_eq!(span.headers["x-key"], "abc");
    }
}
