//! Jobs, history and chunks of upserts.

use parlor_schemas::{
    ChatId, ChatflowId, Repetition, Timestamp, UpsertJob, UpsertProgress, UpsertRecord, UpsertState,
};
use serde_json::{Map, json};
use uuid::Uuid;

use super::super::{Claim, Order, RowPageQuery, Store};
use super::{open, open_in};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn all() -> RowPageQuery {
    RowPageQuery { limit: usize::MAX, ..RowPageQuery::default() }
}

fn job(flow: ChatflowId, time: i64) -> UpsertJob {
    UpsertJob {
        id: Uuid::new_v4(),
        chatflow_id: flow,
        chat_id: ChatId::random(),
        stop_node_ids: vec!["store_0".into()],
        progress: UpsertProgress::default(),
        result: None,
        error: None,
        repetition: None,
        created_date: at(time),
        finished_date: None,
    }
}

fn keyed(key: u128, body: &str, time: i64) -> UpsertJob {
    let repetition = Some(Repetition { key: Uuid::from_u128(key), body: body.into() });
    UpsertJob { repetition, ..job(ChatflowId::from_bytes([1; 16]), time) }
}

fn ended(mut job: UpsertJob, state: UpsertState) -> UpsertJob {
    job.progress.state = state;
    job
}

/// Claims, and says what came of it: `new`, `taken`, or the id of the other.
async fn claim(store: &Store, job: &UpsertJob) -> String {
    match store.upsert_jobs().claim(job.clone(), job.created_date).await.unwrap() {
        Claim::New => "new".into(),
        Claim::KeyTaken => "taken".into(),
        Claim::Repeated(first) => first.id.to_string(),
    }
}

#[tokio::test]
async fn a_key_has_one_job_for_a_day_and_only_for_the_same_body() {
    let (_folder, store) = open();
    let first = keyed(1, "body", 0);
    assert_eq!(claim(&store, &first).await, "new");
    assert_eq!(claim(&store, &keyed(1, "body", 5)).await, first.id.to_string());
    assert_eq!(claim(&store, &keyed(1, "other", 5)).await, "taken");
    assert_eq!(claim(&store, &keyed(2, "other", 5)).await, "new");
    store.upsert_jobs().update(ended(first.clone(), UpsertState::Done)).await.unwrap();
    assert_eq!(claim(&store, &keyed(1, "body", DAY_MS - 1)).await, first.id.to_string());
    assert_eq!(claim(&store, &keyed(1, "body", DAY_MS)).await, "new");
    assert_eq!(claim(&store, &keyed(1, "body", DAY_MS)).await.len(), 36);
    assert!(store.history().verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn what_failed_runs_again_when_it_is_sent_again() {
    let (_folder, store) = open();
    for state in [UpsertState::Failed, UpsertState::Cancelled, UpsertState::Interrupted] {
        let failed = keyed(1, "body", 0);
        assert_eq!(claim(&store, &failed).await, "new", "after {state:?}");
        store.upsert_jobs().update(ended(failed.clone(), state)).await.unwrap();
        assert!(store.upsert_jobs().of_key(Uuid::from_u128(1), at(1)).unwrap().is_none());
        assert_eq!(store.upsert_jobs().get(failed.id).unwrap().unwrap().progress.state, state);
    }
    assert!(store.history().verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn jobs_that_ran_when_the_server_stopped_are_marked_at_the_next_start() {
    let (folder, store) = open();
    let flow = ChatflowId::random();
    let jobs = [job(flow, 1), job(ChatflowId::random(), 2), job(flow, 3)];
    for job in &jobs {
        assert_eq!(claim(&store, job).await, "new");
    }
    store.upsert_jobs().update(ended(jobs[2].clone(), UpsertState::Done)).await.unwrap();
    store.close();
    drop(store);
    let store = open_in(&folder);
    let found = store.upsert_jobs().interrupt(at(9)).await.unwrap();
    let ids: Vec<_> = found.iter().map(|job| job.id).collect();
    assert_eq!(ids, [jobs[0].id, jobs[1].id]);
    let first = store.upsert_jobs().get(jobs[0].id).unwrap().unwrap();
    assert_eq!(first.progress.state, UpsertState::Interrupted);
    assert!(first.error.is_some() && first.finished_date == Some(at(9)));
    assert!(store.upsert_jobs().interrupt(at(9)).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_jobs_of_a_chatflow_are_kept_and_neighbours_lose_none() {
    let (_folder, store) = open();
    let (flow, other) = (ChatflowId::random(), ChatflowId::random());
    store.upsert_jobs().claim(ended(job(other, 0), UpsertState::Done), at(0)).await.unwrap();
    for time in 0..503 {
        let job = ended(job(flow, time), UpsertState::Done);
        store.upsert_jobs().claim(job, at(time)).await.unwrap();
    }
    let kept = store.upsert_jobs().page(Some(flow), all()).await.unwrap().rows;
    assert_eq!((kept.len(), kept[0].created_date), (500, at(3)));
    assert_eq!(store.upsert_jobs().delete_chatflow(flow).await.unwrap(), 500);
    assert_eq!(store.upsert_jobs().page(Some(other), all()).await.unwrap().rows.len(), 1);
    assert!(store.upsert_jobs().page(None, all()).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn the_history_is_listed_by_chatflow_or_whole_and_deleted_by_exact_ids() {
    let (_folder, store) = open();
    let (flow, other) = (ChatflowId::random(), ChatflowId::random());
    let row = |flow, time| UpsertRecord {
        id: Uuid::new_v4(),
        chatflowid: flow,
        result: Map::from_iter([("numAdded".to_owned(), json!(3))]),
        flow_data: vec![json!({"id": "store_0", "paramValues": []})],
        date: at(time),
    };
    let rows = [row(flow, 1), row(other, 2), row(flow, 3)];
    for row in rows.clone() {
        store.upsert_history().put(row).await.unwrap();
    }
    let history = store.upsert_history();
    assert_eq!(history.page(None, all()).await.unwrap().rows, rows);
    let newest = RowPageQuery { order: Order::Descending, ..all() };
    let found = history.page(Some(flow), newest).await.unwrap().rows;
    assert_eq!(found, [rows[2].clone(), rows[0].clone()]);
    assert_eq!(history.delete(&[rows[0].id, Uuid::new_v4(), rows[0].id]).await.unwrap(), 1);
    assert_eq!(history.page(None, all()).await.unwrap().rows, rows[1..]);
    assert!(store.history().verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn chunks_are_found_by_store_and_origin_and_announced_ids_wait_to_be_settled() {
    let (folder, store) = open();
    let ids: Vec<Uuid> = (0..3_000).map(Uuid::from_u128).collect();
    let ledger = store.chunk_ledger().clone();
    ledger.announce("s1", &ids[..100]).await.unwrap();
    ledger.announce("s1", &ids[100..1_000]).await.unwrap();
    ledger.announce("s10", &ids[..1]).await.unwrap();
    drop((ledger, store));

    let store = open_in(&folder);
    let ledger = store.chunk_ledger();
    let mut announced = ledger.announced("s1").await.unwrap();
    announced.sort_unstable();
    assert_eq!(announced, ids[..1_000]);
    let entries = vec![("a".to_owned(), ids.clone()), ("b".to_owned(), ids[..2].to_vec())];
    ledger.settle("s1", entries).await.unwrap();
    assert!(ledger.announced("s1").await.unwrap().is_empty());
    assert_eq!(ledger.announced("s10").await.unwrap(), ids[..1]);
    assert_eq!(ledger.chunks("s1", "a").await.unwrap(), ids);
    assert!(ledger.chunks("s10", "a").await.unwrap().is_empty());
    let mut entries = ledger.entries("s1").await.unwrap();
    entries.sort_unstable();
    assert_eq!(entries, [("a".to_owned(), ids.clone()), ("b".to_owned(), ids[..2].to_vec())]);
    assert!(ledger.entries("s10").await.unwrap().is_empty());
    assert!(store.history().verify().await.unwrap().is_clean());

    ledger.settle("s1", vec![("a".to_owned(), Vec::new())]).await.unwrap();
    assert!(ledger.chunks("s1", "a").await.unwrap().is_empty());
    assert_eq!(ledger.chunks("s1", "b").await.unwrap(), ids[..2]);
    ledger.settle("s10", Vec::new()).await.unwrap();
    ledger.settle("s1", vec![("b".to_owned(), Vec::new())]).await.unwrap();
    assert_eq!(store.history().disk.tree("chunks").unwrap().len(), 0, "something is left");
}
