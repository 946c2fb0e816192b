use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::NODES;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::{InputValue, Inputs, Secrets};
use crate::instance::Instance;
use crate::retrieval::Embeddings;
use crate::test_support::{TestTurn, inputs, source};
use crate::wire::test_server::{TestServer, answer, run};

const KEYS: &[&str] =
    &["openAIApiKey", "azureOpenAIApiKey", "mistralAIAPIKey", "googleGenerativeAPIKey"];

fn try_built<const N: usize>(
    name: &str,
    values: [(&str, InputValue); N],
) -> Result<Arc<dyn Embeddings>, NodeError> {
    let key = |key: &&str| ((*key).to_owned(), json!("key-123456"));
    let mut fields: Map<String, Value> = KEYS.iter().map(key).collect();
    for (part, value) in [("InstanceName", "ours"), ("DeploymentName", "deep"), ("Version", "v1")] {
        fields.insert(format!("azureOpenAIApi{part}"), json!(value));
    }
    let secrets = Some(Ok(Secrets { fields, from_environment: false }));
    let spec = NODES.iter().find(|spec| spec.name == name).unwrap();
    match (spec.build)(&Inputs { secrets, ..inputs(values) })? {
        Instance::Embeddings(embeddings) => Ok(embeddings),
        other => panic!("{} instead of embeddings", other.kind()),
    }
}

fn built<const N: usize>(name: &str, values: [(&str, InputValue); N]) -> Arc<dyn Embeddings> {
    try_built(name, values).unwrap()
}

fn ok(body: &Value) -> String {
    answer("200", "", &body.to_string())
}

/// A server with these answers, and the turn that uses it.
async fn serving(answers: &[String]) -> (TestServer, TurnCtx) {
    let server = TestServer::answering(answers).await;
    let ctx = server.serving(TestTurn::asking("q").ctx());
    (server, ctx)
}

fn path(server: &TestServer) -> String {
    server.requests()[0].split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn openai_is_sent_a_list_of_texts_and_a_question_as_a_text() {
    run(Box::pin(async {
        let embeddings = built("openAIEmbeddings", [("stripNewLines", source(""))]);
        let one = json!({"index": 1, "embedding": [3.0, 4.0]});
        let other = json!({"index": 0, "embedding": [1.0, 2.5]});

        let (server, ctx) = serving(&[ok(&json!({"data": [one, other]}))]).await;
        let vectors = embeddings.embed(&["a\nb", "c"], &ctx).await.unwrap();
        assert_eq!(vectors, [[1.0, 2.5], [3.0, 4.0]], "in the order of the texts");
        let expected = json!({"input": ["a b", "c"], "model": "text-embedding-ada-002"});
        assert_eq!(server.body(), expected);
        assert_eq!(path(&server), "/embeddings");
        assert!(server.head().contains("authorization: bearer key-123456"));

        let (server, ctx) = serving(&[ok(&json!({"data": [{"embedding": [7.0]}]}))]).await;
        assert_eq!(embeddings.embed_query("q\n?", &ctx).await.unwrap(), [7.0]);
        assert_eq!(server.body(), json!({"input": "q ?", "model": "text-embedding-ada-002"}));
    }));
}

#[test]
fn the_settings_of_a_node_go_into_the_call() {
    run(Box::pin(async {
        let embeddings = built(
            "openAIEmbeddingsCustom",
            [
                ("modelName", source("mine")),
                ("stripNewLines", source("false")),
                ("batchSize", source("7")),
                ("dimensions", source("2")),
                ("baseOptions", source("{\"x-team\": \"red\"}")),
            ],
        );
        assert_eq!(embeddings.batch_size(), 7);
        assert_eq!(embeddings.identity(), "openai mine of 2 dimensions");

        let (server, ctx) = serving(&[ok(&json!({"data": [{"embedding": [7.0, 1.0]}]}))]).await;
        embeddings.embed(&["a\nb"], &ctx).await.unwrap();
        assert_eq!(server.body(), json!({"input": ["a\nb"], "model": "mine", "dimensions": 2}));
        assert!(server.head().contains("x-team: red"));
    }));
}

#[test]
fn batches_are_as_large_as_langchain_makes_them() {
    for (name, expected) in [
        ("openAIEmbeddings", 512),
        ("openAIEmbeddingsCustom", 512),
        ("azureOpenAIEmbeddings", 100),
        ("localAIEmbeddings", 512),
        ("mistralAIEmbeddings", 512),
        ("googleGenerativeAiEmbeddings", 100),
        ("ollamaEmbedding", 16),
    ] {
        assert_eq!(built(name, [("modelName", source("m"))]).batch_size(), expected, "{name}");
    }
    let large = built("openAIEmbeddings", [("batchSize", source("100000"))]);
    assert_eq!(large.batch_size(), 2048, "as many as OpenAI takes");
}

#[test]
fn azure_is_asked_at_its_deployment_with_the_key_in_its_own_header() {
    run(Box::pin(async {
        let embeddings = built("azureOpenAIEmbeddings", []);
        let (server, ctx) = serving(&[ok(&json!({"data": [{"embedding": [7.0]}]}))]).await;

        embeddings.embed_query("q", &ctx).await.unwrap();

        assert_eq!(path(&server), "/deep/embeddings?api-version=v1");
        assert!(server.head().contains("api-key: key-123456"));
        let instance = "https://ours.openai.azure.com/openai/deployments";
        assert!(embeddings.identity().starts_with(&format!("azure deep at {instance}")));
    }));
}

#[test]
fn mistral_is_told_the_format_and_localai_needs_no_key() {
    run(Box::pin(async {
        let reply = ok(&json!({"data": [{"embedding": [7.0]}]}));
        let (server, ctx) = serving(std::slice::from_ref(&reply)).await;
        built("mistralAIEmbeddings", []).embed(&["a"], &ctx).await.unwrap();
        let expected =
            json!({"input": ["a"], "model": "mistral-embed", "encoding_format": "float"});
        assert_eq!(server.body(), expected);

        let (server, ctx) = serving(&[reply]).await;
        let local = built("localAIEmbeddings", [("modelName", source("m"))]);
        local.embed(&["a"], &ctx).await.unwrap();
        assert!(!server.head().contains("authorization"));
        let error = try_built("localAIEmbeddings", []).err().unwrap();
        assert!(error.to_string().contains("modelName is empty"), "{error}");
    }));
}

#[test]
fn ollama_is_asked_text_by_text() {
    run(Box::pin(async {
        let replies = [1.0, 2.0].map(|x| ok(&json!({"embedding": [x]})));
        let (server, ctx) = serving(&replies).await;
        let embeddings = built("ollamaEmbedding", [("modelName", source("nomic"))]);

        let vectors = embeddings.embed(&["a", "b"], &ctx).await.unwrap();

        assert_eq!(vectors, [[1.0], [2.0]]);
        let expected = json!({
            "prompt": "a", "model": "nomic", "keep_alive": "5m", "options": {"use_mmap": true},
        });
        assert_eq!((path(&server).as_str(), server.body()), ("/api/embeddings", expected));
        assert_eq!(server.n_requests(), 2);
    }));
}

#[test]
fn gemini_is_asked_in_batches_with_the_task_type() {
    run(Box::pin(async {
        let embeddings = built(
            "googleGenerativeAiEmbeddings",
            [("modelName", source("models/m")), ("tasktype", source("RETRIEVAL_DOCUMENT"))],
        );
        let reply = json!({"embeddings": [{"values": [1.0]}, {"values": [2.0]}]});
        let (server, ctx) = serving(&[ok(&reply)]).await;
        assert_eq!(embeddings.embed(&["a\nb", "c"], &ctx).await.unwrap(), [[1.0], [2.0]]);
        assert_eq!(path(&server), "/v1beta/models/m:batchEmbedContents");
        let request = |text: &str| {
            let content = json!({"role": "user", "parts": [{"text": text}]});
            json!({"model": "models/m", "content": content, "taskType": "RETRIEVAL_DOCUMENT"})
        };
        assert_eq!(server.body(), json!({"requests": [request("a b"), request("c")]}));
        assert!(server.head().contains("x-goog-api-key: key-123456"));

        let (server, ctx) = serving(&[ok(&json!({"embedding": {"values": [3.0]}}))]).await;
        assert_eq!(embeddings.embed_query("q", &ctx).await.unwrap(), [3.0]);
        assert_eq!(path(&server), "/v1beta/models/m:embedContent");

        let task = [("tasktype", source("POETRY"))];
        let error = try_built("googleGenerativeAiEmbeddings", task).err().unwrap();
        assert!(error.to_string().contains("tasktype must be one of"), "{error}");
    }));
}

#[test]
fn an_answer_that_is_no_vectors_is_an_error_that_names_the_provider() {
    run(Box::pin(async {
        let embeddings = built("openAIEmbeddings", []);
        for (body, part) in [
            ("{\"data\": [{\"embedding\": [1]}]}", "OpenAI sent 1 vectors for 2 texts"),
            ("{\"data\": [{\"embedding\": [1]}, {\"embedding\": []}]}", "an empty vector"),
            ("{\"data\": [{\"embedding\": [1]}, {\"embedding\": [1e39]}]}", "no finite numbers"),
            ("{\"data\": [{\"embedding\": [null]}]}", "something else than vectors"),
            ("<html>", "something else than vectors"),
        ] {
            let (_server, ctx) = serving(&[answer("200", "", body)]).await;
            let error = embeddings.embed(&["a", "b"], &ctx).await.unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let refusal = json!({"error": {"message": "the key key-123456 is wrong"}});
        let (_server, ctx) = serving(&[answer("401", "", &refusal.to_string())]).await;
        let error = embeddings.embed(&["a"], &ctx).await.unwrap_err();
        assert_eq!(error.to_string(), "OpenAI answered 401: the key [hidden] is wrong");
    }));
}

#[test]
fn a_large_answer_is_read_whole() {
    run(Box::pin(async {
        let vector: Vec<f32> = (0..3072).map(|n| n as f32 / 7.0).collect();
        let items: Vec<Value> = (0..64).map(|_| json!({"embedding": vector})).collect();
        let (_server, ctx) = serving(&[ok(&json!({"data": items}))]).await;
        let texts = ["a"; 64];

        let vectors = built("openAIEmbeddings", []).embed(&texts, &ctx).await.unwrap();

        assert!(vectors.len() == 64 && vectors.iter().all(|v| *v == vector));
    }));
}

#[test]
fn two_models_or_providers_never_have_one_identity() {
    let mut identities: Vec<String> = NODES
        .iter()
        .flat_map(|spec| {
            ["a", "b"].map(|model| built(spec.name, [("modelName", source(model))]).identity())
        })
        .collect();
    identities.sort();
    identities.dedup();
    // The two nodes of OpenAI ask the same models; Azure's and our own are one each.
    assert_eq!(identities.len(), 2 + 2 + 2 + 2 + 2 + 1 + 1, "{identities:?}");
}
