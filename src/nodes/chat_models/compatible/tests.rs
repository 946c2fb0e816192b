//! Every node that speaks OpenAI's protocol, as its provider sees it.

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

#[test]
fn each_providers_refusal_is_told_in_its_words_and_without_the_key() {
    let bodies = [
        r#"{"error":{"message":"No such model for key-123456"}}"#,
        r#"{"object":"error","message":"No such model for key-123456","code":1500}"#,
        r#"{"detail":[{"loc":["body","model"],"msg":"No such model for key-123456"}]}"#,
    ];
    for (case, body) in cases().into_iter().flat_map(|case| {
        let inputs = case.inputs.clone();
        bodies.map(|body| (Case { inputs: inputs.clone(), body: Value::Null, ..case }, body))
    }) {
        run(Box::pin(async move {
            let script = answer("422", "", body);

            let (reply, ..) = ask(case.node, case.inputs, hello(), script, true).await;

            let error = reply.unwrap_err().to_string();
            assert!(error.ends_with(" answered 422: No such model for [hidden]"), "{error}");
        }));
    }
}

#[test]
fn an_error_in_a_good_answer_keeps_the_status_that_it_names() {
    run(Box::pin(async {
        let body = r#"{"error":{"code":429,"message":"Slow down"}}"#;
        let inputs = node("openRouterApiKey", [("modelName", "m")]);

        let (reply, ..) =
            ask("chatOpenRouter", inputs, hello(), answer("200", "", body), false).await;

        assert_eq!(reply.unwrap_err().to_string(), "OpenRouter answered 429: Slow down");
    }));
}

#[test]
fn a_model_without_a_name_is_refused_where_the_node_has_no_usual_one() {
    for case in cases() {
        let mut inputs = case.inputs;
        inputs.values.remove("modelName");
        let built = built(case.node, inputs);
        let has_usual =
            ["chatOpenAI", "chatDeepseek", "chatMistralAI", "azureChatOpenAI"].contains(&case.node);
        assert_eq!(built.is_ok(), has_usual, "{}", case.node);
        if let Err(error) = built {
            assert!(error.to_string().ends_with("modelName is empty; fill it in"), "{error}");
        }
    }
}

#[test]
fn settings_of_the_wrong_type_are_refused_by_name() {
    for (name, key, input, value) in [
        ("groqChat", "groqApiKey", "temperature", "warm"),
        ("chatOpenRouter", "openRouterApiKey", "topP", "1e999"),
        ("chatLocalAI", "localAIApiKey", "maxTokens", "-1"),
        ("chatOpenAICustom", "openAIApiKey", "timeout", "soon"),
        ("chatMistralAI", "mistralAIAPIKey", "randomSeed", "0.5"),
        ("chatMistralAI", "mistralAIAPIKey", "safeMode", "maybe"),
        ("chatOpenRouter", "openRouterApiKey", "baseOptions", "[1]"),
        ("chatOpenRouter", "openRouterApiKey", "baseOptions", r#"{"Host":"elsewhere"}"#),
        ("chatDeepseek", "deepseekApiKey", "baseOptions", r#"{"defaultHeaders":"x"}"#),
        ("azureChatOpenAI", "azureOpenAIApiKey", "imageResolution", "huge"),
    ] {
        let inputs = with_secrets(
            &[AZURE, &[(key, KEY)]].concat(),
            false,
            [("modelName", "m"), ("allowImageUploads", "true"), (input, value)],
        );
        let error = build_error(name, inputs);
        assert!(error.contains(input), "{name}: {error}");
    }
}

#[test]
fn addresses_typed_into_nodes_hold_and_never_see_a_key_of_the_environment() {
    for (name, key, input, path, expected) in [
        ("chatOpenAICustom", "openAIApiKey", "basepath", "/v1/", "/v1/chat/completions"),
        ("chatOpenRouter", "openRouterApiKey", "basepath", "/api", "/api/chat/completions"),
        ("chatLocalAI", "localAIApiKey", "basePath", "/v1", "/v1/chat/completions"),
        ("chatNvidiaNIM", "nvidiaNIMApiKey", "basePath", "/v1", "/v1/chat/completions"),
        ("chatMistralAI", "mistralAIAPIKey", "overrideEndpoint", "/", "/v1/chat/completions"),
        ("chatMistralAI", "mistralAIAPIKey", "overrideEndpoint", "/v1", "/v1/chat/completions"),
        (
            "azureChatOpenAI",
            "azureOpenAIApiKey",
            "basepath",
            "/openai/deployments",
            "/openai/deployments/chat-prod/chat/completions?api-version=2024-10-21",
        ),
    ] {
        for from_environment in [true, false] {
            run(Box::pin(async move {
                let server = TestServer::answering(&[answer("200", "", HELLO)]).await;
                let typed = format!("{}{path}", server.url);
                let secrets = [AZURE, &[(key, KEY)]].concat();
                let values = [("modelName", "m"), (input, typed.as_str())];
                let inputs = with_secrets(&secrets, from_environment, values);
                let Ok(Instance::ChatModel(model)) = built(name, inputs) else { panic!("{name}") };

                let reply = model.call(hello(), &TestTurn::asking("hi").ctx(), false).await;

                assert_eq!(reply.unwrap().text, "Hello");
                let head = server.head();
                assert!(head.starts_with(&format!("post {expected} ")), "{name}: {head}");
                assert_eq!(head.contains(KEY), !from_environment, "{name}: {head}");
            }));
        }
    }
}

#[test]
fn the_address_that_the_palette_types_leaves_the_choice_to_the_operator() {
    run(Box::pin(async {
        let secrets = [("openRouterApiKey", KEY)];
        let values = [("modelName", "m"), ("basepath", "https://openrouter.ai/api/v1")];
        let inputs = with_secrets(&secrets, true, values);

        let (reply, server, _) =
            ask("chatOpenRouter", inputs, hello(), answer("200", "", HELLO), false).await;

        assert!(reply.is_ok());
        assert!(server.head().contains(KEY), "{}", server.head());
    }));
}

#[test]
fn a_server_of_ones_own_needs_no_key() {
    run(Box::pin(async {
        let secrets = Some(Err("store a key".to_owned()));
        let inputs = Inputs { secrets, ..inputs([("modelName", source("m"))]) };

        let (reply, server, _) =
            ask("chatLocalAI", inputs, hello(), answer("200", "", HELLO), false).await;

        assert_eq!(reply.unwrap().text, "Hello");
        assert!(!server.head().contains("authorization"), "{}", server.head());
    }));
}

#[test]
fn headers_of_the_operator_are_sent_by_all_who_take_them() {
    for (name, key, options) in [
        ("chatOpenAICustom", "openAIApiKey", r#"{"X-Team":"blue"}"#),
        ("chatOpenRouter", "openRouterApiKey", r#"{"X-Team":"blue"}"#),
        ("chatNvidiaNIM", "nvidiaNIMApiKey", r#"{"X-Team":"blue"}"#),
        ("azureChatOpenAI", "azureOpenAIApiKey", r#"{"X-Team":"blue"}"#),
        (
            "chatDeepseek",
            "deepseekApiKey",
            r#"{"baseURL":"http://elsewhere.invalid","defaultHeaders":{"X-Team":"blue"}}"#,
        ),
    ] {
        run(Box::pin(async move {
            let secrets = [AZURE, &[(key, KEY)]].concat();
            let values = [("modelName", "m"), ("baseOptions", options)];
            let inputs = with_secrets(&secrets, false, values);

            let (_, server, _) = ask(name, inputs, hello(), answer("200", "", HELLO), false).await;

            let head = server.head();
            assert!(head.contains("x-team: blue"), "{name}: {head}");
            assert!(!head.contains("baseurl"), "{name}: {head}");
        }));
    }
}

#[test]
fn azure_is_not_asked_for_what_an_old_version_of_its_api_refuses() {
    for (version, is_asked) in [
        ("2023-05-15", false),
        ("2024-08-01-preview", false),
        ("2024-10-21", true),
        ("preview", true),
    ] {
        run(Box::pin(async move {
            let script = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
            let inputs = azure([("azureOpenAIApiVersion", version)]);

            let (reply, server, _) =
                ask("azureChatOpenAI", inputs, hello(), stream(script), true).await;

            assert!(reply.is_ok());
            assert_eq!(server.body().get("stream_options").is_some(), is_asked, "{version}");
            assert!(server.head().contains(&format!("api-version={version} ")));
        }));
    }
}

#[test]
fn azure_needs_a_whole_credential_of_plain_names() {
    for (field, value, problem) in [
        ("azureOpenAIApiInstanceName", "https://acme.openai.azure.com", "must be a name alone"),
        ("azureOpenAIApiInstanceName", "evil.example/", "must be a name alone"),
        ("azureOpenAIApiDeploymentName", "..", "must be a name alone"),
        ("azureOpenAIApiVersion", "2024&x=1", "must be a name alone"),
        ("azureOpenAIApiDeploymentName", "", "has no azureOpenAIApiDeploymentName"),
    ] {
        let mut secrets: Vec<_> = AZURE.to_vec();
        secrets.retain(|(name, _)| *name != field);
        secrets.push((field, value));
        let error = build_error("azureChatOpenAI", with_secrets(&secrets, false, []));
        assert!(error.contains(field) && error.contains(problem), "{error}");
    }
}

#[test]
fn images_go_to_models_whose_node_allows_them() {
    for (name, can) in [
        ("azureChatOpenAI", true),
        ("chatOpenRouter", true),
        ("chatXAI", true),
        ("chatOpenAI", true),
        ("groqChat", false),
        ("chatMistralAI", false),
        ("chatLocalAI", false),
    ] {
        let keys = ["openRouterApiKey", "xaiApiKey", "groqApiKey"].map(|key| (key, KEY));
        let secrets = [AZURE, &keys].concat();
        let values = [("modelName", "m"), ("allowImageUploads", "true")];
        let Ok(Instance::ChatModel(model)) = built(name, with_secrets(&secrets, false, values))
        else {
            panic!("{name}")
        };
        let profile = model.profile();
        assert_eq!(profile.images.is_some(), can, "{name}");
        assert_eq!(profile.images_apart, name == "chatOpenAI", "{name}");
    }
}

#[test]
fn effort_goes_to_models_that_reason_and_sampling_does_not() {
    for (node, inputs) in
        [("chatOpenAI", node("openAIApiKey", EFFORT)), ("azureChatOpenAI", azure(EFFORT))]
    {
        run(Box::pin(async move {
            let (_, server, _) = ask(node, inputs, hello(), answer("200", "", HELLO), false).await;

            let body = server.body();
            assert_eq!(body["reasoning_effort"], json!("high"), "{node}");
            assert_eq!(body["max_completion_tokens"], json!(9), "{node}");
            for refused in ["temperature", "top_p", "max_tokens"] {
                assert_eq!(body.get(refused), None, "{node}");
            }
        }));
    }
}

const EFFORT: [(&str, &str); 5] = [
    ("modelName", "o3-mini"),
    ("temperature", "0.9"),
    ("topP", "0.5"),
    ("maxTokens", "9"),
    ("reasoningEffort", "high"),
];

#[test]
fn a_stop_word_that_the_model_cannot_be_told_still_ends_the_answer() {
    run(Box::pin(async {
        let body = r#"{"choices":[{"message":{"content":"Action: look\nObservation: made up"}}]}"#;
        let mut request = hello();
        request.stop = vec!["\nObservation".to_owned()];
        let inputs = node("openAIApiKey", [("modelName", "gpt-5")]);

        let (reply, server, _) =
            ask("chatOpenAI", inputs, request, answer("200", "", body), false).await;

        assert_eq!(reply.unwrap().text, "Action: look");
        assert_eq!(server.body().get("stop"), None);
    }));
}

/// Sends every provider to one server and keeps the names that were asked for.
struct Operator {
    client: reqwest::Client,
    url: String,
    asked: Mutex<BTreeSet<String>>,
}

impl Services for Operator {
    fn http(&self) -> reqwest::Client {
        self.client.clone()
    }

    fn provider_url(&self, provider: &str) -> Option<String> {
        self.asked.lock().unwrap().insert(provider.to_owned());
        Some(self.url.clone())
    }
}

#[test]
fn an_operator_can_name_the_providers_that_nodes_ask_for_and_no_others() {
    run(Box::pin(async {
        let server = TestServer::answering(&vec![answer("404", "", "{}"); NODES.len()]).await;
        let mut ctx = TestTurn::asking("hi").ctx();
        let (client, url) = (ctx.services.http(), server.url.clone());
        let operator = Arc::new(Operator { client, url, asked: Mutex::default() });
        ctx.services = operator.clone();
        for spec in NODES {
            let fields = spec.credential.map_or(&[][..], |credential| credential.fields);
            let secrets: Vec<_> = fields.iter().map(|(field, _)| (*field, KEY)).collect();
            let inputs = with_secrets(&secrets, false, [("modelName", "m")]);
            if let Ok(Instance::ChatModel(model)) = built(spec.name, inputs) {
                let _ = model.call(hello(), &ctx, false).await;
            }
        }

        let listed: BTreeSet<String> = PROVIDERS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(*operator.asked.lock().unwrap(), listed);
    }));
}
