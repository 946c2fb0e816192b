use std::sync::Arc;

use super::{Bench, bare, counts, flow_with};
use crate::retrieval::fakes::{FakeLoader, FakeRecords};
use crate::retrieval::{Cleanup, UpsertLedger};

/// What is in the store after two versions of two sources, of which the second
/// brings only one.
async fn after_two_versions(cleanup: Cleanup) -> (Vec<String>, [usize; 4], usize) {
    let (one, two) = (flow_with(&["kept", "old"]), FakeLoader::of_chatflow("textFile_0"));
    two.bring("b.txt", &["other"]);
    let bench = Bench::new(&[&one, &two]).recording(Arc::new(FakeRecords::with(cleanup)));
    assert_eq!(counts(&bench.upsert().await), [3, 0, 0, 0]);

    one.bring("a.txt", &["kept", "new"]);
    two.bring("b.txt", &[]);
    let report = bench.upsert().await;

    let ledger = bench.ledger.n_chunks(&bench.identity());
    assert_eq!(ledger, bench.index.ids().len(), "the ledger is in step");
    (bench.index.texts(), counts(&report), report.total_keys)
}

#[tokio::test]
async fn the_cleanup_mode_decides_what_is_taken_out() {
    let (texts, counts, total) = after_two_versions(Cleanup::None).await;
    assert_eq!(texts, ["kept", "new", "old", "other"]);
    assert_eq!((counts, total), ([1, 0, 1, 0], 4));

    let (texts, counts, total) = after_two_versions(Cleanup::Incremental).await;
    assert_eq!(texts, ["kept", "new", "other"]);
    assert_eq!((counts, total), ([1, 0, 1, 1], 3));

    let (texts, counts, total) = after_two_versions(Cleanup::Full).await;
    assert_eq!(texts, ["kept", "new"]);
    assert_eq!((counts, total), ([1, 0, 1, 2], 2));
}

#[tokio::test]
async fn an_incremental_cleanup_names_the_key_that_a_document_misses() {
    let own = flow_with(&["old"]);
    let records = Arc::new(FakeRecords::with(Cleanup::Incremental));
    let bench = Bench::new(&[&own]).recording(records);
    bench.upsert().await;
    own.bring_documents(vec![bare("new")]);

    let error = bench.try_upsert().await.unwrap_err();

    assert!(error.to_string().contains("has no \"source\" in its metadata"), "{error}");
    assert_eq!(bench.index.texts(), ["old"]);
}

#[tokio::test]
async fn the_namespace_ends_with_the_stores_name_and_the_answer_has_all_counts() {
    let records = Arc::new(FakeRecords::with(Cleanup::None));
    let bench = Bench::new(&[&flow_with(&["one"])]).recording(records.clone());

    let report = bench.upsert().await;

    assert_eq!(records.namespaces(), ["shop_fakeStore"]);
    assert_eq!(report.total_keys, 1);
    assert_eq!(report.added[0].page_content, "one");
}

#[tokio::test]
async fn an_emptied_store_is_filled_again_although_the_records_know_its_chunks() {
    let records = Arc::new(FakeRecords::with(Cleanup::Full));
    let bench = Bench::new(&[&flow_with(&["one", "two"])]).recording(records);
    bench.upsert().await;
    bench.index.wipe();

    let report = bench.upsert().await;

    assert_eq!(counts(&report), [0, 2, 0, 0]);
    assert_eq!(bench.index.texts(), ["one", "two"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_every_cleanup() {
    let own = flow_with(&["old"]);
    let bench = Bench::new(&[&own]).recording(Arc::new(FakeRecords::with(Cleanup::Full)));
    bench.upsert().await;
    own.bring("a.txt", &["new"]);
    own.fail("b.txt");

    let options = super::UpsertOptions { keep_going: true, ..Default::default() };
    let report = bench.store.upsert(options, &(), &bench.ctx).await.unwrap();

    assert_eq!(counts(&report), [1, 0, 0, 0]);
    assert_eq!(bench.index.texts(), ["new", "old"]);
    assert!(!bench.ledger.entries(&bench.identity()).await.unwrap().is_empty());
}
