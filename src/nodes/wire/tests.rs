//! The chat model nodes against a scripted provider.

mod bedrock;
mod damage;
mod gathered;
mod gemini;

use std::sync::Arc;

use parlor_schemas::StreamEvent;
use serde_json::{Map, Value, json};

use super::test_server::{TestServer, answer, run, stream};
use crate::chat_models::NODES;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::{InputValue, Inputs, Secrets};
use crate::instance::{ChatModel, Instance};
use crate::model::{
    ChatReply, ChatRequest, FinishReason, ModelMessage, Part, Speaker, ToolCall, ToolDefinition,
};
use crate::test_support::{TestTurn, image, inputs, source, system, user};

fn secret(field: &str, from_environment: bool) -> Option<Result<Secrets, String>> {
    let fields = Map::from_iter([(field.to_owned(), json!("key-123456"))]);
    Some(Ok(Secrets { fields, from_environment }))
}

fn model(name: &str, inputs: &Inputs) -> Arc<dyn ChatModel> {
    let spec = NODES.iter().find(|spec| spec.name == name).unwrap();
    let Instance::ChatModel(model) = (spec.build)(inputs).unwrap() else { panic!("no model") };
    model
}

fn built<const N: usize>(name: &str, values: [(&str, InputValue); N]) -> Arc<dyn ChatModel> {
    let secrets = secret("openAIApiKey", false);
    model(name, &Inputs { secrets, ..inputs(values) })
}

/// One call of a node whose provider answers so; the last is what the client read.
async fn ask(
    model: &dyn ChatModel,
    request: ChatRequest,
    script: String,
    streams: bool,
) -> (Result<ChatReply, NodeError>, TestServer, Vec<String>) {
    ask_bytes(model, request, script.into_bytes(), streams).await
}

/// The same with an answer that is no text.
async fn ask_bytes(
    model: &dyn ChatModel,
    request: ChatRequest,
    script: Vec<u8>,
    streams: bool,
) -> (Result<ChatReply, NodeError>, TestServer, Vec<String>) {
    let server = TestServer::answering_bytes(vec![script]).await;
    let (ctx, mut events) = TestTurn::asking("hi").streaming();
    let ctx = server.serving(ctx);
    let reply = model.call(request, &ctx, streams).await;
    if let Ok(reply) = &reply {
        assert_eq!(ctx.meter.total(), reply.usage, "the call is counted once");
    }
    drop(ctx);
    let mut tokens = Vec::new();
    while let Some(event) = events.recv().await {
        if let StreamEvent::Token(text) = event {
            tokens.push(text);
        }
    }
    (reply, server, tokens)
}

fn hello() -> ChatRequest {
    ChatRequest::new(vec![system("Be kind."), user("hi")])
}

/// A conversation in which a tool was called.
fn tool_talk() -> ChatRequest {
    let call =
        ToolCall { id: "c1".to_owned(), name: "add".to_owned(), arguments: json!({ "a": 1 }) };
    let called =
        ModelMessage { tool_calls: vec![call], ..ModelMessage::text(Speaker::Assistant, "") };
    let result = ModelMessage {
        tool_call_id: Some("c1".to_owned()),
        ..ModelMessage::text(Speaker::Tool, "2")
    };
    let mut picture = user("See");
    picture.parts.push(image("data:image/png;base64,QUJD"));
    let tool = ToolDefinition {
        name: "add".to_owned(),
        description: "Adds".to_owned(),
        parameters: json!({ "type": "object" }),
        strict: false,
    };
    let messages = vec![picture, called, result, user("And?")];
    ChatRequest { tools: vec![tool], ..ChatRequest::new(messages) }
}

const OPENAI_STREAM: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn openai_is_asked_as_the_node_says_and_streams() {
    run(Box::pin(async {
        let model = built(
            "chatOpenAI",
            [
                ("temperature", source("0.9")),
                ("maxTokens", source("33")),
                ("stopSequence", source("a, b")),
                ("baseOptions", source(r#"{"x-team":"blue"}"#)),
            ],
        );

        let (reply, server, tokens) = ask(&*model, hello(), stream(OPENAI_STREAM), true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.usage.input_tokens), ("Hello", 7));
        assert_eq!(tokens, ["Hel", "lo"]);
        let expected = json!({
            "model": "gpt-4o-mini",
            "messages": [
                { "role": "system", "content": "Be kind." },
                { "role": "user", "content": "hi" },
            ],
            "temperature": 0.9, "max_tokens": 33, "stop": ["a", "b"],
            "stream": true, "stream_options": { "include_usage": true },
        });
        assert_eq!(server.body(), expected);
        let head = server.head();
        assert!(head.starts_with("post /chat/completions"), "{head}");
        assert!(head.contains("authorization: bearer key-123456"), "{head}");
        assert!(head.contains("x-team: blue"), "{head}");
    }));
}

#[test]
fn openai_calls_tools_in_fragments() {
    run(Box::pin(async {
        let script = concat!(
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c2\",",
            "\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,",
            "\"function\":{\"arguments\":\":3}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
        );
        let model = built("chatOpenAI", [("strictToolCalling", source("true"))]);

        let (reply, server, _) = ask(&*model, tool_talk(), stream(script), true).await;

        let reply = reply.unwrap();
        assert_eq!(reply.finish, FinishReason::ToolCalls);
        assert_eq!(reply.tool_calls[0].arguments, json!({ "a": 3 }));
        let body = server.body();
        assert_eq!(body["tools"][0]["function"]["strict"], json!(true));
        assert_eq!(body["messages"][0]["content"][1]["image_url"]["detail"], json!("low"));
        assert_eq!(body["messages"][1]["content"], Value::Null);
        assert_eq!(body["messages"][2]["tool_call_id"], json!("c1"));
    }));
}

#[test]
fn a_stream_that_does_not_end_well_is_an_error() {
    let openai = r#"data: {"choices":[{"delta":{"content":"Hel"}}]}"#;
    let anthropic = r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    let overloaded = r#"data: {"type":"error","error":{"type":"x","message":"Overloaded"}}"#;
    let broke_off = "broke off in the middle of its answer";
    for (name, script, problem) in [
        ("chatOpenAI", openai, broke_off),
        ("chatOpenAI", "data: {oops", "no valid JSON"),
        ("chatOpenAI", r#"data: {"error":{"message":"Overloaded"}}"#, "500: Overloaded"),
        ("chatAnthropic", anthropic, broke_off),
        ("chatAnthropic", overloaded, "500: Overloaded"),
        ("chatOllama", r#"{"message":{"content":"a"},"done":false}"#, broke_off),
        ("chatOllama", r#"{"error":"Overloaded"}"#, "500: Overloaded"),
    ] {
        run(Box::pin(async move {
            let model = built(name, [("modelName", source("m"))]);

            let (reply, ..) = ask(&*model, hello(), stream(script), true).await;

            let error = reply.unwrap_err().to_string();
            assert!(error.contains(problem), "{name}: {error}");
        }));
    }
}

#[test]
fn openai_answers_whole_and_its_refusal_hides_the_key() {
    run(Box::pin(async {
        let model =
            built("chatOpenAI", [("modelName", source("o3-mini")), ("temperature", source("1"))]);
        let body = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"length"}]}"#;

        let (reply, server, _) = ask(&*model, hello(), answer("200", "", body), false).await;

        assert_eq!(reply.unwrap().finish, FinishReason::Length);
        assert_eq!(server.body().get("temperature"), None);
        assert_eq!(server.body().get("stream"), None);

        let body = r#"{"error":{"message":"Bad key key-123456"}}"#;
        let (reply, ..) = ask(&*model, hello(), answer("401", "", body), false).await;
        assert_eq!(reply.unwrap_err().to_string(), "OpenAI answered 401: Bad key [hidden]");
    }));
}

#[test]
fn a_key_from_the_environment_stays_away_from_a_typed_address() {
    run(Box::pin(async {
        for (from_environment, is_sent) in [(true, false), (false, true)] {
            let server = TestServer::answering(&[stream(OPENAI_STREAM)]).await;
            let values = inputs([("basepath", source(&format!("{}/v1/", server.url)))]);
            let secrets = secret("openAIApiKey", from_environment);
            let model = model("chatOpenAI", &Inputs { secrets, ..values });
            let ctx: TurnCtx = TestTurn::asking("hi").ctx();

            model.call(hello(), &ctx, true).await.unwrap();

            let head = server.head();
            assert!(head.starts_with("post /v1/chat/completions "), "{head}");
            assert_eq!(head.contains("authorization"), is_sent);
        }
    }));
}

#[test]
fn a_missing_key_is_an_error_only_at_the_providers_own_address() {
    run(Box::pin(async {
        let secrets = Some(Err("store a key".to_owned()));
        let model = model("chatOpenAI", &Inputs { secrets, ..inputs([]) });

        let (reply, server, _) = ask(&*model, hello(), stream(OPENAI_STREAM), true).await;
        assert!(reply.is_ok());
        assert!(!server.head().contains("authorization"));

        let error = model.call(hello(), &TestTurn::asking("hi").ctx(), true).await.unwrap_err();
        assert_eq!(error.to_string(), "store a key");
    }));
}

#[test]
fn anthropic_streams_text_and_calls() {
    run(Box::pin(async {
        let script = [
            r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"add","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":3}"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        let script: String =
            script.iter().map(|data| format!("event: x\ndata: {data}\n\n")).collect();
        let secrets = secret("anthropicApiKey", false);
        let model = model("chatAnthropic", &Inputs { secrets, ..inputs([("topK", source("4"))]) });

        let (reply, server, tokens) = ask(&*model, tool_talk(), stream(&script), true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), tokens), ("Hi", vec!["Hi".to_owned()]));
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (5, 9));
        assert_eq!(reply.tool_calls[0].arguments, json!({ "a": 3 }));
        assert!(server.head().contains("x-api-key: key-123456"));
        let expected = json!([
            { "role": "user", "content": [
                { "type": "text", "text": "See" },
                { "type": "image", "source":
                    { "type": "base64", "media_type": "image/png", "data": "QUJD" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "c1", "name": "add", "input": { "a": 1 } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "c1", "content": "2" },
                { "type": "text", "text": "And?" },
            ] },
        ]);
        let body = server.body();
        assert_eq!(body["messages"], expected);
        assert_eq!((&body["max_tokens"], &body["top_k"]), (&json!(2048), &json!(4)));
    }));
}

#[test]
fn ollama_streams_lines() {
    run(Box::pin(async {
        let script = concat!(
            "{\"message\":{\"content\":\"He\"},\"done\":false}\n",
            "{\"message\":{\"content\":\"y\"},\"done\":false}\n",
            "{\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":3,\"eval_count\":2}",
        );
        let values = [
            ("modelName", source("llama3")),
            ("numCtx", source("4096")),
            ("jsonMode", source("true")),
            ("keepAlive", source("-1")),
        ];
        let mut request = hello();
        request.messages[1].parts.push(Part::Image {
            url: "data:image/png;base64,QUJD".to_owned(),
            detail: Default::default(),
        });

        let (reply, server, tokens) =
            ask(&*built("chatOllama", values), request, stream(script), true).await;

        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.usage.output_tokens), ("Hey", 2));
        assert_eq!(tokens, ["He", "y"]);
        let expected = json!({
            "model": "llama3",
            "messages": [
                { "role": "system", "content": "Be kind." },
                { "role": "user", "content": "hi", "images": ["QUJD"] },
            ],
            "options": { "num_ctx": 4096 }, "keep_alive": -1, "format": "json", "stream": true,
        });
        assert_eq!(server.body(), expected);
    }));
}

#[test]
fn ollama_learns_which_tool_a_result_comes_from() {
    run(Box::pin(async {
        let script = r#"{"message":{"content":"Two"},"done":true}"#;
        let values = [("modelName", source("llama3")), ("keepAlive", source("5m"))];

        let (reply, server, _) =
            ask(&*built("chatOllama", values), tool_talk(), answer("200", "", script), false).await;

        assert_eq!(reply.unwrap().text, "Two");
        let body = server.body();
        assert_eq!(body["messages"][2], json!({"role":"tool","content":"2","tool_name":"add"}));
        assert_eq!((&body["keep_alive"], &body["stream"]), (&json!("5m"), &json!(false)));
    }));
}

#[test]
fn thinking_leaves_room_for_the_answer() {
    let spec = NODES.iter().find(|spec| spec.name == "chatAnthropic").unwrap();
    let values = inputs([
        ("extendedThinking", source("true")),
        ("budgetTokens", source("4096")),
        ("maxTokensToSample", source("4096")),
    ]);

    let error = (spec.build)(&values).err().unwrap().to_string();

    assert!(error.contains("maxTokensToSample must be larger than budgetTokens"), "{error}");
}
