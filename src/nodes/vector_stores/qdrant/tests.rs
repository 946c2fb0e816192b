//! The body of a new collection, and the question for servers before 1.10.

use serde_json::json;

use super::*;
use crate::instance::Instance;
use crate::retrieval::QueryKind;
use crate::test_support::{TestTurn, inputs, json as value};
use crate::vector_stores::remote::tests::embeddings;
use crate::wire::test_server::{TestServer, answer, run};

fn index(typed: Value) -> std::sync::Arc<dyn VectorIndex> {
    let mut inputs = inputs([("embeddings", embeddings())]);
    for (name, typed) in typed.as_object().unwrap() {
        inputs.values.insert(name.clone(), value(typed.clone()));
    }
    match build(&inputs).unwrap() {
        Instance::VectorStore(store) => store.index.clone(),
        other => panic!("built {}", other.kind()),
    }
}

#[test]
fn a_new_collection_has_the_size_of_its_vectors_and_the_typed_configuration() {
    run(Box::pin(async {
        let replies = [answer("404", "", "{}"), answer("200", "", r#"{"result":true}"#)];
        let server = TestServer::answering(&replies).await;
        let index = index(json!({
            "qdrantServerUrl": server.url, "qdrantCollection": "a/b", "qdrantSimilarity": "Dot",
            "qdrantVectorDimension": 1536,
            "qdrantCollectionConfiguration": {"vectors": {"on_disk": true}, "shard_number": 2},
        }));
        let ctx = TestTurn::asking("").ctx();

        assert!(index.writer(3, &ctx).await.is_ok());

        let made = server.requests().pop().unwrap();
        assert!(made.starts_with("PUT /collections/a%2Fb HTTP/1.1"), "{made}");
        let body: Value = serde_json::from_str(made.split_once("\r\n\r\n").unwrap().1).unwrap();
        let expected = json!({
            "vectors": {"on_disk": true, "size": 3, "distance": "Dot"}, "shard_number": 2,
        });
        assert_eq!(body, expected);
    }));
}

#[test]
fn a_server_before_1_10_is_asked_in_its_own_words() {
    run(Box::pin(async {
        let found = r#"{"result":[{"id":"00000000-0000-0000-0000-000000000001","score":0.5}]}"#;
        let replies = [answer("404", "", ""), answer("200", "", found)];
        let server = TestServer::answering(&replies).await;
        let index = index(json!({"qdrantServerUrl": server.url, "qdrantCollection": "c"}));
        let query = VectorQuery {
            vector: &[1.0, 0.0],
            text: "",
            k: 3,
            filter: None,
            chat: None,
            with_vectors: false,
            kind: QueryKind::Similarity,
        };

        let hits = index.query(&query, &TestTurn::asking("").ctx()).await.unwrap();

        assert_eq!(hits[0].id, Uuid::from_u128(1));
        let asked = server.requests().pop().unwrap();
        assert!(asked.starts_with("POST /collections/c/points/search "), "{asked}");
        let body: Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
        let expected = json!({
            "limit": 3, "with_payload": ["metadata", "content"], "with_vector": false,
            "vector": [1.0, 0.0],
        });
        assert_eq!(body, expected);
    }));
}
