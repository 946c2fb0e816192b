//! Jobs over a real store, with runners that tests script.

use std::sync::Arc;

use futures::future::{FutureExt, LocalBoxFuture};
use parlor_actors::{Progress, UpsertRunner};
use parlor_schemas::{Chatflow, ErrorCode, UpsertReply, UpsertState};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::store::{RowPageQuery, StoreOptions};

/// A limit, and no guess at a duration.
const PATIENCE: Duration = Duration::from_secs(60);

enum Script {
    Finish,
    UntilTold(Arc<Notify>),
    UntilCancelled,
    Fail,
}

struct Scripted(Script);

impl UpsertRunner for Scripted {
    fn run(
        self: Box<Self>,
        progress: Progress,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<UpsertReply, Fault>> {
        async move {
            let counts = UpsertProgress { files: 1, chunks: 2, written: 2, ..Default::default() };
            progress.report(counts);
            match self.0 {
                Script::Finish => {}
                Script::UntilTold(told) => told.notified().await,
                Script::UntilCancelled => {
                    cancel.cancelled().await;
                    return Err(upsert_stopped());
                }
                Script::Fail => return Err(Fault::new(ErrorCode::UpstreamFailed, "no vectors")),
            }
            let added_docs = vec![json!({"pageContent": "x", "metadata": {}})];
            Ok(UpsertReply { num_added: 2, total_keys: 2, added_docs, ..UpsertReply::default() })
        }
        .boxed_local()
    }
}

struct Test {
    _folder: TempDir,
    store: Arc<Store>,
    upserts: Upserts,
    flow: ChatflowId,
}

impl Test {
    fn job(&self, scripts: impl IntoIterator<Item = Script>) -> NewJob {
        let step = |(at, script)| StoreStep {
            node_id: format!("store_{at}"),
            flow_data: vec![json!({"id": format!("store_{at}")})],
            store: "store".into(),
            runner: Box::new(Scripted(script)),
        };
        NewJob {
            chatflow: self.flow,
            chat_id: ChatId::random(),
            steps: scripts.into_iter().enumerate().map(step).collect(),
            permit: self.upserts.handle().admit().ok().unwrap(),
            repetition: None,
            outlives_client: false,
            is_awaited: true,
            request: None,
        }
    }

    fn keyed(&self, body: &str, script: Script) -> NewJob {
        let repetition = Some(Repetition { key: Uuid::from_u128(1), body: body.into() });
        NewJob { repetition, outlives_client: true, ..self.job([script]) }
    }

    async fn running(&self, job: NewJob) -> RunningJob {
        match self.upserts.start(job).await.unwrap() {
            Started::Running(job) => job,
            Started::Over(job) => panic!("over already: {job:?}"),
        }
    }

    async fn history(&self) -> Vec<Value> {
        let all = RowPageQuery { limit: 100, ..RowPageQuery::default() };
        let page = self.store.upsert_history().page(Some(self.flow), all).await.unwrap();
        page.rows.iter().map(|row| json!([row.result, row.flow_data])).collect()
    }

    /// The job as it lies on the disk, once it is over.
    async fn over(&self, id: Uuid) -> UpsertJob {
        until(|| {
            let job = self.store.upsert_jobs().get(id).unwrap().unwrap();
            job.progress.state.is_over().then_some(job)
        })
        .await
    }
}

/// Looks again and again until there is something to see.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("it never came to pass")
}

fn chatflow(id: ChatflowId) -> Chatflow {
    let date = "1970-01-01T00:00:00.000Z";
    let row = json!({
        "id": id, "name": "flow", "flowData": "{}", "createdDate": date, "updatedDate": date,
    });
    serde_json::from_value(row).unwrap()
}

/// Runs a test inside an actix system with a new store.
fn run<F: Future<Output = ()>>(test: impl FnOnce(Test) -> F) {
    actix::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::default();
        let store = Arc::new(Store::open(&folder.path().join("data"), options).unwrap());
        let upserts = Upserts::start_actors(UpsertLimits::default(), store.clone()).await;
        let flow = ChatflowId::random();
        store.chatflows().put(&chatflow(flow)).unwrap();
        test(Test { _folder: folder, store, upserts, flow }).await;
    });
}

#[test]
fn the_stores_of_a_job_are_filled_in_order_and_each_has_a_row_in_the_history() {
    run(|test| async move {
        let mut job = test.running(test.job([Script::Finish, Script::Finish])).await;
        let answer = job.end().await.unwrap();
        assert_eq!(answer["numAdded"], 4);
        assert_eq!(answer["addedDocs"].as_array().unwrap().len(), 2);
        let row = |store: &str| json!([{"numAdded": 2}, [{"id": store}]]);
        let mut history = test.history().await;
        // Rows of one millisecond have no order.
        history.sort_by_key(Value::to_string);
        assert_eq!(history, [row("store_0"), row("store_1")]);
        let stored = test.over(job.row().id).await;
        assert_eq!(stored.progress.state, UpsertState::Done);
        assert_eq!((stored.progress.files, stored.progress.written), (2, 4));
        // Nobody can ask for the documents again, so they are not kept.
        let expected = json!({"numAdded": 4, "addedDocs": [], "addedDocsOmitted": 2});
        assert_eq!(json!(stored.result), expected);
    });
}

#[test]
fn what_fails_says_why_and_has_no_row_in_the_history() {
    run(|test| async move {
        let mut job = test.running(test.job([Script::Fail, Script::Finish])).await;
        let fault = job.end().await.unwrap_err();
        assert_eq!(fault.code, ErrorCode::UpstreamFailed);
        let stored = test.over(job.row().id).await;
        assert_eq!(stored.progress.state, UpsertState::Failed);
        assert_eq!(stored.error.unwrap().message, "no vectors");
        assert!(test.history().await.is_empty());
    });
}

#[test]
fn a_client_that_leaves_stops_its_job_unless_it_outlives_it() {
    run(|test| async move {
        let job = test.running(test.job([Script::UntilCancelled])).await;
        let id = job.row().id;
        drop(job);
        assert_eq!(test.over(id).await.progress.state, UpsertState::Cancelled);

        let told = Arc::new(Notify::new());
        let script = Script::UntilTold(told.clone());
        let job = NewJob { outlives_client: true, ..test.job([script]) };
        let job = test.running(job).await;
        let id = job.row().id;
        drop(job);
        told.notify_one();
        let stored = test.over(id).await;
        assert_eq!(stored.progress.state, UpsertState::Done);
        assert_eq!(stored.result.unwrap()["addedDocs"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_repetition_joins_the_first_while_it_runs_and_gets_its_answer_afterwards() {
    run(|test| async move {
        let told = Arc::new(Notify::new());
        let script = Script::UntilTold(told.clone());
        let mut first = test.running(test.keyed("body", script)).await;
        let mut second = test.running(test.keyed("body", Script::Fail)).await;
        assert_eq!(second.row().id, first.row().id);
        let other = test.upserts.start(test.keyed("other", Script::Finish)).await;
        assert_eq!(other.err().unwrap().code, ErrorCode::KeyReused);
        told.notify_one();
        let answer = first.end().await.unwrap();
        assert_eq!(second.end().await.unwrap(), answer);
        test.over(first.row().id).await;
        until(|| test.upserts.inner.live().is_empty().then_some(())).await;
        let Started::Over(third) =
            test.upserts.start(test.keyed("body", Script::Fail)).await.unwrap()
        else {
            panic!("it ran again")
        };
        assert_eq!(third.result.as_ref(), Some(&*answer));
        assert_eq!(test.history().await.len(), 1);
    });
}

#[test]
fn a_job_is_seen_while_it_runs_and_can_be_stopped() {
    run(|test| async move {
        let job = NewJob { outlives_client: true, ..test.job([Script::UntilCancelled]) };
        let mut job = test.running(job).await;
        let reports = async {
            while job.now().progress.files == 0 {
                job.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, reports).await.expect("a report of progress");
        let seen = test.upserts.get(job.row().id).unwrap().unwrap();
        assert_eq!((seen.progress.state, seen.progress.chunks), (UpsertState::Running, 2));
        assert!(test.upserts.cancel(job.row().id).await);
        assert_eq!(job.end().await.unwrap_err().code, ErrorCode::Cancelled);
        assert!(!test.upserts.cancel(Uuid::new_v4()).await);
    });
}

#[test]
fn a_server_that_stops_leaves_its_jobs_interrupted() {
    run(|test| async move {
        let job = NewJob { outlives_client: true, ..test.job([Script::UntilCancelled]) };
        let job = test.running(job).await;
        test.upserts.stop().await;
        let stored = test.store.upsert_jobs().get(job.row().id).unwrap().unwrap();
        assert_eq!(stored.progress.state, UpsertState::Interrupted);
        assert!(stored.error.unwrap().message.contains("send it again"));
    });
}

#[test]
fn a_server_that_leaves_waits_for_its_jobs_and_counts_how_they_ended() {
    run(|test| async move {
        let told = Arc::new(Notify::new());
        let job = NewJob { outlives_client: true, ..test.job([Script::UntilTold(told.clone())]) };
        let id = test.running(job).await.row().id;
        let mut finished = Box::pin(test.upserts.finished());
        assert!(finished.as_mut().now_or_never().is_none(), "the job still runs");
        told.notify_one();
        finished.await;
        assert_eq!(test.over(id).await.progress.state, UpsertState::Done);
        let mut failing = test.running(test.job([Script::Fail])).await;
        failing.end().await.unwrap_err();
        let ended: Vec<_> = test.upserts.ended().collect();
        assert_eq!(ended, [("done", 1), ("failed", 1), ("cancelled", 0)]);
    });
}

#[test]
fn a_job_that_waits_for_another_of_its_store_is_over_as_soon_as_it_is_stopped() {
    run(|test| async move {
        let told = Arc::new(Notify::new());
        let mut first = test.running(test.job([Script::UntilTold(told.clone())])).await;
        while first.now().progress.files == 0 {
            first.changed().await;
        }
        let mut second = test.running(test.job([Script::Finish])).await;
        assert!(test.upserts.cancel(second.row().id).await);
        // The first one still runs: nobody had to wait for it.
        assert!(first.now().end.is_none());
        assert_eq!(second.end().await.unwrap_err().code, ErrorCode::Cancelled);
        let stored = test.store.upsert_jobs().get(second.row().id).unwrap().unwrap();
        assert_eq!(stored.progress.state, UpsertState::Cancelled);
        while test.upserts.handle().load().n_waiting > 0 {
            tokio::task::yield_now().await;
        }
        told.notify_one();
        first.end().await.unwrap();
    });
}

#[test]
fn no_job_begins_for_a_chatflow_that_was_deleted_after_it_was_read() {
    run(|test| async move {
        let job = test.job([Script::Finish]);
        test.store.chatflows().delete(test.flow).unwrap();
        let refused = test.upserts.start(job).await.err().unwrap();
        assert_eq!(refused.code, ErrorCode::NotFound);
        assert!(test.upserts.inner.live().is_empty() && test.history().await.is_empty());
    });
}

#[test]
fn a_server_whose_time_is_over_stops_its_jobs_as_interrupted_without_waiting() {
    run(|test| async move {
        let mut job = test.running(test.job([Script::UntilCancelled])).await;
        test.upserts.cut_off();
        assert_eq!(job.end().await.unwrap_err().code, ErrorCode::Cancelled);
        let stored = test.store.upsert_jobs().get(job.row().id).unwrap().unwrap();
        assert_eq!(stored.progress.state, UpsertState::Interrupted);
    });
}

#[test]
fn documents_are_measured_to_the_byte() {
    let docs = [json!({"pageContent": "x\n"}), json!(7)];
    let n_bytes = json!(docs).to_string().len();
    assert!(drive::is_within(&docs, n_bytes));
    assert!(!drive::is_within(&docs, n_bytes - 1));
}

#[test]
fn a_server_that_stops_gives_its_jobs_the_time_that_their_actors_and_the_service_files_do() {
    let limits = UpsertLimits::default();
    assert!(stop_time(&limits) > limits.grace);
    let unit = include_str!("../../deploy/systemd/parlor.service");
    let seconds = |name: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        Duration::from_secs(value.parse().unwrap())
    };
    let drain = seconds("Environment=PARLOR_DRAIN_S=");
    assert!(seconds("TimeoutStopSec=") >= drain + stop_time(&limits) + Duration::from_secs(10));
}
