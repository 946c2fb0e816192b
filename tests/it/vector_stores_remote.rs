//! What lies in Chroma, Qdrant and Pinecone is in Flowise's form, and what
//! goes wrong there is told in one sentence.

use parlor_nodes::NodeError;
use parlor_nodes::retrieval::VectorQuery;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::nodes::{build, turn, vector_store};
use crate::support::ports::Refusing;
use crate::support::stores::StoreServer;
use crate::support::{Aimock, Caller};
use crate::vector_stores::{Stage, chunk, near};

const CHROMA: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";
const X: [f32; 3] = [1.0, 0.0, 0.0];

/// What a loader makes of a page of a PDF that was cut.
fn of_a_pdf() -> Value {
    json!({
        "source": "a.pdf", "pdf": {"version": "1.7", "info": {"Title": "T", "Author": null}},
        "loc": {"pageNumber": 4, "lines": {"from": 1, "to": 9}}, "tags": ["x", "y"],
    })
}

#[tokio::test]
async fn a_chroma_collection_of_flowise_is_read_and_written_as_it_is() {
    let server = StoreServer::chroma();
    let caller = Caller::new(server.url());
    let made =
        json!({"name": "papers", "metadata": {"hnsw:space": "cosine"}, "get_or_create": true});
    let made = caller.post(CHROMA, &made).await.expect(200).json();
    let id = made["id"].as_str().unwrap();
    let flowises = json!({
        "ids": [Uuid::from_u128(1).to_string(), "an id of its own"],
        "embeddings": [[1, 0, 0], [0, 3, 0]],
        "documents": ["on x", "on y"],
        "metadatas": [{"source": "a.txt", "locFrom": 3, "locTo": 5}, null],
    });
    caller.post(&format!("{CHROMA}/{id}/upsert"), &flowises).await.expect(200);
    let stage = Stage::chroma(&server);

    let hits = stage.search(near(&X)).await;
    assert_eq!(hits[0].id, Uuid::from_u128(1));
    assert_eq!(
        Value::Object(hits[0].document.metadata.clone()),
        json!({"source": "a.txt", "loc": {"lines": {"from": 3, "to": 5}}})
    );
    assert_eq!(hits[1].id, Uuid::nil());
    assert!((hits[1].score - 0.0).abs() < 1e-6, "{} is no cosine", hits[1].score);

    stage.upsert(vec![chunk(2, X, "of a pdf", &of_a_pdf())], Vec::new()).await;
    let asked = json!({"ids": [Uuid::from_u128(2).to_string()]});
    let stored = caller.post(&format!("{CHROMA}/{id}/get"), &asked).await.expect(200).json();
    let flat = json!({
        "source": "a.pdf", "pdf.version": "1.7", "pdf.info.Title": "T", "loc.pageNumber": 4,
        "locFrom": 1, "locTo": 9, "tags.0": "x", "tags.1": "y",
    });
    assert_eq!(stored["metadatas"][0], flat);
    assert_eq!(stored["documents"][0], "of a pdf");
    let two = json!({"source": "a.pdf", "locFrom": {"$lt": 2}});
    let found = stage.search(VectorQuery { filter: Some(&two), ..near(&X) }).await;
    let loc = &found[0].document.metadata["loc"];
    assert_eq!(*loc, json!({"lines": {"from": 1, "to": 9}, "pageNumber": 4}));
    // Chroma has no question for what is absent.
    let by_chat = VectorQuery { chat: Some(&stage.ctx.chat_id), ..near(&X) };
    let refused = stage.index.query(&by_chat, &stage.ctx).await.unwrap_err();
    assert!(matches!(refused, NodeError::Unsupported(_)), "{refused}");
}

#[tokio::test]
async fn a_qdrant_collection_of_flowise_is_read_and_written_as_it_is() {
    let server = StoreServer::qdrant();
    let caller = Caller::new(server.url());
    caller
        .put("/collections/papers", &json!({"vectors": {"size": 3, "distance": "Cosine"}}))
        .await
        .expect(200);
    let flowises = json!({"points": [
        {"id": Uuid::from_u128(1).to_string(), "vector": [1, 0, 0],
         "payload": {"body": "on x", "about": {"loc": {"lines": {"from": 1}}}}},
        {"id": 7, "vector": [0, 1, 0], "payload": null},
    ]});
    caller.put("/collections/papers/points?wait=true", &flowises).await.expect(200);
    let keys = json!({"contentPayloadKey": "body", "metadataPayloadKey": "about"});
    let stage = Stage::qdrant(&server, &keys);

    let hits = stage.search(near(&X)).await;
    assert_eq!(hits[0].document.page_content, "on x");
    assert_eq!(hits[0].document.metadata["loc"], json!({"lines": {"from": 1}}));
    assert_eq!((hits[1].id, hits[1].document.page_content.as_str()), (Uuid::nil(), ""));

    stage.upsert(vec![chunk(2, X, "of a pdf", &of_a_pdf())], Vec::new()).await;
    let body = json!({"query": [1, 0, 0], "limit": 3, "with_payload": true, "with_vector": false});
    let stored = caller.post("/collections/papers/points/query", &body).await.expect(200).json();
    let points = stored["result"]["points"].as_array().unwrap();
    let id = Uuid::from_u128(2).to_string();
    let point = points.iter().find(|point| point["id"] == id).unwrap();
    assert_eq!(point["payload"], json!({"body": "of a pdf", "about": of_a_pdf()}));
    // A filter of alternatives is not widened by those of the chat.
    let either = json!({"should": [{"key": "about.source", "match": {"value": "a.pdf"}}]});
    let chat = Some(&stage.ctx.chat_id);
    let query = VectorQuery { filter: Some(&either), chat, ..near(&X) };
    assert_eq!(stage.texts(query).await, ["of a pdf"]);
}

#[tokio::test]
async fn a_pinecone_index_of_flowise_is_read_and_written_as_it_is() {
    let server = StoreServer::pinecone();
    let inputs = json!({"pineconeNamespace": "n", "pineconeTextKey": "words"});
    let stage = Stage::pinecone(&server, &inputs);
    stage.upsert(vec![chunk(2, X, "of a pdf", &of_a_pdf())], Vec::new()).await;

    let hits = stage.search(near(&X)).await;
    let flat = json!({
        "source": "a.pdf", "pdf.version": "1.7", "pdf.info.Title": "T", "loc.pageNumber": 4,
        "loc.lines.from": 1, "loc.lines.to": 9, "tags": ["x", "y"],
    });
    assert_eq!(Value::Object(hits[0].document.metadata.clone()), flat);
    assert_eq!(hits[0].document.page_content, "of a pdf");
    // Flowise's text key is `text`; its nameless namespace holds none of these.
    let nameless = Stage::pinecone(&server, &json!({}));
    assert_eq!(nameless.search(near(&X)).await, []);
    let named = json!({"namespace": "n", "tags": {"$in": ["y"]}});
    let found = nameless.search(VectorQuery { filter: Some(&named), ..near(&X) }).await;
    assert_eq!(found[0].document.metadata["words"], "of a pdf");
}

#[tokio::test]
async fn a_store_that_refuses_or_is_gone_is_named_without_its_key() {
    let (qdrant, pinecone) = (StoreServer::qdrant(), StoreServer::pinecone());
    let nobody = Refusing::bind();
    let gone = format!("http://me:hunter2-url@{}", nobody.address());
    let chroma = json!({"chromaURL": gone, "collectionName": "papers"});
    let at = |url: &str| json!({"qdrantServerUrl": url, "qdrantCollection": "papers"});
    let index = json!({"pineconeIndex": "papers"});
    for (node, inputs, secrets, expected) in [
        ("chroma", chroma, json!({"chromaApiKey": "hunter2-key"}), "Chroma could not be reached"),
        ("qdrant", at(&gone), json!({}), "Qdrant could not be reached"),
        ("qdrant", at("nonsense"), json!({}), "Qdrant has no valid address"),
        (
            "qdrant",
            at(qdrant.url()),
            json!({"qdrantApiKey": "wrong"}),
            "Qdrant answered 403: Forbidden",
        ),
        (
            "pinecone",
            index,
            json!({"pineconeApiKey": "hunter2-key"}),
            "Pinecone answered 401: Invalid API Key",
        ),
    ] {
        let index = vector_store(node, &inputs, &secrets).index.clone();
        let ctx = turn(Some(pinecone.url()));
        let refused = index.query(&near(&X), &ctx).await.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
        let identity = index.identity(&ctx);
        assert!(
            !refused.contains("hunter2") && !identity.contains("hunter2"),
            "{refused} {identity}"
        );
    }
}

/// aimock was not written here: it knows the paths and the replies of Qdrant's
/// older search and of Pinecone's index.
#[tokio::test]
async fn searches_and_deletions_are_what_aimock_understands() {
    let id = Uuid::from_u128(1).to_string();
    let payload = json!({"content": "found", "metadata": {"source": "a.txt"}, "text": "found"});
    let results = json!([{"id": id, "score": 0.5, "metadata": payload}]);
    let collections = json!([
        {"name": "papers", "dimension": 3, "vectors": [], "queryResults": results},
    ]);
    let server = Aimock::with_vectors(&collections);
    let url = format!("{}/vector", server.base());

    let inputs = json!({"qdrantServerUrl": url, "qdrantCollection": "papers"});
    let qdrant = vector_store("qdrant", &inputs, &json!({})).index.clone();
    let inputs = json!({"pineconeIndex": "any", "pineconeNamespace": "papers"});
    let pinecone = vector_store("pinecone", &inputs, &json!({"pineconeApiKey": "k"})).index.clone();
    let ctx = turn(Some(&url));
    for index in [qdrant, pinecone.clone()] {
        let hits = index.query(&near(&X), &ctx).await.unwrap();
        assert_eq!((hits[0].id, hits[0].score), (Uuid::from_u128(1), 0.5));
        assert_eq!(hits[0].document.page_content, "found");
        index.delete(&[Uuid::from_u128(1)], &ctx).await.unwrap();
    }
    let mut writer = pinecone.writer(3, &ctx).await.unwrap();
    writer.put(vec![chunk(1, X, "x", &json!({}))], &ctx).await.unwrap();
    writer.commit(vec![Uuid::from_u128(9)], &ctx).await.unwrap();
}

#[test]
fn what_is_missing_in_a_store_is_named() {
    for (node, inputs, expected) in [
        ("chroma", json!({}), "collectionName is empty"),
        ("qdrant", json!({"qdrantCollection": "c"}), "qdrantServerUrl is empty"),
        ("qdrant", json!({"qdrantServerUrl": "http://x"}), "qdrantCollection is empty"),
        ("pinecone", json!({}), "pineconeIndex is empty"),
    ] {
        let refused = build(node, &inputs, &json!({})).err().unwrap().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
