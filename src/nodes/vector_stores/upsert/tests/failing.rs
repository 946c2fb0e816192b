use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Bench, bare, counts, flow_with};
use crate::error::NodeError;
use crate::retrieval::fakes::{
    FakeIndex, FakeLoader, FakeRecords, IndexFaults, RecordFaults, fault,
};
use crate::retrieval::{Chunk, Cleanup, UpsertLedger};

const PATIENCE: Duration = Duration::from_secs(60);

const OLD: &[&str] = &["kept", "old"];
/// With one known chunk: three batches of new ones.
const NEW: &[&str] = &["kept", "n1", "n2", "n3", "n4", "n5"];
const N_BATCHES: usize = 3;

/// A store that holds the old version, on each kind of index, and its loader
/// that brings the new one.
async fn benches() -> Vec<(Bench, Arc<FakeLoader>)> {
    let mut benches = Vec::new();
    for index in [FakeIndex::atomic(), FakeIndex::default()] {
        let own = flow_with(OLD);
        let bench = Bench::on(index, &[&own]);
        bench.upsert().await;
        bench.embeddings.take_calls();
        own.bring("a.txt", NEW);
        benches.push((bench, own));
    }
    benches
}

/// The upsert fails, nothing has changed, and the next one succeeds.
async fn fails_and_recovers(bench: &Bench, part: &str) {
    let error = bench.try_upsert().await.unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    assert_eq!(bench.index.texts(), OLD, "the old version is intact: {error}");
    assert_eq!(bench.ledger.n_announced(), 0);

    bench.index.failing(IndexFaults::default());
    bench.embeddings.spoiling(|_, _| Ok(()));
    let report = bench.upsert().await;
    assert_eq!(counts(&report), [5, 0, 1, 1]);
    assert_eq!(bench.index.texts(), NEW);
}

#[tokio::test]
async fn a_provider_that_fails_at_any_batch_leaves_the_old_version() {
    for bad in 0..N_BATCHES {
        for (bench, _) in benches().await {
            bench.embeddings.spoiling(move |call, _| match call == bad {
                true => Err(fault("embed")),
                false => Ok(()),
            });
            fails_and_recovers(&bench, "Fake failed: embed").await;
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_at_any_batch_or_at_the_commit_leaves_the_old_version() {
    for put in 0..N_BATCHES {
        for (bench, _) in benches().await {
            bench.index.failing(IndexFaults { put: Some(put), ..IndexFaults::default() });
            fails_and_recovers(&bench, "Fake failed: put").await;
        }
    }
    for (bench, _) in benches().await {
        if bench.index.is_atomic() {
            bench.index.failing(IndexFaults { commit: true, ..IndexFaults::default() });
            fails_and_recovers(&bench, "Fake failed: commit").await;
        }
    }
}

#[tokio::test]
async fn what_is_stale_goes_when_the_new_version_is_settled_and_is_tried_again() {
    let half = IndexFaults { half_commit: true, ..IndexFaults::default() };
    let none = IndexFaults { commit: true, ..IndexFaults::default() };
    for faults in [half, none] {
        let own = flow_with(&["kept", "old", "older"]);
        let bench = Bench::new(&[&own]);
        bench.upsert().await;
        own.bring("a.txt", NEW);
        bench.index.failing(faults);

        bench.try_upsert().await.unwrap_err();
        let there = bench.index.texts();
        assert!(NEW.iter().all(|text| there.iter().any(|found| found == text)), "{there:?}");
        assert_eq!(bench.ledger.n_announced(), 0, "nothing of it may be taken out");

        bench.index.failing(IndexFaults::default());
        let report = bench.upsert().await;
        assert_eq!(counts(&report), [0, 0, 6, 2], "the ledger still knew what is stale");
        assert_eq!(bench.index.texts(), NEW);
    }
}

#[tokio::test]
async fn a_ledger_or_records_that_fail_at_any_point_leave_one_whole_version() {
    let update = RecordFaults { update: true, ..RecordFaults::default() };
    let delete = RecordFaults { delete: true, ..RecordFaults::default() };
    for (faults, is_settled, expected) in
        [(update, true, OLD), (delete, true, NEW), (RecordFaults::default(), false, OLD)]
    {
        let own = flow_with(OLD);
        let records = Arc::new(FakeRecords::with(Cleanup::Full));
        let bench = Bench::new(&[&own]).recording(records.clone());
        bench.upsert().await;
        own.bring("a.txt", NEW);
        records.failing(faults);
        bench.ledger.failing(!is_settled);

        bench.try_upsert().await.unwrap_err();
        assert_eq!(bench.index.texts(), expected);

        records.failing(RecordFaults::default());
        bench.ledger.failing(false);
        let report = bench.upsert().await;
        assert_eq!(bench.index.texts(), NEW);
        assert_eq!(report.total_keys, NEW.len());
        assert_eq!(bench.ledger.n_announced(), 0);
    }
}

#[tokio::test]
async fn vectors_that_cannot_be_used_are_refused_with_what_is_wrong() {
    type Spoil = fn(usize, &mut Vec<Vec<f32>>);
    let spoils: [(Spoil, &str); 5] = [
        (|_, vectors| _ = vectors.pop(), "sent 1 vectors for 2 texts"),
        (|_, vectors| vectors[0][1] = f32::NAN, "holds no finite numbers"),
        (|_, vectors| vectors[0].clear(), "an empty vector"),
        (|call, vectors| vectors.iter_mut().for_each(|v| v.truncate(3 - call)), "3 and of 2"),
        (
            |_, vectors| vectors.iter_mut().for_each(|v| v.push(0.0)),
            "holds vectors of 3 dimensions, not of 4",
        ),
    ];
    for (spoil, part) in spoils {
        for (bench, _) in benches().await {
            bench.embeddings.spoiling(move |call, vectors| {
                spoil(call, vectors);
                Ok(())
            });
            fails_and_recovers(&bench, part).await;
        }
    }
}

#[tokio::test]
async fn a_caller_who_leaves_ends_it_like_an_error() {
    for (bench, _) in benches().await {
        // The first batch may be written; the caller leaves while the second waits.
        let gate = Arc::new(Semaphore::new(1));
        bench.index.behind(gate.clone());
        let cancel = bench.ctx.cancel.clone();
        bench.embeddings.spoiling(move |call, _| {
            if call == 2 {
                cancel.cancel();
            }
            Ok(())
        });

        let error = bench.try_upsert().await.unwrap_err();

        assert!(matches!(error, NodeError::Cancelled), "{error}");
        assert_eq!(bench.index.texts(), OLD);
        assert_eq!(bench.ledger.n_announced(), 0, "taken out although the caller left");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_out_now_is_taken_out_by_the_next_upsert() {
    let own = flow_with(OLD);
    let bench = Bench::new(&[&own]);
    bench.upsert().await;
    own.bring("a.txt", NEW);
    bench.index.failing(IndexFaults { put: Some(1), delete: true, ..IndexFaults::default() });

    bench.try_upsert().await.unwrap_err();
    assert!(bench.index.texts().len() > OLD.len() && bench.ledger.n_announced() == 5);

    bench.index.failing(IndexFaults::default());
    own.bring("a.txt", OLD);
    bench.upsert().await;
    assert_eq!(bench.index.texts(), OLD);
    assert_eq!(bench.ledger.n_announced(), 0);
}

#[tokio::test]
async fn after_a_crash_what_was_announced_is_taken_out_unless_it_is_settled() {
    let own = flow_with(&["mine"]);
    let bench = Bench::new(&[&own]);
    bench.upsert().await;
    let settled = bench.index.ids()[0];
    let left = Chunk { id: Uuid::from_u128(7), vector: vec![1.0; 3], document: bare("left") };
    bench.ledger.announce(&bench.identity(), &[left.id, settled]).await.unwrap();
    bench.index.sneak(left);

    assert_eq!(bench.store.recover(&bench.ctx).await.unwrap(), 1);

    assert_eq!(bench.index.texts(), ["mine"]);
    assert_eq!(bench.ledger.n_announced(), 0);
}

#[tokio::test]
async fn embedding_runs_ahead_of_a_slow_store_by_a_few_batches_only() {
    let texts: Vec<String> = (0..100).map(|n| format!("text {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let bench = Bench::new(&[&flow_with(&texts)]);
    let gate = Arc::new(Semaphore::new(0));
    bench.index.behind(gate.clone());
    let upsert = bench.upsert();
    let mut upsert = std::pin::pin!(upsert);

    for n_written in 0..3 {
        // One is being written, one waits, one more was sent for, four are in flight.
        let expected = if n_written == 0 { 2..=7 } else { 0..=1 };
        let mut n_calls = 0;
        // What is cut and hashed in other threads comes when it is done.
        let begun = async {
            while n_calls < *expected.start() {
                assert!(futures::poll!(upsert.as_mut()).is_pending());
                n_calls += bench.embeddings.take_calls();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.expect("embedding begins");
        for _ in 0..20 {
            assert!(futures::poll!(upsert.as_mut()).is_pending());
        }
        n_calls += bench.embeddings.take_calls();
        assert!(expected.contains(&n_calls), "{n_calls} after {n_written}");
        gate.add_permits(1);
    }
    gate.add_permits(100);
    assert_eq!(upsert.await.num_added, 100);
}
