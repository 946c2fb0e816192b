//! Flowise's own question-and-answer templates, unmodified but for addresses
//! and credentials: a document is upserted, and the answer comes from the
//! passage that fits. The same flows again on PostgreSQL and Chroma.

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::scripted_wire::embeddings;
use crate::support::stores::StoreServer;
use crate::support::{Aimock, Answer, Caller, Flow, Options, Parlor, Reply, Scripted, sse};

const QUESTION: &str = "When does the museum close?";
const ANSWER: &str = "The museum closes at nine.";
const TOPICS: [&str; 3] = ["bakery", "museum", "library"];

/// A paragraph that no other is merged with by the templates' splitters.
fn paragraph(topic: &str) -> String {
    let sentences = (1..=9).map(|n| {
        format!("The {topic} has a rule of its own with the number {n}, and everybody keeps it.")
    });
    sentences.collect::<Vec<_>>().join(" ")
}

fn document() -> String {
    TOPICS.map(paragraph).join("\n\n")
}

/// aimock with a vector for the question that is the vector of the right
/// passage, as a good embedding would have it.
async fn model() -> Aimock {
    let first = Aimock::embedding(&json!([]));
    let body = json!({"model": "text-embedding-ada-002", "input": [paragraph("museum")]});
    let reply = Caller::new(first.base()).post("/v1/embeddings", &body).await.expect(200).json();
    Aimock::embedding(&json!([
        {"match": {"inputText": QUESTION}, "response": {"embedding": reply["data"][0]["embedding"]}},
        {"match": {"userMessage": QUESTION}, "response": {"content": ANSWER}},
    ]))
}

/// A chatflow that answers from documents.
struct Stage {
    server: Parlor,
    model: Aimock,
    flow: String,
}

impl Stage {
    /// `Local QnA.json`; `change` may put another store in its place.
    async fn local(change: impl AsyncFnOnce(Flow, &Parlor) -> Flow) -> Self {
        let model = model().await;
        let server = Parlor::start();
        let flow = Flow::template("Local QnA")
            .with_input("chatOllama_0", "baseUrl", json!(model.base()))
            .with_input("localAIEmbeddings_0", "basePath", json!(model.basepath()));
        let flow = change(flow, &server).await;
        let flow = server.install("Local QnA", &flow).await;
        Self { server, model, flow }
    }

    async fn upsert(&self, name: &str, text: &str) -> Reply {
        let path = format!("/api/v1/vector/upsert/{}", self.flow);
        let files = [(name, "text/plain", text.as_bytes())];
        self.server.anyone().post_form(&path, &[("returnSourceDocuments", "true")], &files).await
    }

    async fn ask(&self, streaming: bool) -> Reply {
        let overrides = json!({"returnSourceDocuments": true});
        let body =
            json!({"question": QUESTION, "streaming": streaming, "overrideConfig": overrides});
        self.server.ask(&self.flow, &body).await.expect(200)
    }

    /// Upserts the document twice and asks in both ways.
    async fn answers_from_the_right_passage(&self) {
        let report = self.upsert("town.txt", &document()).await.expect(200).json();
        assert_eq!(report["numAdded"], 3, "{report}");
        let n_calls = self.embedding_calls().await;
        let again = self.upsert("town.txt", &document()).await.expect(200).json();
        assert_eq!(again["numSkipped"], 3, "{again}");
        assert_eq!(self.embedding_calls().await, n_calls, "the same text was embedded again");

        let reply = self.ask(false).await.json();
        assert_eq!(reply["text"], ANSWER);
        assert_eq!(reply["sourceDocuments"][0]["pageContent"], paragraph("museum"), "{reply}");
        assert_eq!(reply["sourceDocuments"].as_array().unwrap().len(), 3, "each passage once");
        let asked = self.model.received().await.pop().unwrap().messages();
        let best = format!("<doc id='0'>{}</doc>", paragraph("museum"));
        assert!(asked[0].1.contains(&best), "{asked:?}");

        let events = self.ask(true).await.events();
        assert_eq!(sse::text(&events), ANSWER);
        let sources = sse::only(&events, "sourceDocuments");
        assert_eq!(sources[0]["pageContent"], paragraph("museum"));
    }

    async fn embedding_calls(&self) -> usize {
        let received = self.model.received().await;
        received.iter().filter(|call| call.path.ends_with("/embeddings")).count()
    }
}

/// The flow with another store in the place of this node, whose own inputs go.
fn in_place_of(mut flow: Flow, id: &str, own: &[&str], name: &str, inputs: &Value) -> Flow {
    let node = flow.data(id);
    node["name"] = json!(name);
    let saved = node["inputs"].as_object_mut().unwrap();
    saved.retain(|input, _| !own.contains(&input.as_str()));
    saved.extend(inputs.as_object().unwrap().clone());
    flow
}

fn in_place_of_faiss(flow: Flow, name: &str, inputs: &Value) -> Flow {
    in_place_of(flow, "faiss_0", &["basePath"], name, inputs)
}

fn in_place_of_pinecone(flow: Flow, name: &str, inputs: &Value) -> Flow {
    let own = ["pineconeIndex", "pineconeNamespace", "pineconeMetadataFilter"];
    in_place_of(flow, "pinecone_0", &own, name, inputs)
}

/// An empty database with pgvector, and what a node says to reach it.
fn postgres() -> (Postgres, Value) {
    let postgres = Postgres::start();
    postgres.sql("CREATE EXTENSION IF NOT EXISTS vector");
    let inputs = json!({"host": "127.0.0.1", "port": postgres.port(), "database": "postgres"});
    (postgres, inputs)
}

async fn with_postgres_credential(flow: Flow, server: &Parlor) -> Flow {
    let secrets = json!({"user": "postgres", "password": Postgres::PASSWORD});
    let credential = server.credential("PostgresApi", secrets).await;
    flow.with_credential("postgres", &credential)
}

#[tokio::test]
async fn local_qna_answers_from_the_passage_that_fits() {
    let stage = Stage::local(async |flow, _| flow).await;
    stage.answers_from_the_right_passage().await;
}

#[tokio::test]
async fn local_qna_answers_alike_from_postgres() {
    let (postgres, inputs) = postgres();
    let stage = Stage::local(async |flow, server| {
        with_postgres_credential(in_place_of_faiss(flow, "postgres", &inputs), server).await
    })
    .await;
    stage.answers_from_the_right_passage().await;
    assert_eq!(postgres.sql("SELECT count(*) FROM documents"), ["3"]);
}

#[tokio::test]
async fn local_qna_answers_alike_from_chroma() {
    let chroma = StoreServer::chroma();
    let inputs = json!({"chromaURL": chroma.url(), "collectionName": "town"});
    let stage = Stage::local(async |flow, _| in_place_of_faiss(flow, "chroma", &inputs)).await;
    stage.answers_from_the_right_passage().await;
}

#[tokio::test]
async fn a_store_survives_kill_9_and_another_start() {
    let mut stage = Stage::local(async |flow, _| flow).await;
    stage.upsert("town.txt", &document()).await.expect(200);
    stage.server.kill9();
    stage.server = stage.server.restart();

    let reply = stage.ask(false).await.json();

    assert_eq!(reply["sourceDocuments"][0]["pageContent"], paragraph("museum"), "{reply}");
}

/// A vector of three dimensions: how often each topic is named.
fn by_topic(text: &str) -> [f64; 3] {
    TOPICS.map(|topic| text.matches(topic).count() as f64 + 0.01)
}

/// The same of length 1, as OpenAI's vectors are: Chroma measures distances.
fn embedded(text: &str) -> Vec<f64> {
    let counts = by_topic(text);
    let length = counts.iter().map(|count| count * count).sum::<f64>().sqrt();
    counts.map(|count| count / length).to_vec()
}

/// An embedding model of topics, in OpenAI's form, and a page with all of them.
async fn town() -> Scripted {
    Scripted::start(|request| {
        if request.path == "/town.html" {
            let parts = TOPICS.map(|topic| {
                format!("<h2>On the {topic}</h2>\n<p>{}</p>\n\n", paragraph(topic).repeat(5))
            });
            let body = format!("<html><body>{}</body></html>", parts.concat());
            let headers = vec![("content-type", "text/html".to_owned())];
            return Answer::Whole { status: 200, headers, body };
        }
        embeddings(request, embedded)
    })
    .await
}

/// `WebPage QnA.json` on a page of the town; `change` says where its store is, or puts
/// another one in its place.
async fn a_page_answers(options: Options, change: impl AsyncFnOnce(Flow, &Parlor) -> Flow) {
    let town = town().await;
    let model = Aimock::saying(ANSWER);
    let place = town.base().trim_start_matches("http://").to_owned();
    let server = Parlor::start_with(options.env("PARLOR_EGRESS_ALLOW", &place));
    let openai = server.openai_credential().await;
    let flow = Flow::template("WebPage QnA")
        .with_openai(&openai, &model.basepath())
        .with_input("openAIEmbeddings_0", "basepath", json!(town.basepath()))
        .with_input("cheerioWebScraper_0", "url", json!(format!("{}/town.html", town.base())));
    let flow = change(flow, &server).await;
    let flow = server.install("WebPage QnA", &flow).await;

    let path = format!("/api/v1/vector/upsert/{flow}");
    let report = server.anyone().post(&path, &json!({})).await.expect(200).json();
    assert!(report["numAdded"].as_u64().unwrap() >= 3, "{report}");
    let reply = server.ask(&flow, &json!({"question": QUESTION})).await.expect(200).json();

    assert_eq!(reply["text"], ANSWER);
    let first = reply["sourceDocuments"][0].to_string();
    let counts = by_topic(&first);
    assert!(counts[1] > counts[0] && counts[1] > counts[2], "{first}");
    assert!(first.contains(&format!("{}/town.html", town.base())), "where it is from: {first}");
}

#[tokio::test]
async fn webpage_qna_answers_from_the_part_of_the_page_that_fits() {
    let pinecone = StoreServer::pinecone();
    let options = Options::default().provider("pinecone", pinecone.url());
    a_page_answers(options, async |flow, server| {
        let secrets = json!({"pineconeApiKey": "right-key"});
        let key = server.credential("pineconeApi", secrets).await;
        let flow = flow.with_input("pinecone_0", "pineconeIndex", json!("town"));
        flow.with_credential("pinecone", &key)
    })
    .await;
}

#[tokio::test]
async fn webpage_qna_answers_alike_from_postgres() {
    let (_postgres, inputs) = postgres();
    a_page_answers(Options::default(), async |flow, server| {
        with_postgres_credential(in_place_of_pinecone(flow, "postgres", &inputs), server).await
    })
    .await;
}

#[tokio::test]
async fn webpage_qna_answers_alike_from_chroma() {
    let chroma = StoreServer::chroma();
    let inputs = json!({"chromaURL": chroma.url(), "collectionName": "page"});
    a_page_answers(Options::default(), async |flow, _| {
        in_place_of_pinecone(flow, "chroma", &inputs)
    })
    .await;
}
