//! A conversation with each provider that speaks OpenAI's protocol: the real
//! server, and model servers in the providers' place.

use serde_json::{Value, json};

use crate::support::{Aimock, Answer, Flow, Options, Parlor, Scripted, sse};

const ANSWER: &str = "This answer is long enough to come in several pieces.";

/// A provider as an operator knows it.
struct Provider {
    node: &'static str,
    /// The name for `--provider-url`.
    name: &'static str,
    /// The address that the operator sets, below the model server's.
    base: &'static str,
    /// Where requests arrive below the model server's address.
    path: &'static str,
    credential: &'static str,
    /// The fields of the credential, with the environment variable and a value.
    fields: &'static [(&'static str, &'static str, &'static str)],
}

const fn provider(
    [node, name, base, path]: [&'static str; 4],
    credential: &'static str,
    fields: &'static [(&'static str, &'static str, &'static str)],
) -> Provider {
    Provider { node, name, base, path, credential, fields }
}

const PROVIDERS: &[Provider] = &[
    provider(
        ["chatOpenAICustom", "openai", "/v1", "/v1/chat/completions"],
        "openAIApi",
        &[("openAIApiKey", "OPENAI_API_KEY", "key-of-openai")],
    ),
    provider(
        ["groqChat", "groq", "/openai/v1", "/openai/v1/chat/completions"],
        "groqApi",
        &[("groqApiKey", "GROQ_API_KEY", "key-of-groq")],
    ),
    provider(
        ["chatMistralAI", "mistral", "/v1", "/v1/chat/completions"],
        "mistralAIApi",
        &[("mistralAIAPIKey", "MISTRAL_API_KEY", "key-of-mistral")],
    ),
    provider(
        ["chatOpenRouter", "openrouter", "/api/v1", "/api/v1/chat/completions"],
        "openRouterApi",
        &[("openRouterApiKey", "OPENROUTER_API_KEY", "key-of-openrouter")],
    ),
    provider(
        ["chatTogetherAI", "together", "/v1", "/v1/chat/completions"],
        "togetherAIApi",
        &[("togetherAIApiKey", "TOGETHER_API_KEY", "key-of-together")],
    ),
    provider(
        ["chatFireworks", "fireworks", "/inference/v1", "/inference/v1/chat/completions"],
        "fireworksApi",
        &[("fireworksApiKey", "FIREWORKS_API_KEY", "key-of-fireworks")],
    ),
    provider(
        ["chatDeepseek", "deepseek", "", "/chat/completions"],
        "deepseekApi",
        &[("deepseekApiKey", "DEEPSEEK_API_KEY", "key-of-deepseek")],
    ),
    provider(
        ["chatXAI", "xai", "/v1", "/v1/chat/completions"],
        "xaiApi",
        &[("xaiApiKey", "XAI_API_KEY", "key-of-xai")],
    ),
    provider(
        ["chatNvidiaNIM", "nvidia", "/v1", "/v1/chat/completions"],
        "nvidiaNIMApi",
        &[("nvidiaNIMApiKey", "NVIDIA_API_KEY", "key-of-nvidia")],
    ),
    provider(
        [
            "azureChatOpenAI",
            "azure",
            "/openai/deployments",
            "/openai/deployments/chat-prod/chat/completions?api-version=2024-10-21",
        ],
        "azureOpenAIApi",
        &[
            ("azureOpenAIApiKey", "AZURE_OPENAI_API_KEY", "key-of-azure"),
            ("azureOpenAIApiInstanceName", "AZURE_OPENAI_API_INSTANCE_NAME", "acme"),
            ("azureOpenAIApiDeploymentName", "AZURE_OPENAI_API_DEPLOYMENT_NAME", "chat-prod"),
            ("azureOpenAIApiVersion", "AZURE_OPENAI_API_VERSION", "2024-10-21"),
        ],
    ),
];

/// A server whose providers are all at this address.
fn options(model: &str) -> Options {
    PROVIDERS.iter().fold(Options::default(), |options, provider| {
        options.provider(provider.name, &format!("{model}{}", provider.base))
    })
}

/// The recorded conversation chain on another model node.
fn conversation(node: &str, inputs: Value) -> Flow {
    let mut flow = Flow::golden("b-conversation");
    let data = flow.data("chatOpenAI_0");
    data["name"] = json!(node);
    data["inputs"] = inputs;
    data.as_object_mut().expect("data").remove("credential");
    flow
}

fn usual_inputs() -> Value {
    json!({"cache": "", "modelName": "some-model", "temperature": 0.9, "streaming": true})
}

async fn install(server: &Parlor, provider: &Provider) -> String {
    let fields = provider.fields.iter().map(|(field, _, value)| (*field, *value));
    let secrets: serde_json::Map<String, Value> =
        fields.map(|(field, value)| (field.to_owned(), json!(value))).collect();
    let credential = server.credential(provider.credential, Value::Object(secrets)).await;
    let flow = conversation(provider.node, usual_inputs());
    let flow = flow.with_credential(provider.node, &credential);
    server.install(provider.node, &flow).await
}

#[tokio::test]
async fn each_provider_answers_whole_and_streamed_and_hears_what_was_said_before() {
    let model = Aimock::saying(ANSWER);
    let server = Parlor::start_with(options(model.base()));
    for provider in PROVIDERS {
        let node = provider.node;
        let flow = install(&server, provider).await;
        let n_before = model.received().await.len();

        let body = json!({"question": "Hello there", "sessionId": node});
        let reply = server.ask(&flow, &body).await.expect(200).json();
        assert_eq!(reply["text"], ANSWER, "{node}");
        let body = json!({"question": "And now?", "sessionId": node, "streaming": true});
        let events = server.ask(&flow, &body).await.expect(200).events();
        assert_eq!(sse::outline(&events), ["start", "token", "metadata", "end"], "{node}");
        assert_eq!(sse::text(&events), ANSWER, "{node}");
        assert!(events.len() > 5, "{node} came in one piece: {events:?}");

        let calls = model.received().await.split_off(n_before);
        assert_eq!(calls.len(), 2, "{node}");
        for call in &calls {
            assert_eq!(call.path, provider.path, "{node}");
            assert_eq!(call.body["model"], "some-model", "{node}");
            assert_eq!(call.body["temperature"], 0.9, "{node}");
        }
        let said = calls[1].messages().split_off(1);
        let said: Vec<_> = said.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
        let expected = [("user", "Hello there"), ("assistant", ANSWER), ("user", "And now?")];
        assert_eq!(said, expected, "{node}");
    }
}

#[tokio::test]
async fn each_provider_takes_its_usual_environment_variable() {
    let model = Scripted::start(|_| Answer::Echo).await;
    let options = options(&model.base());
    let options = PROVIDERS
        .iter()
        .flat_map(|provider| provider.fields)
        .fold(options, |options, (_, variable, value)| options.env(variable, value));
    let server = Parlor::start_with(options);
    for provider in PROVIDERS {
        let node = provider.node;
        let flow = server.install(node, &conversation(node, usual_inputs())).await;

        let reply = server.ask(&flow, &json!({"question": "Hello"})).await.expect(200).json();

        assert_eq!(reply["text"], "Hello", "{node}");
        let received = model.received();
        let request = received.last().expect("the model was asked");
        assert_eq!(request.path, provider.path, "{node}");
        let key = provider.fields[0].2;
        let (name, expected) = match node {
            "azureChatOpenAI" => ("api-key", key.to_owned()),
            _ => ("authorization", format!("Bearer {key}")),
        };
        assert_eq!(request.header(name), Some(expected.as_str()), "{node}");
    }
    let log = server.log();
    assert!(!log.contains("key-of-"), "a key is in the log: {log}");
}

#[tokio::test]
async fn a_provider_without_a_key_says_how_to_give_one() {
    let server = Parlor::start();
    for provider in PROVIDERS {
        let node = provider.node;
        let flow = server.install(node, &conversation(node, usual_inputs())).await;
        for body in [json!({"question": "Hi"}), json!({"question": "Hi", "streaming": true})] {
            let message = server.ask(&flow, &body).await.expect_error(422);
            let (_, variable, _) = provider.fields[0];
            assert!(message.contains(provider.credential), "{node}: {message}");
            assert!(message.contains(variable), "{node}: {message}");
        }
    }
}

#[tokio::test]
async fn a_server_of_ones_own_is_asked_without_a_key() {
    let model = Aimock::saying(ANSWER);
    let server = Parlor::start();
    let mut inputs = usual_inputs();
    inputs["basePath"] = json!(model.basepath());
    let flow = server.install("LocalAI", &conversation("chatLocalAI", inputs)).await;

    for streaming in [false, true] {
        let body = json!({"question": "Hello", "streaming": streaming});
        server.ask(&flow, &body).await.expect(200);
    }

    assert_eq!(model.received().await.len(), 2);
}

#[tokio::test]
async fn a_providers_refusal_is_passed_on_without_the_key() {
    let model = Scripted::start(|_| Answer::Whole {
        status: 422,
        headers: vec![("content-type", "application/json".to_owned())],
        body: r#"{"object":"error","message":"Invalid model for key-of-mistral"}"#.to_owned(),
    })
    .await;
    let server = Parlor::start_with(options(&model.base()));
    let provider = PROVIDERS.iter().find(|provider| provider.name == "mistral").unwrap();
    let flow = install(&server, provider).await;

    for body in [json!({"question": "Hi"}), json!({"question": "Hi", "streaming": true})] {
        let message = server.ask(&flow, &body).await.expect_error(502);
        assert_eq!(message, "Mistral AI answered 422: Invalid model for [hidden]");
    }
    assert_eq!(server.messages(&flow, "").await, []);
}
