//! P20: an upsert whose server is killed leaves the version before it, whole
//! and once, and the next one embeds nothing that is there.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::scripted::{Received, words};
use crate::support::{Answer, Flow, Parlor, eventually};
use crate::upsert_goldens::{Stage, get_stuck, vectors};

const LIMIT: Duration = Duration::from_secs(60);
const OLD: [&str; 6] = ["The tower", "The bridge", "The harbour", "The mill", "The old inn", "Mud"];
const NEW: [&str; 6] = ["The tower", "A ferry", "The harbour", "A castle", "The old inn", "A lake"];

/// A passage of its own, long enough that no two share a chunk.
fn passage(subject: &str) -> String {
    format!("{subject} is described at some length in here.")
}

fn passages(subjects: &[&str]) -> BTreeSet<String> {
    subjects.iter().map(|subject| passage(subject)).collect()
}

/// The recorded flow over an index that only upserts fill, one text a call.
fn holding(flow: Flow, subjects: &[&str]) -> Flow {
    let text = subjects.iter().map(|subject| passage(subject)).collect::<Vec<_>>().join("\n\n");
    let file =
        format!("data:text/plain;base64,{},filename:guide.txt", BASE64_STANDARD.encode(text));
    let mut flow = flow
        .with_input("openAIEmbeddings_0", "batchSize", json!("1"))
        .with_input("textFile_0", "txtFile", json!(file))
        .with_input("memoryVectorStore_0", "basePath", json!("guide"))
        .with_input("memoryVectorStore_0", "topK", json!(50));
    flow.data("memoryVectorStore_0")["name"] = json!("faiss");
    flow
}

fn answers(request: &Received) -> Answer {
    match request.path.ends_with("/embeddings") {
        true => vectors(request),
        false => Answer::Say(words("Here.")),
    }
}

/// The chatflow holds this text from now on.
async fn change(stage: &Stage, subjects: &[&str]) {
    let path = format!("/api/v1/chatflows/{}", stage.flow);
    let row = stage.server.operator().get(&path).await.expect(200).json();
    let saved = Flow(serde_json::from_str(row["flowData"].as_str().unwrap()).unwrap());
    let body = json!({"flowData": holding(saved, subjects).0.to_string()});
    stage.server.operator().put(&path, &body).await.expect(200);
}

/// What the store holds; every chunk once.
async fn held(stage: &Stage) -> BTreeSet<String> {
    stage.model.answer(answers);
    let body = json!({"question": "What is described?"});
    let answer = stage.server.ask(&stage.flow, &body).await.expect(200).json();
    let found = answer["sourceDocuments"].as_array().expect("documents");
    let texts = found.iter().map(|document| document["pageContent"].as_str().unwrap().to_owned());
    let different: BTreeSet<String> = texts.collect();
    assert_eq!(different.len(), found.len(), "a chunk is there twice: {answer:#}");
    different
}

/// The texts that were embedded since the last look, questions apart.
fn embedded(stage: &Stage) -> BTreeSet<String> {
    let calls = stage.model.take_received().into_iter();
    let inputs = calls.filter_map(|call| call.body["input"].as_array().cloned()).flatten();
    inputs.map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn p20_an_upsert_that_is_killed_at_any_moment_leaves_the_old_version_and_costs_no_text_twice()
{
    let mut stage =
        Stage::started(Parlor::start(), "c-retrievalqa", |flow| holding(flow, &OLD)).await;
    assert_eq!(stage.upsert(json!({})).await.expect(200).json()["numAdded"], 6);
    assert_eq!(embedded(&stage), passages(&OLD));
    change(&stage, &NEW).await;
    let changed: BTreeSet<String> = passages(&NEW).difference(&passages(&OLD)).cloned().collect();

    for n_embedded in 0..changed.len() {
        let left = get_stuck(&stage.model, n_embedded);
        let caller = stage.server.anyone().with("prefer", "respond-async");
        caller.post(&stage.path(), &json!({})).await.expect(202);
        let hangs = || async { left.load(Ordering::SeqCst) == 0 && stage.model.n_open() > 0 };
        assert!(eventually(LIMIT, hangs).await, "the {n_embedded}th call never came");
        stage.server.kill9();
        stage.server = stage.server.restart();
        assert!(stage.wait_for_state("interrupted").await, "{:?}", stage.jobs().await);
        assert_eq!(held(&stage).await, passages(&OLD), "killed after {n_embedded} embeddings");
        assert!(embedded(&stage).is_subset(&changed), "what was there is embedded again");
    }

    let answer = stage.upsert(json!({})).await.expect(200).json();
    assert_eq!((&answer["numSkipped"], &answer["numDeleted"]), (&json!(3), &json!(3)), "{answer}");
    assert_eq!(embedded(&stage), changed);
    assert_eq!(held(&stage).await, passages(&NEW));
    assert_eq!(stage.upsert(json!({})).await.expect(200).json()["numSkipped"], 6);
    assert_eq!(embedded(&stage), BTreeSet::new());
    assert_eq!(stage.empty().await, 6, "chunks were doubled or orphaned");
}

#[tokio::test]
async fn p20_kills_at_random_moments_leave_one_whole_version_or_the_other() {
    let mut stage =
        Stage::started(Parlor::start(), "c-retrievalqa", |flow| holding(flow, &OLD)).await;
    stage.upsert(json!({})).await.expect(200);
    for (round, wait_ms) in [0_u64, 2, 5, 9, 14, 20, 30].into_iter().enumerate() {
        stage.model.answer(vectors);
        let (before, after) = if round % 2 == 0 { (OLD, NEW) } else { (NEW, OLD) };
        change(&stage, &after).await;
        let path = stage.path();
        let caller = stage.server.anyone().with("prefer", "respond-async");
        caller.post(&path, &json!({})).await.expect(202);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        stage.server.kill9();
        stage.server = stage.server.restart();
        let is_over = |state: &Value| *state == "interrupted" || *state == "done";
        let jobs = || async { stage.jobs().await.last().is_some_and(|job| is_over(&job["state"])) };
        assert!(eventually(LIMIT, jobs).await, "{:?}", stage.jobs().await);

        let held = held(&stage).await;
        let is_whole = held == passages(&before) || held == passages(&after);
        assert!(is_whole, "killed after {wait_ms} ms: {held:?}");
        stage.upsert(json!({})).await.expect(200);
        assert_eq!(self::held(&stage).await, passages(&after));
    }
    assert_eq!(stage.empty().await, 6, "chunks were doubled or orphaned");
}
