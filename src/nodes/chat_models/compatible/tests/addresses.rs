//! Where each node sends its requests, and with which headers.

use super::*;
use crate::ctx::TurnCtx;
use crate::retrieval::fakes::FakeEmbeddings;
use crate::spec::CredentialSpec;
use crate::test_support::node as node_input;
use crate::{speech, vector_stores};

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

/// Every secret of a credential.
fn secrets_of(credential: Option<&'static CredentialSpec>) -> Vec<(&'static str, &'static str)> {
    let fields = credential.map_or(&[][..], |credential| credential.fields);
    fields.iter().map(|(field, _)| (*field, KEY)).collect()
}

async fn ask_all_chat_models(ctx: &TurnCtx) {
    for spec in NODES {
        let inputs = with_secrets(&secrets_of(spec.credential), false, [("modelName", "m")]);
        if let Ok(Instance::ChatModel(model)) = built(spec.name, inputs) {
            let _ = model.call(hello(), ctx, false).await;
        }
    }
}

async fn ask_all_transcribers(ctx: &TurnCtx) {
    let clip = speech::Clip::of("a.webm", "audio/webm", "x").unwrap();
    for provider in speech::PROVIDERS {
        let secrets = with_secrets(&secrets_of(Some(provider.credential)), false, []).secrets;
        // Who wants an address typed has none of an operator's.
        if let Ok(transcriber) = provider.transcriber(&Map::new(), secrets.unwrap()) {
            let _ = transcriber.transcribe(&clip, ctx).await;
        }
    }
}

/// What a store is called tells where it is.
fn ask_all_stores(ctx: &TurnCtx) {
    for spec in vector_stores::NODES {
        let values = [("collectionName", "c"), ("pineconeIndex", "i")];
        let mut inputs = with_secrets(&secrets_of(spec.credential), false, values);
        let embeddings = Instance::Embeddings(FakeEmbeddings::of_model("m", 1));
        inputs.values.insert("embeddings".to_owned(), node_input(embeddings));
        if let Ok(Instance::VectorStore(store)) = built(spec.name, inputs) {
            let _ = store.index.identity(ctx);
        }
    }
}

#[test]
fn an_operator_can_name_the_providers_that_nodes_ask_for_and_no_others() {
    run(Box::pin(async {
        let n_calls = NODES.len() + speech::PROVIDERS.len();
        let server = TestServer::answering(&vec![answer("404", "", "{}"); n_calls]).await;
        let mut ctx = TestTurn::asking("hi").ctx();
        let (client, url) = (ctx.services.http(), server.url.clone());
        let operator = Arc::new(Operator { client, url, asked: Mutex::default() });
        ctx.services = operator.clone();
        ask_all_chat_models(&ctx).await;
        ask_all_transcribers(&ctx).await;
        ask_all_stores(&ctx);

        let asked = operator.asked.lock().unwrap().clone();
        let listed: BTreeSet<String> = PROVIDERS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(asked, listed);
    }));
}
