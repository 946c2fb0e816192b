//! What every vector store promises, held against real servers where there
//! are any: PostgreSQL with pgvector, Chroma, Qdrant's own client, and an
//! index that behaves as Pinecone is documented.

use std::collections::HashSet;
use std::sync::Arc;

use parlor_nodes::retrieval::{Chunk, Document, Hit, QueryKind, VectorIndex, VectorQuery};
use parlor_nodes::{NodeError, TurnCtx};
use parlor_schemas::ChatId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::nodes::{turn, vector_store};
use crate::support::postgres::Postgres;
use crate::support::stores::StoreServer;

/// A store, and its own way to ask for a source.
pub struct Stage {
    pub index: Arc<dyn VectorIndex>,
    pub ctx: TurnCtx,
    pub from: fn(&str) -> Value,
}

impl Stage {
    pub fn postgres(server: &Postgres, inputs: &Value) -> Self {
        let mut all = json!({"host": "127.0.0.1", "port": server.port(), "database": "postgres"});
        all.as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
        let secrets = json!({"user": "postgres", "password": Postgres::PASSWORD});
        let index = vector_store("postgres", &all, &secrets).index.clone();
        Self { index, ctx: turn(None), from: |source| json!({"source": source}) }
    }

    pub fn chroma(server: &StoreServer) -> Self {
        let inputs = json!({"chromaURL": server.url(), "collectionName": "papers"});
        let index = vector_store("chroma", &inputs, &json!({})).index.clone();
        Self { index, ctx: turn(None), from: |source| json!({"source": source}) }
    }

    pub fn qdrant(server: &StoreServer, inputs: &Value) -> Self {
        let mut all = json!({"qdrantServerUrl": server.url(), "qdrantCollection": "papers"});
        all.as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
        let index = vector_store("qdrant", &all, &json!({})).index.clone();
        let from = |source: &str| json!({"must": [{"key": "metadata.source", "match": {"value": source}}]});
        Self { index, ctx: turn(None), from }
    }

    pub fn pinecone(server: &StoreServer, inputs: &Value) -> Self {
        let mut all = json!({"pineconeIndex": "papers"});
        all.as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
        let secrets = json!({"pineconeApiKey": "right-key"});
        let index = vector_store("pinecone", &all, &secrets).index.clone();
        let from = |source: &str| json!({"source": {"$eq": source}});
        Self { index, ctx: turn(Some(server.url())), from }
    }

    /// Writes chunks and takes stale ones out, as one upsert.
    pub async fn upsert(&self, chunks: Vec<Chunk>, stale: Vec<Uuid>) {
        let mut writer = self.index.writer(3, &self.ctx).await.expect("a writer");
        writer.put(chunks, &self.ctx).await.expect("chunks are taken");
        writer.commit(stale, &self.ctx).await.expect("the upsert is lasting");
    }

    pub async fn search(&self, query: VectorQuery<'_>) -> Vec<Hit> {
        self.index.query(&query, &self.ctx).await.expect("hits")
    }

    /// The texts of a search, best first.
    pub async fn texts(&self, query: VectorQuery<'_>) -> Vec<String> {
        let hits = self.search(query).await;
        hits.into_iter().map(|hit| hit.document.page_content).collect()
    }

    pub async fn known(&self, ids: &[Uuid]) -> HashSet<Uuid> {
        self.index.known(ids, &self.ctx).await.expect("what is known")
    }
}

pub fn chunk(n: u128, vector: [f32; 3], content: &str, metadata: &Value) -> Chunk {
    let metadata = metadata.as_object().unwrap().clone();
    Chunk {
        id: Uuid::from_u128(n),
        vector: vector.to_vec(),
        document: Document::new(content, metadata),
    }
}

pub fn near(vector: &[f32]) -> VectorQuery<'_> {
    VectorQuery {
        vector,
        text: "",
        k: 10,
        filter: None,
        chat: None,
        with_vectors: false,
        kind: QueryKind::Similarity,
    }
}

fn ids(numbers: &[u128]) -> Vec<Uuid> {
    numbers.iter().map(|n| Uuid::from_u128(*n)).collect()
}

fn set(numbers: &[u128]) -> HashSet<Uuid> {
    ids(numbers).into_iter().collect()
}

const X: [f32; 3] = [1.0, 0.0, 0.0];
const NEAR_X: [f32; 3] = [0.8, 0.6, 0.0];
const Y: [f32; 3] = [0.0, 1.0, 0.0];

fn papers() -> Vec<Chunk> {
    vec![
        chunk(1, X, "on \"x\" – and 猫", &json!({"source": "a.txt", "page": 1})),
        chunk(2, NEAR_X, "nearly x", &json!({"source": "b.txt", "page": 2})),
        chunk(3, Y, "on y", &json!({"source": "a.txt", "page": 3})),
    ]
}

/// The suite.
async fn keeps_its_promises(stage: &Stage) {
    nothing_is_in_a_collection_that_is_not_there(stage).await;
    chunks_are_found_nearest_first(stage).await;
    filters_narrow_searches(stage).await;
    writing_again_replaces(stage).await;
    other_dimensions_are_refused(stage).await;
    chunks_are_taken_out(stage).await;
    many_chunks_are_written(stage).await;
}

async fn nothing_is_in_a_collection_that_is_not_there(stage: &Stage) {
    assert_eq!(stage.search(near(&X)).await, []);
    assert_eq!(stage.known(&ids(&[1])).await, HashSet::new());
    stage.index.delete(&ids(&[1]), &stage.ctx).await.unwrap();
    let filter = (stage.from)("a.txt");
    assert_eq!(stage.index.matching(&filter, 10, &stage.ctx).await.unwrap(), ids(&[]));

    // An upsert of nothing makes the collection, which then is as empty.
    stage.upsert(Vec::new(), Vec::new()).await;
    assert_eq!(stage.search(near(&X)).await, []);
}

async fn chunks_are_found_nearest_first(stage: &Stage) {
    stage.upsert(papers(), Vec::new()).await;

    assert_eq!(stage.known(&ids(&[1, 2, 4])).await, set(&[1, 2]));
    assert_eq!(stage.known(&[]).await, HashSet::new());
    let hits = stage.search(near(&X)).await;
    let texts: Vec<_> = hits.iter().map(|hit| hit.document.page_content.as_str()).collect();
    assert_eq!(texts, ["on \"x\" – and 猫", "nearly x", "on y"]);
    assert_eq!(hits[0].id, Uuid::from_u128(1));
    assert_eq!(hits[0].document.metadata["source"], "a.txt");
    assert_eq!(hits[0].document.metadata["page"].as_f64(), Some(1.0));
    let expected = [1.0, 0.8, 0.0];
    for (hit, score) in hits.iter().zip(expected) {
        assert!((hit.score - score).abs() < 1e-3, "{} instead of {score}", hit.score);
        assert_eq!(hit.vector, None);
    }

    let two = VectorQuery { k: 2, with_vectors: true, ..near(&X) };
    let hits = stage.search(two).await;
    assert_eq!(hits.len(), 2);
    let vector = hits[1].vector.as_ref().expect("the vector was asked for");
    assert!(vector.iter().zip(NEAR_X).all(|(a, b)| (a - b).abs() < 1e-3), "{vector:?}");

    let hybrid = VectorQuery { kind: QueryKind::Hybrid, ..near(&X) };
    let refused = stage.index.query(&hybrid, &stage.ctx).await.unwrap_err();
    assert!(matches!(refused, NodeError::Unsupported(_)), "{refused}");
}

async fn filters_narrow_searches(stage: &Stage) {
    let filter = (stage.from)("a.txt");
    let narrowed = VectorQuery { filter: Some(&filter), ..near(&X) };
    assert_eq!(stage.texts(narrowed).await, ["on \"x\" – and 猫", "on y"]);

    let mut found = stage.index.matching(&filter, 10, &stage.ctx).await.unwrap();
    found.sort();
    assert_eq!(found, ids(&[1, 3]));
    assert_eq!(stage.index.matching(&filter, 1, &stage.ctx).await.unwrap().len(), 1);

    // What looks like SQL or an operator is a value like any other.
    let filter = (stage.from)("a.txt' OR '1'='1");
    let narrowed = VectorQuery { filter: Some(&filter), ..near(&X) };
    assert_eq!(stage.search(narrowed).await, []);

    let nonsense = json!(["a.txt"]);
    let refused = VectorQuery { filter: Some(&nonsense), ..near(&X) };
    let refused = stage.index.query(&refused, &stage.ctx).await.unwrap_err();
    assert!(matches!(refused, NodeError::BadRequest(_)), "{refused}");
}

async fn writing_again_replaces(stage: &Stage) {
    let new = chunk(2, Y, "now on y", &json!({"source": "c.txt"}));
    let twice = chunk(2, X, "overtaken", &json!({}));
    stage.upsert(vec![twice, new], Vec::new()).await;

    assert_eq!(stage.search(near(&X)).await.len(), 3);
    let filter = (stage.from)("c.txt");
    let narrowed = VectorQuery { filter: Some(&filter), ..near(&Y) };
    assert_eq!(stage.texts(narrowed).await, ["now on y"]);
    let filter = (stage.from)("b.txt");
    let gone = VectorQuery { filter: Some(&filter), ..near(&X) };
    assert_eq!(stage.search(gone).await, []);
}

async fn other_dimensions_are_refused(stage: &Stage) {
    let Err(refused) = stage.index.writer(4, &stage.ctx).await else {
        panic!("a writer for other vectors was opened")
    };
    assert!(matches!(refused, NodeError::BadRequest(_)), "{refused}");
    let words = refused.to_string();
    assert!(words.contains("of 3 dimensions") && words.contains("make 4"), "{words}");

    let refused = stage.index.query(&near(&[1.0, 0.0]), &stage.ctx).await.unwrap_err();
    assert!(matches!(refused, NodeError::BadRequest(_)), "{refused}");
    assert!(refused.to_string().contains("The store"), "{refused}");
}

async fn chunks_are_taken_out(stage: &Stage) {
    stage.index.delete(&ids(&[2, 9]), &stage.ctx).await.unwrap();
    assert_eq!(stage.known(&ids(&[1, 2, 3])).await, set(&[1, 3]));

    let new = chunk(5, X, "newer", &json!({"source": "a.txt"}));
    stage.upsert(vec![new], ids(&[1, 3, 77])).await;

    assert_eq!(stage.texts(near(&X)).await, ["newer"]);
}

async fn many_chunks_are_written(stage: &Stage) {
    let many = (100..1_400).map(|n| {
        chunk(n, [0.5, 0.5, n as f32], "one of many", &json!({"source": "many", "n": n as u64}))
    });
    let many: Vec<_> = many.collect();
    let all: Vec<_> = many.iter().map(|chunk| chunk.id).collect();
    stage.upsert(many, Vec::new()).await;

    assert_eq!(stage.known(&all).await.len(), 1_300);
    let filter = (stage.from)("many");
    assert_eq!(stage.index.matching(&filter, 1_200, &stage.ctx).await.unwrap().len(), 1_200);
    stage.index.delete(&all, &stage.ctx).await.unwrap();
    assert!(stage.known(&all).await.is_empty());
    assert_eq!(stage.texts(near(&X)).await, ["newer"]);
}

/// With file uploads, a chat sees its own files and everybody's.
async fn keeps_chats_apart(stage: &Stage) {
    let (mine, yours) = (ChatId::random(), ChatId::random());
    let of = |chat: &ChatId| json!({"source": "a.txt", "flowise_chatId": chat.as_str()});
    stage
        .upsert(
            vec![
                chunk(1, X, "everybody's", &json!({"source": "a.txt"})),
                chunk(2, X, "mine", &of(&mine)),
                chunk(3, X, "yours", &of(&yours)),
                chunk(4, X, "another file", &json!({"source": "b.txt"})),
            ],
            Vec::new(),
        )
        .await;

    let filter = (stage.from)("a.txt");
    for filter in [None, Some(&filter)] {
        let query = VectorQuery { chat: Some(&mine), filter, ..near(&X) };
        let mut texts = stage.texts(query).await;
        texts.retain(|text| text != "another file" || filter.is_some());
        texts.sort();
        assert_eq!(texts, ["everybody's", "mine"], "{filter:?}");
    }
    // A caller who may set the filter cannot ask for another chat with it.
    let theirs = json!({"flowise_chatId": yours.as_str()});
    let theirs = match (stage.from)("x").get("must") {
        Some(_) => {
            json!({"should": [{"key": "metadata.flowise_chatId", "match": {"value": yours.as_str()}}]})
        }
        None => theirs,
    };
    let query = VectorQuery { chat: Some(&mine), filter: Some(&theirs), ..near(&X) };
    assert!(!stage.texts(query).await.contains(&"yours".to_owned()));
}

#[tokio::test]
async fn postgresql_keeps_its_promises() {
    let server = Postgres::start();
    keeps_its_promises(&Stage::postgres(&server, &json!({}))).await;
    let by_chat = Stage::postgres(&server, &json!({"tableName": "By Chat", "fileUpload": true}));
    keeps_chats_apart(&by_chat).await;
    let euclidean = json!({"tableName": "euclidean", "distanceStrategy": "euclidean"});
    keeps_its_promises(&Stage::postgres(&server, &euclidean)).await;
    let product = json!({"tableName": "product", "distanceStrategy": "innerProduct"});
    chunks_are_found_nearest_first(&Stage::postgres(&server, &product)).await;
}

#[tokio::test]
async fn chroma_keeps_its_promises() {
    let server = StoreServer::chroma();
    keeps_its_promises(&Stage::chroma(&server)).await;
}

#[tokio::test]
async fn qdrant_keeps_its_promises() {
    let server = StoreServer::qdrant();
    keeps_its_promises(&Stage::qdrant(&server, &json!({}))).await;
    let by_chat = json!({"qdrantCollection": "by chat", "fileUpload": true, "batchSize": 2});
    keeps_chats_apart(&Stage::qdrant(&server, &by_chat)).await;
    let euclidean = json!({"qdrantCollection": "euclidean", "qdrantSimilarity": "Euclid"});
    chunks_are_found_nearest_first(&Stage::qdrant(&server, &euclidean)).await;
}

#[tokio::test]
async fn pinecone_keeps_its_promises() {
    let server = StoreServer::pinecone();
    keeps_its_promises(&Stage::pinecone(&server, &json!({}))).await;
    let by_chat = json!({"pineconeNamespace": "by chat", "fileUpload": true});
    keeps_chats_apart(&Stage::pinecone(&server, &by_chat)).await;
}
