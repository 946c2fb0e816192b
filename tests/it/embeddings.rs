//! The embedding nodes against a model server that was not written here.

use std::collections::HashMap;
use std::sync::Arc;

use parlor_nodes::inputs::Secrets;
use parlor_nodes::retrieval::Embeddings;
use parlor_nodes::{InputValue, Inputs, Instance, RichText, TurnCtx, registry};
use serde_json::{Value, json};

use crate::support::{Aimock, Caller, nodes};

/// A turn in which aimock is every provider, at the paths that each has of its own.
fn turn(model: &Aimock) -> TurnCtx {
    let base = model.base().to_owned();
    nodes::turn_at(move |provider| {
        Some(match provider {
            "ollama" | "gemini" => base.clone(),
            "azure" => format!("{base}/openai/deployments"),
            _ => format!("{base}/v1"),
        })
    })
}

fn built(name: &str) -> Arc<dyn Embeddings> {
    let fields = json!({
        "openAIApiKey": "k-123456", "mistralAIAPIKey": "k-123456", "azureOpenAIApiKey": "k-123456",
        "googleGenerativeAPIKey": "k-123456", "azureOpenAIApiInstanceName": "ours",
        "azureOpenAIApiDeploymentName": "deep", "azureOpenAIApiVersion": "2024-02-01",
    });
    let fields = fields.as_object().unwrap().clone();
    let model = InputValue::Text(RichText::source("a-model"));
    let inputs = Inputs {
        id: format!("{name}_0"),
        label: name.to_owned(),
        values: HashMap::from([("modelName".to_owned(), model)]),
        secrets: Some(Ok(Secrets { fields, from_environment: false })),
        ..Inputs::default()
    };
    match (registry::find(name).unwrap().build)(&inputs).unwrap() {
        Instance::Embeddings(embeddings) => embeddings,
        other => panic!("{} instead of embeddings", other.kind()),
    }
}

/// A server whose vectors tell whether it understood the texts.
fn aimock() -> Aimock {
    let vector = |text: &str, vector: [f64; 2]| json!({"match": {"inputText": text}, "response": {"embedding": vector}});
    Aimock::start(&json!([vector("bakery", [0.5, -0.25]), vector("museum", [0.125, 1.0])]))
}

async fn paths(model: &Aimock) -> Vec<String> {
    let journal = Caller::new(model.base()).get("/__aimock/journal").await.expect(200).json();
    let path = |call: &Value| call["path"].as_str().unwrap_or_default().to_owned();
    journal.as_array().unwrap().iter().map(path).collect()
}

#[tokio::test]
async fn every_provider_that_speaks_openais_protocol_embeds_documents_and_questions() {
    for (name, path) in [
        ("openAIEmbeddings", "/v1/embeddings"),
        ("openAIEmbeddingsCustom", "/v1/embeddings"),
        ("localAIEmbeddings", "/v1/embeddings"),
        ("mistralAIEmbeddings", "/v1/embeddings"),
        ("azureOpenAIEmbeddings", "/openai/deployments/deep/embeddings?api-version=2024-02-01"),
    ] {
        let model = aimock();
        let (embeddings, ctx) = (built(name), turn(&model));

        let vectors = embeddings.embed(&["the bakery", "a bakery"], &ctx).await.unwrap();
        let question = embeddings.embed_query("the museum?", &ctx).await.unwrap();

        assert_eq!(vectors, [[0.5, -0.25], [0.5, -0.25]], "{name}");
        assert_eq!(question, [0.125, 1.0], "{name}");
        assert_eq!(paths(&model).await, [path, path], "{name}");
    }
}

#[tokio::test]
async fn ollama_embeds_text_by_text_and_gemini_a_question() {
    let model = aimock();
    let ctx = turn(&model);

    let ollama = built("ollamaEmbedding");
    let vectors = ollama.embed(&["the bakery", "the museum"], &ctx).await.unwrap();
    let gemini = built("googleGenerativeAiEmbeddings");
    let question = gemini.embed_query("the museum?", &ctx).await.unwrap();

    assert_eq!(vectors, [[0.5, -0.25], [0.125, 1.0]]);
    assert_eq!(question, [0.125, 1.0]);
    let expected = ["/api/embeddings", "/api/embeddings", "/v1beta/models/a-model:embedContent"];
    assert_eq!(paths(&model).await, expected);
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_told_in_its_own_words() {
    let refusal = json!({"error": {"message": "no more quota", "type": "quota"}, "status": 403});
    let model = Aimock::start(&json!([{"match": {"inputText": "bakery"}, "response": refusal}]));

    let error = built("openAIEmbeddings").embed(&["bakery"], &turn(&model)).await.unwrap_err();

    assert_eq!(error.to_string(), "OpenAI answered 403: no more quota");
}
