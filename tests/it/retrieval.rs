//! Questions answered from documents: the recorded exchanges of flows c and j,
//! and what the recordings do not show.
//!
//! Flowise embedded the documents again for every question; here they are
//! embedded once, which is the one difference in what reaches the provider.

use serde_json::{Value, json};

use crate::replay::{SENTENCE, Stage, assert_same_answer, what_is_asked};
use crate::support::golden::{self, Golden};
use crate::support::scripted::{Answer, Received, words};
use crate::support::scripted_wire::embeddings;
use crate::support::shape::differences;
use crate::support::{Reply, sse};

/// The recorded exchanges that a test of this file plays.
pub const PLAYED: &[&str] = &[
    "c-history",
    "c-predict",
    "c-predict-stream",
    "c-session-1",
    "c-session-3-history-stream",
    "j-override-topk",
    "j-upload-file-full",
];
const FLOW: &str = "c-retrievalqa";
pub const CHAT: &str = "/v1/chat/completions";
pub const EMBEDDINGS: &str = "/v1/embeddings";

/// Vectors that find what the recorded ones found: one axis for each document.
pub fn vector(text: &str) -> Vec<f64> {
    let vector = match text {
        _ if text.starts_with("The bakery opens") => [1.0, 0.0, 0.0],
        _ if text.starts_with("The bakery is at") => [0.0, 1.0, 0.0],
        _ if text.starts_with("The secret word") => [0.0, 0.0, 1.0],
        "bakery" => [0.1, 0.9, 0.2],
        _ if text.contains("bakery open") => [0.9, 0.4, 0.1],
        _ => [0.4, 0.1, 0.9],
    };
    vector.to_vec()
}

/// A model server with embeddings; chats are answered by `chat`.
pub fn with_embeddings(
    chat: impl Fn(&Received) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Received) -> Answer + Send + Sync + 'static {
    move |request| match request.path == EMBEDDINGS {
        true => embeddings(request, vector),
        false => chat(request),
    }
}

async fn stage() -> Stage {
    let stage = Stage::set().await;
    stage.model.answer(with_embeddings(|_| Answer::Say(words(SENTENCE))));
    stage
}

pub fn to(path: &str, received: &[Received]) -> Vec<Value> {
    let calls = received.iter().filter(|request| request.path == path);
    calls.map(|request| request.body.clone()).collect()
}

/// The embeddings that were asked for: documents in lists, queries as texts.
pub fn embedded(bodies: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let inputs = bodies.iter().map(|body| body["input"].clone());
    inputs.partition(Value::is_array)
}

/// Compares what reached the model and the queries that were embedded. Gives
/// the lists of documents that were embedded.
fn assert_same_calls(name: &str, received: &[Received]) -> Vec<Value> {
    let recorded = golden::upstream_bodies(name);
    let (chats, vectors): (Vec<_>, Vec<_>) =
        recorded.into_iter().partition(|body| body.get("messages").is_some());
    let asked: Vec<_> = to(CHAT, received).into_iter().map(what_is_asked).collect();
    let expected: Vec<_> = chats.into_iter().map(what_is_asked).collect();
    assert_eq!(asked, expected, "{name}");
    let (documents, queries) = embedded(&to(EMBEDDINGS, received));
    assert_eq!(queries, embedded(&vectors).1, "{name}");
    documents
}

/// Plays an exchange; gives its answer and the documents that were embedded.
async fn play(stage: &Stage, exchange: &Golden) -> (Reply, Vec<Value>) {
    stage.model.take_received();
    let reply = stage.send(exchange).await;
    let documents = assert_same_calls(&exchange.name, &stage.model.take_received());
    (reply, documents)
}

async fn replay(stage: &Stage, name: &str) -> Vec<Value> {
    let exchange = golden::load(name);
    let (reply, documents) = play(stage, &exchange).await;
    assert_same_answer(&exchange, &reply);
    documents
}

/// Recorded streams of this chain hold empty tokens, which are left out here.
async fn replay_stream(stage: &Stage, name: &str) {
    let exchange = golden::load(name);
    let (reply, _) = play(stage, &exchange).await;
    let is_word = |event: &sse::Event| event.name != "token" || event.data != "";
    let mut recorded = sse::parse(&exchange.response().body).unwrap();
    recorded.retain(is_word);
    let ours = reply.expect(200).events();
    let names = |events: &[sse::Event]| events.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&recorded), "{name}");
    for (then, now) in recorded.iter().zip(&ours) {
        let found = differences(&then.data, &now.data);
        assert!(found.is_empty(), "{name}: {}: {found:#?}", then.name);
    }
}

#[tokio::test]
async fn questions_are_answered_from_documents_as_recorded_and_documents_embedded_once() {
    let stage = stage().await;
    let first = replay(&stage, "c-predict").await;
    assert_eq!(first.len(), 1, "{first:?}");
    for name in ["c-predict", "c-history", "c-session-1"] {
        assert_eq!(replay(&stage, name).await, Vec::<Value>::new(), "{name}");
    }
}

#[tokio::test]
async fn answers_from_documents_stream_as_recorded() {
    let stage = stage().await;
    replay_stream(&stage, "c-predict-stream").await;
    replay_stream(&stage, "c-session-3-history-stream").await;
}

#[tokio::test]
async fn an_attached_text_is_searched_with_and_asked_with_as_recorded() {
    replay(&stage().await, "j-upload-file-full").await;
}

/// In Flowise `false` overrode nothing; here it does.
#[tokio::test]
async fn a_request_changes_how_much_is_found_and_whether_it_is_returned() {
    let stage = stage().await;
    let exchange = golden::load("j-override-topk");
    let (reply, _) = play(&stage, &exchange).await;
    let mut recorded = exchange.response().json();
    recorded.as_object_mut().unwrap().shift_remove("sourceDocuments").unwrap();
    let reply = reply.expect(200).json();
    assert_eq!(differences(&recorded, &reply), Vec::<String>::new());
    assert_eq!(reply.get("sourceDocuments"), None);
}

#[tokio::test]
async fn chunks_that_a_request_cuts_otherwise_are_its_own() {
    let stage = stage().await;
    let exchange = golden::load("c-predict");
    replay(&stage, "c-predict").await;
    let mut other = serde_json::from_str::<Value>(&exchange.body).unwrap();
    other["overrideConfig"] = json!({"chunkSize": 20});
    stage.model.take_received();
    stage.server.ask(stage.flow(FLOW), &other).await.expect(200);
    let cut = embedded(&to(EMBEDDINGS, &stage.model.take_received())).0;
    assert!(cut[0].as_array().unwrap().len() > 4, "{cut:?}");

    let again = replay(&stage, "c-predict").await;

    assert_eq!(again, Vec::<Value>::new(), "the chatflow's own chunks are as they were");
}

#[tokio::test]
async fn a_session_without_a_memory_node_is_remembered() {
    let stage = stage().await;
    let exchange = golden::load("c-session-1");
    let ask =
        |question: &str| json!({"question": question, "overrideConfig": {"sessionId": "c-1"}});
    play(&stage, &exchange).await.0.expect(200);

    let reply = stage.server.ask(stage.flow(FLOW), &ask("And where is it?")).await.expect(200);

    assert_eq!(reply.json().get("memoryType"), None);
    let chats = to(CHAT, &stage.model.take_received());
    let [rephrase, answer] = &chats[..] else { panic!("{chats:#?}") };
    let rephrase = rephrase["messages"][0]["content"].as_str().unwrap();
    let history =
        format!("human: When does the bakery open?\nai: {SENTENCE}\nFollow Up Input: And");
    assert!(rephrase.contains(&history), "{rephrase}");
    let said = answer["messages"].as_array().unwrap();
    let said: Vec<_> = said[1..].iter().map(|message| &message["content"]).collect();
    assert_eq!(said, ["When does the bakery open?", SENTENCE, "And where is it?"]);
}

#[tokio::test]
async fn sources_are_stored_with_the_answer() {
    let stage = stage().await;
    let reply = stage.send(&golden::load("c-session-1")).await.expect(200).json();
    let path = format!("/api/v1/chatmessage/{}?sessionId=c-1", stage.flow(FLOW));
    let rows = stage.server.operator().get(&path).await.expect(200).json();
    let stored = rows.as_array().unwrap().iter().find(|row| row["role"] == "apiMessage").unwrap();
    let sources = match &stored["sourceDocuments"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        tree => tree.clone(),
    };
    assert_eq!(sources, reply["sourceDocuments"]);
    assert_eq!(sources.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_flow_streams_and_takes_no_images() {
    let stage = stage().await;
    let get = async |what: &str| {
        let path = format!("/api/v1/{what}/{}", stage.flow(FLOW));
        stage.server.anyone().get(&path).await.expect(200).json()
    };
    assert_eq!(get("chatflows-streaming").await, json!({"isStreaming": true}));
    assert_eq!(get("chatflows-uploads").await["isImageUploadAllowed"], false);
}
