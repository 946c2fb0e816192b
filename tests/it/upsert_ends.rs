//! How upserts end that nobody waits for, that a stopping server cuts off, and
//! that a crash ended: what their callers and the log are told, and what is
//! left in the store.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::scripted::Received;
use crate::support::server::run_command;
use crate::support::stores::StoreServer;
use crate::support::{Answer, Caller, Flow, Options, Parlor, Reply, eventually, http, sse};
use crate::upsert_goldens::{Stage, get_stuck, vectors};

const LIMIT: Duration = Duration::from_secs(20);

/// The recorded flow with one text a call.
fn one_a_call(flow: Flow) -> Flow {
    flow.with_input("openAIEmbeddings_0", "batchSize", json!("1"))
}

/// The recorded flow over a collection of a Qdrant server, point by point.
fn over_qdrant(flow: Flow, qdrant: &StoreServer) -> Flow {
    let mut flow = one_a_call(flow)
        .with_input("memoryVectorStore_0", "qdrantServerUrl", json!(qdrant.url()))
        .with_input("memoryVectorStore_0", "qdrantCollection", json!("papers"))
        .with_input("memoryVectorStore_0", "batchSize", json!("1"));
    flow.data("memoryVectorStore_0")["name"] = json!("qdrant");
    flow
}

async fn n_points(qdrant: &StoreServer) -> usize {
    let body = json!({"limit": 100, "with_payload": false, "with_vector": false});
    let path = "/collections/papers/points/scroll";
    let reply = Caller::new(qdrant.url()).post(path, &body).await;
    reply.json()["result"]["points"].as_array().map_or(0, Vec::len)
}

/// A server that was killed while an upsert had written a part of its points.
async fn killed_halfway(qdrant: &StoreServer) -> Stage {
    let change = |flow| over_qdrant(flow, qdrant);
    let mut stage = Stage::started(Parlor::start(), "c-retrievalqa", change).await;
    let left = get_stuck(&stage.model, 2);
    let caller = stage.server.anyone().with("prefer", "respond-async");
    caller.post(&stage.path(), &json!({})).await.expect(202);
    let is_half = || async { left.load(Ordering::SeqCst) == 0 && n_points(qdrant).await > 0 };
    assert!(eventually(LIMIT, is_half).await, "nothing was written");
    stage.server.kill9();
    stage
}

async fn is_tidied(stage: &Stage, qdrant: &StoreServer) {
    assert!(stage.wait_for_state("interrupted").await, "{:?}", stage.jobs().await);
    let is_empty = || async { n_points(qdrant).await == 0 };
    assert!(eventually(LIMIT, is_empty).await, "half an upsert stays searchable");
    assert!(stage.history().await.is_empty());
}

#[tokio::test]
async fn what_an_upsert_wrote_that_a_crash_ended_is_taken_out_before_any_other_comes() {
    let qdrant = StoreServer::qdrant();
    let mut stage = killed_halfway(&qdrant).await;
    stage.server = stage.server.restart();
    is_tidied(&stage, &qdrant).await;
    stage.model.answer(vectors);
    assert_eq!(stage.upsert(json!({})).await.expect(200).json()["numAdded"], 3);
    assert_eq!(n_points(&qdrant).await, 3);
}

#[tokio::test]
async fn a_command_between_the_crash_and_the_next_start_forgets_nothing() {
    let qdrant = StoreServer::qdrant();
    let mut stage = killed_halfway(&qdrant).await;
    let backup = tempfile::tempdir().unwrap();
    let made = stage.server.command(&["backup", backup.path().to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    stage.server = stage.server.restart();
    is_tidied(&stage, &qdrant).await;
}

/// An upsert in the background.
fn filling(stage: &Stage, caller: Caller) -> JoinHandle<Reply> {
    let path = stage.path();
    tokio::spawn(async move { http::read(caller.open_post(&path, &json!({})).await).await })
}

#[tokio::test]
async fn upserts_that_do_not_end_in_time_are_cut_off_and_their_callers_told_to_come_back() {
    let options = Options::default().args(&["--drain-s", "0"]).env("LOG_FORMAT", "json");
    let mut stage = Stage::started(Parlor::start_with(options), "c-retrievalqa", one_a_call).await;
    let left = get_stuck(&stage.model, 1);
    let stream = filling(&stage, stage.server.anyone().with("accept", "text/event-stream"));
    assert!(eventually(LIMIT, || async { left.load(Ordering::SeqCst) == 0 }).await);
    let whole = filling(&stage, stage.server.anyone());
    assert!(eventually(LIMIT, || async { stage.jobs().await.len() == 2 }).await);
    let status = stage.server.terminate().await;
    let events = stream.await.unwrap().expect(200).events();
    assert!(sse::outline(&events).ends_with(&["error", "end"]), "{events:?}");
    let told = sse::only(&events, "error").as_str().unwrap().to_owned();
    assert!(told.contains("the server stopped"), "{told}");
    let reply = whole.await.unwrap();
    assert!(reply.expect_error(503).contains("the server stopped"), "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert_eq!(status.code(), Some(0));
    // Both were waited for, also the one whose headers were long gone.
    let log = stage.server.log();
    let stopping = log.lines().find(|line| line.contains("stopping: no new")).expect("a farewell");
    let stopping: Value = serde_json::from_str(stopping).expect("JSON");
    assert_eq!(stopping["n_visits"], 2, "{stopping}");
    stage.server = stage.server.restart();
    let states: Vec<_> = stage.jobs().await.into_iter().map(|job| job["state"].clone()).collect();
    assert_eq!(states, ["interrupted", "interrupted"]);
}

fn refuse(_: &Received) -> Answer {
    Answer::Whole { status: 400, headers: Vec::new(), body: "{}".to_owned() }
}

#[tokio::test]
async fn an_upsert_that_fails_is_logged_with_its_request_however_it_was_asked_for() {
    let stage = Stage::started(Parlor::start(), "c-retrievalqa", |flow| flow).await;
    stage.model.answer(refuse);
    for (id, header, value) in [
        ("find-waiting", "accept", "application/json"),
        ("find-stream", "accept", "text/event-stream"),
        ("find-async", "prefer", "respond-async"),
    ] {
        let caller = stage.server.anyone().with("x-request-id", id).with(header, value);
        caller.post(&stage.path(), &json!({})).await;
        let lines = || stage.server.log().lines().filter(|line| line.contains(id)).count();
        assert!(eventually(LIMIT, || async { lines() > 0 }).await, "{id} is not in the log");
        assert_eq!(lines(), 1, "{}", stage.server.log());
    }
}

/// Runs the command on the stage's server, without blocking its model.
async fn upsert_files(stage: &Stage, folder: &Path, names: &[String], more: &[&str]) -> Output {
    let paths = names.iter().map(|name| folder.join(name).to_str().unwrap().to_owned());
    let mut args = vec!["upsert".to_owned(), stage.flow.clone()];
    args.extend(paths.chain(more.iter().map(|word| (*word).to_owned())));
    let folder = stage.server.folder();
    let run = move || run_command(&folder, &args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn notes(folder: &Path, n: usize) -> Vec<String> {
    let names: Vec<_> = (0..n).map(|n| format!("note-{n}.txt")).collect();
    names
        .iter()
        .for_each(|name| std::fs::write(folder.join(name), format!("About {name}")).unwrap());
    names
}

#[tokio::test]
async fn files_in_parts_are_not_sent_where_a_full_cleanup_would_keep_the_last_part_only() {
    let qdrant = StoreServer::qdrant();
    let with_records = |flow: Flow| {
        let mut flow = over_qdrant(flow, &qdrant).with_input(
            "memoryVectorStore_0",
            "recordManager",
            json!("{{sqliteRecordManager_0.data.instance}}"),
        );
        let records = json!({"id": "sqliteRecordManager_0", "data": {
            "id": "sqliteRecordManager_0", "label": "Records", "name": "SQLiteRecordManager",
            "category": "Record Manager", "inputs": {"cleanup": "full"}, "outputs": {},
        }});
        let edge = json!({
            "source": "sqliteRecordManager_0", "target": "memoryVectorStore_0",
            "sourceHandle": "sqliteRecordManager_0-output-x-RecordManager",
            "targetHandle": "memoryVectorStore_0-input-recordManager-RecordManager",
        });
        flow.0["nodes"].as_array_mut().unwrap().push(records);
        flow.0["edges"].as_array_mut().unwrap().push(edge);
        flow
    };
    let stage = Stage::started(Parlor::start(), "j-upsert", with_records).await;
    let folder = tempfile::tempdir().unwrap();
    let names = notes(folder.path(), 21);
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = upsert_files(&stage, folder.path(), &names, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("2 requests") && told(&output).contains("full"), "{output:?}");
    let mut missing = names[..2].to_vec();
    missing.push("missing.txt".to_owned());
    let output = upsert_files(&stage, folder.path(), &missing, &["--keep-going"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("cannot be read"), "{output:?}");
    assert!(stage.jobs().await.is_empty(), "something was sent");
    let output = upsert_files(&stage, folder.path(), &names[..20], &[]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(n_points(&qdrant).await, 20);
}

#[tokio::test]
async fn what_the_parts_before_a_failed_one_did_is_told_with_what_could_not_be_read() {
    let stage = Stage::started(Parlor::start(), "j-upsert", |flow| flow).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = answered.clone();
    stage.model.answer(move |request| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => vectors(request),
        _ => refuse(request),
    });
    let folder = tempfile::tempdir().unwrap();
    let mut names = notes(folder.path(), 21);
    names.push("missing.txt".to_owned());
    let output = upsert_files(&stage, folder.path(), &names, &["--json", "--keep-going"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["numAdded"], 20, "{told:#}");
    assert_eq!((&told["error"]["part"], &told["error"]["parts"]), (&json!(2), &json!(2)));
    assert!(told["failures"][0]["name"].as_str().unwrap().ends_with("missing.txt"), "{told:#}");
}
