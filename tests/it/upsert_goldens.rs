//! Upserts of the recorded flows, against a server of embeddings: answered as
//! recorded, costing nothing the second time, and whole after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::replay::assert_same_answer;
use crate::support::scripted::{Received, words};
use crate::support::scripted_wire::embeddings;
use crate::support::shape::differences;
use crate::support::{
    Answer, Flow, Parlor, Reply, Scripted, eventually, fixture_text, golden, sse,
};
use crate::{retrieval, upserts};

const LIMIT: Duration = Duration::from_secs(60);
/// The recorded upserts that a test of this file plays, as they are or mended.
const PLAYED: &[&str] = &[
    "c-upsert-json",
    "c-upsert-nobody",
    "c-upsert-stopnode",
    "c-upsert-stopnode-wrong",
    "j-upsert-json-override",
    "j-upsert-multipart",
    "j-upsert-multipart-csv",
    "j-upsert-multipart-fields",
    "upsert-history",
];
const NOTE: &str = "The museum closes at nine. The secret word is GALLEON.";

/// A vector of the letters of a text: different for different texts.
fn of_letters(text: &str) -> Vec<f64> {
    let mut vector = vec![0.0; 32];
    for (at, byte) in text.bytes().enumerate() {
        vector[usize::from(byte) % 32] += 1.0 / (1.0 + at as f64);
    }
    vector
}

pub fn vectors(request: &Received) -> Answer {
    embeddings(request, of_letters)
}

pub struct Stage {
    pub server: Parlor,
    pub model: Scripted,
    pub flow: String,
}

impl Stage {
    /// A recorded flow with its recorded settings.
    async fn of(name: &str) -> Self {
        Self::with(name, |flow| flow).await
    }

    async fn with(name: &str, change: impl FnOnce(Flow) -> Flow) -> Self {
        Self::started(Parlor::start(), name, change).await
    }

    /// A recorded flow, changed, on this server.
    pub async fn started(server: Parlor, name: &str, change: impl FnOnce(Flow) -> Flow) -> Self {
        let model = Scripted::start(vectors).await;
        let credential = server.openai_credential().await;
        let flow = Flow::golden(name)
            .with_openai(&credential, &model.basepath())
            .with_credential("openAIEmbeddings", &credential)
            .with_input("openAIEmbeddings_0", "basepath", json!(model.basepath()));
        let mut row = change(flow).row(name);
        let settings: Value =
            serde_json::from_str(&fixture_text("goldens/flows/settings.json")).unwrap();
        if let Some(config) = settings.get(name).and_then(|own| own.get("apiConfig")) {
            row["apiConfig"] = json!(config.to_string());
        }
        let flow = server.install_row(&row).await;
        Self { server, model, flow }
    }

    pub fn path(&self) -> String {
        format!("/api/v1/vector/upsert/{}", self.flow)
    }

    pub async fn upsert(&self, body: Value) -> Reply {
        self.server.anyone().post(&self.path(), &body).await
    }

    /// Sends a recorded request that has a JSON body or none.
    async fn send(&self, exchange: &golden::Golden) -> Reply {
        let body = Some(exchange.body.trim().to_owned()).filter(|body| !body.is_empty());
        self.server.anyone().send(Method::POST, &self.path(), body).await
    }

    async fn form(&self, fields: &[(&str, &str)], file: (&str, &str)) -> Reply {
        let files = [(file.0, "text/plain", file.1.as_bytes())];
        self.server.anyone().post_form(&self.path(), fields, &files).await
    }

    /// The texts that were embedded since the last look, call by call.
    fn embedded(&self) -> Vec<Value> {
        let calls = self.model.take_received().into_iter();
        let calls = calls.filter(|call| call.path.ends_with("/embeddings"));
        calls.map(|call| call.body["input"].clone()).collect()
    }

    pub async fn history(&self) -> Vec<Value> {
        let path = format!("/api/v1/upsert-history/{}", self.flow);
        let rows = self.server.operator().get(&path).await.expect(200).json();
        rows.as_array().expect("rows").clone()
    }

    /// Takes all chunks out; their number.
    pub async fn empty(&self) -> u64 {
        let path = format!("/api/v1/vector/{}?all=true", self.flow);
        let reply = self.server.operator().delete(&path).await.expect(200).json();
        reply["affected"].as_u64().expect("a number")
    }

    pub async fn jobs(&self) -> Vec<Value> {
        let path = format!("/api/v1/upserts?chatflowId={}", self.flow);
        let rows = self.server.operator().get(&path).await.expect(200).json();
        rows.as_array().expect("rows").clone()
    }

    pub async fn wait_for_state(&self, state: &str) -> bool {
        eventually(LIMIT, || async {
            self.jobs().await.last().is_some_and(|job| job["state"] == state)
        })
        .await
    }
}

fn recorded_input(name: &str) -> Vec<Value> {
    golden::upstream_bodies(name).into_iter().map(|mut body| body["input"].take()).collect()
}

#[tokio::test]
async fn the_flows_own_document_is_upserted_as_recorded_with_a_body_and_without() {
    for name in ["c-upsert-json", "c-upsert-nobody", "c-upsert-stopnode"] {
        let stage = Stage::of("c-retrievalqa").await;
        let exchange = golden::load(name);
        assert_same_answer(&exchange, &stage.send(&exchange).await);
        assert_eq!(stage.embedded(), recorded_input(name), "{name}");
    }
}

#[tokio::test]
async fn a_stop_node_that_is_not_there_is_a_bad_request_that_embeds_nothing() {
    let stage = Stage::of("c-retrievalqa").await;
    let message = stage.send(&golden::load("c-upsert-stopnode-wrong")).await.expect_error(400);
    assert!(message.contains("nope_0") && message.contains("memoryVectorStore_0"), "{message}");
    let listed = stage.upsert(json!({"stopNodeId": ["memoryVectorStore_0"]})).await.expect(200);
    assert_eq!(listed.json()["numAdded"], 3);
}

#[tokio::test]
async fn files_and_fields_of_a_form_are_upserted_as_recorded() {
    let fields = [("metadata", r#"{"k":"v"}"#), ("stopNodeId", "memoryVectorStore_0")];
    for (name, fields) in [("j-upsert-multipart", &[][..]), ("j-upsert-multipart-fields", &fields)]
    {
        let stage = Stage::of("j-upsert").await;
        let reply = stage.form(fields, ("up1.txt", NOTE)).await;
        assert_same_answer(&golden::load(name), &reply);
        assert_eq!(stage.embedded(), recorded_input(name), "{name}");
    }
    let stage = Stage::of("j-upsert").await;
    let exchange = golden::load("j-upsert-json-override");
    assert_same_answer(&exchange, &stage.send(&exchange).await);
}

#[tokio::test]
async fn a_file_of_a_form_answers_questions_where_the_flow_itself_holds_none() {
    let empty = |flow: Flow| flow.with_input("textFile_0", "txtFile", json!(""));
    let stage = Stage::with("j-upsert", empty).await;
    let message = stage.upsert(json!({})).await.expect_error(422);
    assert!(message.contains("txtFile holds no file"), "{message}");
    assert_eq!(stage.form(&[], ("up1.txt", NOTE)).await.expect(200).json()["numAdded"], 1);
    stage.model.answer(|request| match request.path.ends_with("/embeddings") {
        true => vectors(request),
        false => Answer::Say(words("GALLEON.")),
    });
    let body = json!({"question": "What is the secret word?"});
    let answer = stage.server.ask(&stage.flow, &body).await.expect(200).json();
    assert_eq!(answer["sourceDocuments"][0]["pageContent"], NOTE, "{answer}");
}

#[tokio::test]
async fn a_file_that_no_loader_takes_is_named_and_nothing_is_upserted() {
    let recorded = golden::load("j-upsert-multipart-csv");
    assert!(recorded.body.contains("-F files=@up2.csv"), "{recorded:?}");
    assert_eq!(recorded.response().json()["numAdded"], 3, "the flow's own document, once more");
    let stage = Stage::of("j-upsert").await;
    let message = stage.form(&[], ("up2.csv", "a,b\n1,2\n")).await.expect_error(400);
    assert!(message.contains("up2.csv"), "{message}");
    assert!(stage.embedded().is_empty());
    assert!(stage.history().await.is_empty() && stage.jobs().await.is_empty());

    let lenient = stage.server.anyone().with("prefer", "handling=lenient");
    let files =
        [("up1.txt", "text/plain", NOTE.as_bytes()), ("up2.csv", "text/csv", b"a,b".as_slice())];
    let answer = lenient.post_form(&stage.path(), &[], &files).await.expect(200).json();
    assert_eq!(answer["numAdded"], 1);
    assert_eq!(answer["failures"][0]["name"], "up2.csv", "{answer}");
}

#[tokio::test]
async fn the_history_tells_of_an_upsert_as_recorded_and_forgets_it() {
    let stage = Stage::of("c-retrievalqa").await;
    stage.upsert(json!({})).await.expect(200);
    let mut recorded = golden::load("upsert-history").response().json()[0].take();
    let basepath = &mut recorded["flowData"][2]["paramValues"][1]["value"];
    *basepath = json!(stage.model.basepath());
    let rows = stage.history().await;
    assert_eq!(rows.len(), 1);
    let mut row = rows[0].clone();
    assert_eq!(row["chatflowid"], json!(stage.flow));
    row["chatflowid"] = recorded["chatflowid"].clone();
    let found = differences(&recorded, &row);
    assert!(found.is_empty(), "{found:#?}\n{row:#}");
    let ids = json!({"ids": [rows[0]["id"]]}).to_string();
    let path = "/api/v1/upsert-history";
    let gone = stage.server.operator().send(Method::PATCH, path, Some(ids)).await;
    assert_eq!(gone.expect(200).json(), json!({"raw": [], "affected": 1}));
    assert!(stage.history().await.is_empty());
}

#[tokio::test]
async fn what_is_there_already_costs_no_embedding_call_also_after_a_restart() {
    let mut stage = Stage::of("c-retrievalqa").await;
    stage.upsert(json!({})).await.expect(200);
    assert_eq!(stage.embedded().len(), 1);
    stage.upsert(json!({})).await.expect(200);
    stage.server.terminate().await;
    stage.server = stage.server.restart();
    stage.upsert(json!({})).await.expect(200);
    assert!(stage.embedded().is_empty());
    assert_eq!(stage.empty().await, 3, "chunks were doubled");
}

#[tokio::test]
async fn a_key_gets_the_same_jobs_answer_also_after_a_crash() {
    let mut stage = Stage::of("j-upsert").await;
    let keyed = |stage: &Stage| stage.server.anyone().with("idempotency-key", "k1");
    let files = [("up1.txt", "text/plain", NOTE.as_bytes())];
    let first = keyed(&stage).post_form(&stage.path(), &[], &files).await.expect(200).json();
    assert_eq!(first["numAdded"], 1);
    stage.server.kill9();
    stage.server = stage.server.restart();
    let again = keyed(&stage).post_form(&stage.path(), &[], &files).await.expect(200).json();
    assert_eq!(again, first);
    let other = [("up1.txt", "text/plain", b"Another text.".as_slice())];
    let message = keyed(&stage).post_form(&stage.path(), &[], &other).await.expect_error(422);
    assert!(message.contains("Idempotency-Key"), "{message}");
    assert_eq!((stage.jobs().await.len(), stage.history().await.len()), (1, 1));
}

#[tokio::test]
async fn who_does_not_wait_asks_the_job_and_who_streams_sees_its_progress() {
    let stage = Stage::of("c-retrievalqa").await;
    let caller = stage.server.anyone().with("prefer", "respond-async");
    let reply = caller.post(&stage.path(), &json!({})).await.expect(202);
    let job = reply.header("location").expect("a location").to_owned();
    let look = || async { stage.server.anyone().get(&job).await.expect(200).json() };
    assert!(eventually(LIMIT, || async { look().await["state"] == "done" }).await);
    let done = look().await;
    assert_eq!(done["result"]["numAdded"], 3, "{done}");
    assert_eq!(done["progress"]["chunks"], 3, "{done}");

    let streaming = stage.server.anyone().with("accept", "text/event-stream");
    let body = json!({"overrideConfig": {"metadata": {"new": 1}}});
    let reply = streaming.post(&stage.path(), &body).await.expect(200);
    let events = reply.events();
    let names = sse::outline(&events);
    assert_eq!((names.first(), names.last()), (Some(&"progress"), Some(&"end")), "{names:?}");
    assert_eq!(sse::only(&events, "result")["numAdded"], 3);
    assert_eq!(stage.jobs().await.len(), 2);
}

/// The same flow with one text a call, and a server that answers the first
/// calls only.
async fn stuck(after: usize) -> (Stage, Arc<AtomicUsize>) {
    let one_a_call = |flow: Flow| flow.with_input("openAIEmbeddings_0", "batchSize", json!("1"));
    let stage = Stage::with("c-retrievalqa", one_a_call).await;
    let left = get_stuck(&stage.model, after);
    (stage, left)
}

/// Lets a server of embeddings answer so many calls more; what is left of them.
pub fn get_stuck(model: &Scripted, after: usize) -> Arc<AtomicUsize> {
    let left = Arc::new(AtomicUsize::new(after));
    let answers = left.clone();
    model.answer(move |request| {
        let take = |left: usize| left.checked_sub(1);
        match answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => vectors(request),
            Err(_) => Answer::Hang,
        }
    });
    left
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_upsert_and_its_call() {
    let (stage, _) = stuck(1).await;
    let body = json!({});
    let path = stage.path();
    let call = stage.server.anyone();
    let sent = tokio::spawn(async move { call.post(&path, &body).await });
    assert!(eventually(LIMIT, || async { stage.model.n_open() > 0 }).await);
    sent.abort();
    assert!(stage.wait_for_state("cancelled").await, "{:?}", stage.jobs().await);
    assert!(eventually(LIMIT, || async { stage.model.n_open() == 0 }).await);
    assert_eq!(stage.empty().await, 0, "half an upsert is left");
}

#[tokio::test]
async fn an_upsert_that_a_crash_ended_leaves_nothing_and_can_be_sent_again() {
    let (mut stage, left) = stuck(2).await;
    let caller = stage.server.anyone().with("prefer", "respond-async");
    caller.post(&stage.path(), &json!({})).await.expect(202);
    assert!(eventually(LIMIT, || async { left.load(Ordering::SeqCst) == 0 }).await);
    stage.server.kill9();
    stage.server = stage.server.restart();
    assert!(stage.wait_for_state("interrupted").await, "{:?}", stage.jobs().await);
    assert!(stage.history().await.is_empty());
    stage.model.answer(vectors);
    assert_eq!(stage.upsert(json!({})).await.expect(200).json()["numAdded"], 3);
    assert_eq!(stage.empty().await, 3, "chunks were doubled or orphaned");
}

#[tokio::test]
async fn two_upserts_of_one_store_leave_each_chunk_once() {
    let stage = Stage::of("j-upsert").await;
    let (one, two) =
        tokio::join!(stage.form(&[], ("up1.txt", NOTE)), stage.form(&[], ("up1.txt", NOTE)),);
    assert_eq!((one.status, two.status), (200, 200));
    assert_eq!(stage.empty().await, 1);
}

#[tokio::test]
async fn files_are_upserted_and_taken_out_from_the_command_line() {
    let stage = Stage::of("j-upsert").await;
    let folder = stage.server.folder();
    let file = folder.path().join("up1.txt");
    std::fs::write(&file, NOTE).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let output = stage.server.command_aside(&["upsert", &stage.flow, &file, "--json"]).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["numAdded"], 1);
    let output = stage.server.command_aside(&["vectors", "delete", &stage.flow, "--all"]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 chunks deleted\n");
}

#[test]
fn every_recording_of_a_flow_with_documents_is_played() {
    let files = [PLAYED, retrieval::PLAYED, upserts::PLAYED];
    let is_known = |name: &String| files.iter().any(|names| names.contains(&name.as_str()));
    let is_here = |name: &String| {
        let is_setting = name.starts_with("chatflows-");
        let is_of_flow = name.starts_with("c-") || name.starts_with("j-");
        !is_setting && (is_of_flow || name.contains("upsert"))
    };
    let names = golden::names();
    let forgotten: Vec<_> = names.iter().filter(|name| is_here(name) && !is_known(name)).collect();
    assert_eq!(forgotten, Vec::<&String>::new());
    let gone: Vec<_> =
        files.concat().into_iter().filter(|name| !names.contains(&(*name).to_owned())).collect();
    assert_eq!(gone, Vec::<&str>::new(), "no such recording");
}
