//! Upserts of vector stores: order, limits, panics and cancellation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{FutureExt, LocalBoxFuture};
use parlor_actors::{
    PendingUpsert, Progress, UpsertHandle, UpsertLimits, UpsertPermit, UpsertRunner,
};
use parlor_schemas::{ErrorCode, Fault, UpsertProgress, UpsertReply, UpsertState};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the upserts of a test saw of each other.
#[derive(Default)]
struct Floor {
    log: Mutex<Vec<String>>,
    n_running: AtomicUsize,
    n_most: AtomicUsize,
    go_on: Notify,
}

enum Script {
    Finish,
    UntilToldSo,
    UntilCancelled,
    Never,
    Panic,
}

struct Scripted {
    name: &'static str,
    script: Script,
    floor: Arc<Floor>,
}

impl UpsertRunner for Scripted {
    fn run(
        self: Box<Self>,
        progress: Progress,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<UpsertReply, Fault>> {
        async move {
            let note = |what: &str| {
                self.floor.log.lock().unwrap().push(format!("{} {what}", self.name));
            };
            let n_running = self.floor.n_running.fetch_add(1, Ordering::SeqCst) + 1;
            self.floor.n_most.fetch_max(n_running, Ordering::SeqCst);
            note("begins");
            progress.report(UpsertProgress { files: 1, chunks: 2, ..UpsertProgress::default() });
            match self.script {
                Script::Finish => tokio::task::yield_now().await,
                Script::UntilToldSo => self.floor.go_on.notified().await,
                Script::UntilCancelled => cancel.cancelled().await,
                Script::Never => futures::future::pending().await,
                Script::Panic => panic!("scripted"),
            }
            self.floor.n_running.fetch_sub(1, Ordering::SeqCst);
            note("ends");
            Ok(UpsertReply { num_added: 2, ..UpsertReply::default() })
        }
        .boxed_local()
    }
}

struct Test {
    handle: UpsertHandle,
    permit: UpsertPermit,
    floor: Arc<Floor>,
}

impl Test {
    fn upsert(&self, store: &str, name: &'static str, script: Script) -> PendingUpsert {
        let runner = Box::new(Scripted { name, script, floor: self.floor.clone() });
        self.handle.upsert(&self.permit, store.into(), runner).unwrap()
    }

    fn log(&self) -> Vec<String> {
        self.floor.log.lock().unwrap().clone()
    }
}

/// Resolves when the upsert has said something of itself.
async fn begun(upsert: &PendingUpsert) {
    upsert.progress().wait_for(|progress| progress.files > 0).await.unwrap();
}

fn run<F: Future<Output = ()>>(limits: UpsertLimits, test: impl FnOnce(Test) -> F) {
    actix::System::new().block_on(async {
        let handle = UpsertHandle::start(limits).await;
        let permit = handle.admit().ok().unwrap();
        test(Test { handle: handle.clone(), permit, floor: Arc::default() }).await;
        handle.stop();
    });
}

fn code(result: Result<UpsertReply, Fault>) -> ErrorCode {
    result.unwrap_err().code
}

#[test]
fn upserts_of_one_store_run_one_after_the_other_in_order() {
    run(UpsertLimits { max_running: 8, ..UpsertLimits::default() }, |test| async move {
        let pending = ["a", "b", "c"].map(|name| test.upsert("store", name, Script::Finish));
        for upsert in pending {
            assert_eq!(upsert.await.unwrap().num_added, 2);
        }
        let expected = ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"];
        assert_eq!(test.log(), expected);
    });
}

#[test]
fn different_stores_run_beside_each_other_up_to_the_limit_of_the_server() {
    run(UpsertLimits { max_running: 2, ..UpsertLimits::default() }, |test| async move {
        let [a, b] = ["a", "b"].map(|store| test.upsert(store, store, Script::UntilToldSo));
        begun(&a).await;
        begun(&b).await;
        let third = test.upsert("c", "c", Script::Finish);
        assert_eq!(third.progress().borrow().state, UpsertState::Waiting);
        test.floor.go_on.notify_one();
        assert!(third.await.is_ok());
        test.floor.go_on.notify_one();
        assert!(a.await.is_ok() && b.await.is_ok());
        assert_eq!(test.floor.n_most.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn stores_that_are_filled_are_shown_with_what_waits_for_them() {
    run(UpsertLimits { max_running: 1, ..UpsertLimits::default() }, |test| async move {
        let first = test.upsert("one", "a", Script::UntilToldSo);
        begun(&first).await;
        let second = test.upsert("one", "b", Script::Finish);
        let other = test.upsert("other", "c", Script::Finish);
        let shown = test.handle.describe(100).await;
        let shown: Vec<_> = shown.iter().map(|busy| (&*busy.what, busy.n_pending)).collect();
        assert_eq!(shown, [("one", 2), ("other", 1)]);
        assert_eq!(test.handle.describe(1).await.len(), 1);
        assert_eq!(test.handle.load().n_running, 1);
        test.floor.go_on.notify_one();
        assert!(first.await.is_ok() && second.await.is_ok() && other.await.is_ok());
        assert_eq!(test.handle.describe(100).await, []);
    });
}

#[test]
fn a_full_queue_of_a_store_is_a_limit_and_a_full_house_an_overload() {
    let limits = UpsertLimits { max_store_queue: 1, max_upserts: 2, ..UpsertLimits::default() };
    run(limits, |test| async move {
        let first = test.upsert("store", "a", Script::UntilToldSo);
        begun(&first).await;
        let waiting = test.upsert("store", "b", Script::Finish);
        let refused = test.upsert("store", "c", Script::Finish).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::LimitExceeded);
        assert!(refused.retry_after_s.is_some());
        assert!(test.upsert("another", "d", Script::Finish).await.is_ok());

        let second = test.handle.admit().ok().unwrap();
        let refused = test.handle.admit().err().unwrap();
        assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::Overloaded, Some(5)));
        drop(second);
        assert!(test.handle.admit().is_ok());

        test.floor.go_on.notify_one();
        assert!(first.await.is_ok() && waiting.await.is_ok());
    });
}

#[test]
fn a_panic_is_an_error_of_one_upsert_and_the_next_one_runs() {
    run(UpsertLimits::default(), |test| async move {
        let [a, b] =
            [test.upsert("store", "a", Script::Panic), test.upsert("store", "b", Script::Finish)];
        assert_eq!(code(a.await), ErrorCode::Internal);
        assert!(b.await.is_ok());
        for _ in 0..4 {
            assert_eq!(code(test.upsert("store", "c", Script::Panic).await), ErrorCode::Internal);
        }
        let paused = test.upsert("store", "d", Script::Finish).await.unwrap_err();
        assert_eq!(paused.code, ErrorCode::Overloaded);
        assert!(test.upsert("another", "e", Script::Finish).await.is_ok());
    });
}

#[test]
fn who_leaves_cancels_their_upsert_and_frees_its_place() {
    let limits = UpsertLimits { max_store_queue: 1, ..UpsertLimits::default() };
    run(limits, |test| async move {
        let first = test.upsert("store", "a", Script::UntilCancelled);
        begun(&first).await;
        let waiting = test.upsert("store", "b", Script::Finish);
        drop(waiting);
        let third = test.upsert("store", "c", Script::Finish);
        drop(first);
        assert!(third.await.is_ok());
        assert_eq!(test.log(), ["a begins", "a ends", "c begins", "c ends"]);
    });
}

#[test]
fn an_upsert_that_does_not_stop_when_it_is_told_to_is_dropped() {
    let limits = UpsertLimits { grace: Duration::ZERO, ..UpsertLimits::default() };
    run(limits, |test| async move {
        let first = test.upsert("store", "a", Script::Never);
        begun(&first).await;
        first.cancel();
        assert_eq!(code(first.await), ErrorCode::Cancelled);
        assert!(test.upsert("store", "b", Script::Finish).await.is_ok());
    });
}

#[test]
fn progress_can_be_watched_while_it_runs() {
    run(UpsertLimits::default(), |test| async move {
        let upsert = test.upsert("store", "a", Script::UntilToldSo);
        begun(&upsert).await;
        let seen = *upsert.progress().borrow();
        assert_eq!((seen.state, seen.chunks), (UpsertState::Running, 2));
        test.floor.go_on.notify_one();
        assert!(upsert.await.is_ok());
    });
}

#[test]
fn the_actor_of_an_idle_store_stops_and_the_next_upsert_starts_it_again() {
    let limits = UpsertLimits { idle_after: Duration::from_millis(4), ..UpsertLimits::default() };
    run(limits, |test| async move {
        assert!(test.upsert("store", "a", Script::Finish).await.is_ok());
        let emptied = async {
            while test.handle.count_stores().await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), emptied).await.expect("the actor stops");
        assert!(test.upsert("store", "b", Script::Finish).await.is_ok());
    });
}
