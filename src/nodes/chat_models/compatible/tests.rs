//! Every node that speaks OpenAI's protocol, as its provider sees it.

mod addresses;
mod models;
mod refusals;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use parlor_schemas::StreamEvent;
use serde_json::{Map, Value, json};

use crate::PROVIDERS;
use crate::chat_models::NODES;
use crate::ctx::Services;
use crate::error::NodeError;
use crate::inputs::{Inputs, Secrets};
use crate::instance::Instance;
use crate::model::{
    ChatReply, ChatRequest, FinishReason, ModelMessage, Speaker, ToolCall, ToolChoice,
    ToolDefinition,
};
use crate::registry;
use crate::test_support::{TestTurn, inputs, source, system, user};
use crate::wire::test_server::{TestServer, answer, run, stream};

const KEY: &str = "key-123456";
const HELLO: &str = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":7,"completion_tokens":2}}"#;

/// A node whose provider is the test's server, with the key in this field.
fn node<const N: usize>(key: &str, values: [(&str, &str); N]) -> Inputs {
    with_secrets(&[(key, KEY)], false, values)
}

fn with_secrets<const N: usize>(
    secrets: &[(&str, &str)],
    from_environment: bool,
    values: [(&str, &str); N],
) -> Inputs {
    let fields = secrets.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    let secrets = Secrets { fields: Map::from_iter(fields), from_environment };
    let values = values.map(|(name, value)| (name, source(value)));
    Inputs { secrets: Some(Ok(secrets)), ..inputs(values) }
}

fn azure<const N: usize>(values: [(&str, &str); N]) -> Inputs {
    with_secrets(AZURE, false, values)
}

const AZURE: &[(&str, &str)] = &[
    ("azureOpenAIApiKey", KEY),
    ("azureOpenAIApiInstanceName", "acme"),
    ("azureOpenAIApiDeploymentName", "chat-prod"),
    ("azureOpenAIApiVersion", "2024-10-21"),
];

/// Only the inputs that the node lists reach it, as when a flow is compiled.
fn built(name: &str, mut inputs: Inputs) -> Result<Instance, NodeError> {
    let spec = registry::find(name).unwrap_or_else(|| panic!("no node {name}"));
    inputs.values.retain(|input, _| spec.param(input).is_some());
    (spec.build)(&inputs)
}

fn build_error(name: &str, inputs: Inputs) -> String {
    built(name, inputs).err().unwrap_or_else(|| panic!("{name} was built")).to_string()
}

/// One call of a node whose provider answers so.
async fn ask(
    name: &str,
    inputs: Inputs,
    request: ChatRequest,
    script: String,
    streams: bool,
) -> (Result<ChatReply, NodeError>, TestServer, Vec<String>) {
    let server = TestServer::answering(&[script]).await;
    let Ok(Instance::ChatModel(model)) = built(name, inputs) else { panic!("no model {name}") };
    let (ctx, mut events) = TestTurn::asking("hi").streaming();
    let reply = model.call(request, &server.serving(ctx), streams).await;
    let mut tokens = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let StreamEvent::Token(text) = event {
            tokens.push(text);
        }
    }
    (reply, server, tokens)
}

fn hello() -> ChatRequest {
    ChatRequest::new(vec![system("Be kind."), user("hi")])
}

/// What a node is asked to do, and what its provider must see.
struct Case {
    node: &'static str,
    inputs: Inputs,
    /// The request line after the address, and the key's header.
    head: [&'static str; 2],
    /// The body but for the messages.
    body: Value,
}

fn cases() -> Vec<Case> {
    let bearer = "authorization: bearer key-123456";
    let usual = [
        ("modelName", "m"),
        ("temperature", "0.2"),
        ("maxTokens", "9"),
        ("maxOutputTokens", "9"),
        ("topP", "0.5"),
        ("frequencyPenalty", "0.1"),
        ("presencePenalty", "0.3"),
        ("stopSequence", "a, b"),
        ("randomSeed", "7"),
        ("safeMode", "true"),
        ("timeout", "5000"),
    ];
    let case = |node, key, body| Case {
        node,
        inputs: self::node(key, usual),
        head: ["post /chat/completions http", bearer],
        body,
    };
    let small = json!({ "model": "m", "temperature": 0.2 });
    let limited = json!({ "model": "m", "temperature": 0.2, "max_tokens": 9 });
    let penal = json!({ "model": "m", "temperature": 0.2, "max_tokens": 9, "top_p": 0.5,
        "frequency_penalty": 0.1, "presence_penalty": 0.3 });
    let stopped = json!({ "model": "m", "temperature": 0.2, "max_tokens": 9, "top_p": 0.5,
        "frequency_penalty": 0.1, "presence_penalty": 0.3, "stop": ["a", "b"] });
    let local = json!({ "model": "m", "temperature": 0.2, "max_tokens": 9, "top_p": 0.5 });
    let seeded = json!({ "model": "m", "temperature": 0.2, "max_tokens": 9, "top_p": 0.5,
        "random_seed": 7, "safe_prompt": true });
    vec![
        case("chatOpenAI", "openAIApiKey", stopped.clone()),
        case("chatOpenAICustom", "openAIApiKey", penal.clone()),
        case("groqChat", "groqApiKey", limited.clone()),
        case("chatXAI", "xaiApiKey", limited),
        case("chatTogetherAI", "togetherAIApiKey", small.clone()),
        case("chatFireworks", "fireworksApiKey", small),
        case("chatDeepseek", "deepseekApiKey", stopped),
        case("chatOpenRouter", "openRouterApiKey", penal.clone()),
        case("chatNvidiaNIM", "nvidiaNIMApiKey", penal.clone()),
        case("Chat NVIDIA NIM", "nvidiaNIMApiKey", penal.clone()),
        case("chatLocalAI", "localAIApiKey", local),
        case("chatMistralAI", "mistralAIAPIKey", seeded),
        Case {
            node: "azureChatOpenAI",
            inputs: azure(usual),
            head: [
                "post /chat-prod/chat/completions?api-version=2024-10-21 http",
                "api-key: key-123456",
            ],
            body: penal,
        },
    ]
}

#[test]
fn each_provider_gets_the_settings_that_its_node_has_and_the_key_where_it_looks() {
    for case in cases() {
        run(Box::pin(async move {
            let name = case.node;
            let script = answer("200", "", HELLO);

            let (reply, server, _) = ask(name, case.inputs, hello(), script, false).await;

            assert_eq!(reply.unwrap().text, "Hello", "{name}");
            let mut expected = case.body;
            expected["messages"] = json!([
                { "role": "system", "content": "Be kind." },
                { "role": "user", "content": "hi" },
            ]);
            assert_eq!(server.body(), expected, "{name}");
            let head = server.head();
            for part in case.head {
                assert!(head.contains(part), "{name}: no {part} in {head}");
            }
            assert_eq!(head.matches(KEY).count(), 1, "{name}: {head}");
        }));
    }
}

#[test]
fn each_provider_streams() {
    // With what each of them adds: Azure's empty first chunk, OpenRouter's
    // comments, Mistral's thoughts and its usage in the last chunk.
    let script = concat!(
        "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
        ": OPENROUTER PROCESSING\n\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[]}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"content\":null}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"model_length\"}],",
        "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );
    for case in cases() {
        run(Box::pin(async move {
            let name = case.node;

            let (reply, server, tokens) =
                ask(name, case.inputs, hello(), stream(script), true).await;

            let reply = reply.unwrap();
            assert_eq!((reply.text.as_str(), reply.finish), ("Hello", FinishReason::Length));
            assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (7, 2), "{name}");
            assert_eq!(tokens, ["Hel", "lo"], "{name}");
            let body = server.body();
            assert_eq!(body["stream"], json!(true), "{name}");
            let is_asked = body.get("stream_options").is_some();
            assert_eq!(is_asked, name != "chatMistralAI", "{name}");
        }));
    }
}

/// A conversation with a call that another provider's model made.
fn tool_talk() -> ChatRequest {
    let id = "call_JIIjI55tTipFFzpcP8re3BpM".to_owned();
    let call = ToolCall { id: id.clone(), name: "add".to_owned(), arguments: json!({ "a": 1 }) };
    let called = ModelMessage {
        tool_calls: vec![call],
        ..ModelMessage::text(Speaker::Assistant, "Let me see.")
    };
    let result = ModelMessage { tool_call_id: Some(id), ..ModelMessage::text(Speaker::Tool, "2") };
    let tool = ToolDefinition {
        name: "add".to_owned(),
        description: "Adds".to_owned(),
        parameters: json!({ "type": "object" }),
        strict: false,
    };
    ChatRequest {
        tools: vec![tool],
        tool_choice: ToolChoice::Required,
        ..ChatRequest::new(vec![user("One?"), called, result])
    }
}

#[test]
fn each_provider_is_offered_tools_and_calls_them() {
    let script = r#"{"choices":[{"message":{"content":"","tool_calls":[{"id":"a1B2c3D4e",
        "type":"function","function":{"name":"add","arguments":"{\"a\":3}"}}]},
        "finish_reason":"tool_calls"}]}"#;
    for case in cases() {
        run(Box::pin(async move {
            let name = case.node;
            let script = answer("200", "", script);

            let (reply, server, _) = ask(name, case.inputs, tool_talk(), script, false).await;

            let reply = reply.unwrap();
            assert_eq!(reply.finish, FinishReason::ToolCalls, "{name}");
            assert_eq!(reply.tool_calls[0].id, "a1B2c3D4e", "{name}");
            assert_eq!(reply.tool_calls[0].arguments, json!({ "a": 3 }), "{name}");
            let body = server.body();
            assert_eq!(body["tools"][0]["function"]["name"], json!("add"), "{name}");
            let (called, result) = (&body["messages"][1], &body["messages"][2]);
            let id = called["tool_calls"][0]["id"].as_str().unwrap();
            assert_eq!(result["tool_call_id"], json!(id), "{name}");
            if name == "chatMistralAI" {
                assert_eq!((id.len(), &body["tool_choice"]), (9, &json!("any")));
                assert_eq!(called["content"], Value::Null, "either words or calls");
            } else {
                assert_eq!(id, "call_JIIjI55tTipFFzpcP8re3BpM", "{name}");
                assert_eq!(body["tool_choice"], json!("required"), "{name}");
                assert_eq!(called["content"], json!("Let me see."), "{name}");
            }
        }));
    }
}
