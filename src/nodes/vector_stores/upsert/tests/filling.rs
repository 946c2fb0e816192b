use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::Semaphore;

use super::{Bench, flow_with, store};
use crate::retrieval::Supply;
use crate::retrieval::fakes::{FakeIndex, FakeLoader, fault};
use crate::vector_stores::SearchKind;

fn filling(index: FakeIndex, texts: &[&str]) -> Bench {
    let mut bench = Bench::on(index, &[&flow_with(texts)]);
    bench.store.fills_itself = true;
    bench
}

async fn found(bench: &Bench, query: &str) -> Vec<String> {
    let hits = bench.store.hits(query, Some(1), &bench.ctx).await.unwrap();
    hits.into_iter().map(|hit| hit.document.page_content).collect()
}

#[tokio::test]
async fn a_store_fills_itself_once_before_its_first_searches() {
    let bench = filling(FakeIndex::atomic(), &["one", "three"]);
    let gate = Arc::new(Semaphore::new(0));
    bench.index.behind(gate.clone());

    let searches = join_all((0..5).map(|_| found(&bench, "three")));
    let (results, ()) = futures::future::join(searches, async { gate.add_permits(9) }).await;

    assert_eq!(results, vec![["three"]; 5]);
    assert_eq!(bench.embeddings.take_calls(), 1, "one fill for all");
}

#[tokio::test]
async fn a_store_that_only_searches_otherwise_loads_nothing_again() {
    let own = flow_with(&["one", "three"]);
    let mut bench = Bench::new(&[&own]);
    bench.store.fills_itself = true;
    found(&bench, "one").await;
    let n_loads = own.n_loads();

    let mut other = store(&bench.index, &bench.embeddings, &[&own]);
    other.fills_itself = true;
    // A clone of the pointer, as the shared plan's loader is.
    other.loaders = bench.store.loaders.clone();
    other.fill_with(&bench.store, &bench.ctx);
    bench.store = other;
    assert_eq!(found(&bench, "three").await, ["three"]);
    assert_eq!(own.n_loads(), n_loads);

    let mut foreign = store(&bench.index, &bench.embeddings, &[&flow_with(&["two"])]);
    foreign.fills_itself = true;
    foreign.fill_with(&bench.store, &bench.ctx);
    bench.store = foreign;
    assert_eq!(found(&bench, "two").await, ["two"], "other loaders are loaded");
}

#[tokio::test]
async fn a_store_that_was_filled_before_a_restart_embeds_nothing() {
    let own = flow_with(&["one", "three"]);
    let mut bench = Bench::new(&[&own]);
    bench.upsert().await;
    bench.embeddings.take_calls();
    bench.store = store(&bench.index, &bench.embeddings, &[&own]);
    bench.store.fills_itself = true;

    assert_eq!(found(&bench, "one").await, ["one"]);

    assert_eq!(bench.embeddings.take_calls(), 0);
}

#[tokio::test]
async fn a_store_that_fills_itself_forgets_loaders_that_were_removed_and_keeps_what_requests_brought()
 {
    let (one, two) = (flow_with(&["one"]), FakeLoader::of_chatflow("textFile_0"));
    two.bring("b.txt", &["three"]);
    let request = FakeLoader::of_request("report.pdf");
    request.bring("report.pdf", &["five"]);
    let mut bench = Bench::new(&[&one, &two, &request]);
    bench.upsert().await;

    for (loaders, left) in [(&[&one][..], &["five", "one"][..]), (&[], &["five"])] {
        bench.store = store(&bench.index, &bench.embeddings, loaders);
        bench.store.fills_itself = true;
        found(&bench, "x").await;
        assert_eq!(bench.index.texts(), left);
    }
    let brought = FakeLoader::of_request("plainText_0");
    let own = flow_with(&["one"]);
    bench.store = store(&bench.index, &bench.embeddings, &[&own]);
    bench.store.fills_itself = true;
    found(&bench, "x").await;
    brought.bring("x.txt", &["x"]);
    bench.store = store(&bench.index, &bench.embeddings, &[&brought]);
    bench.store.fills_itself = true;
    bench.upsert().await;
    assert_eq!(bench.index.texts(), ["five", "one", "x"], "the loader is there, changed for once");
}

#[tokio::test]
async fn a_fill_that_fails_is_told_and_tried_again() {
    let bench = filling(FakeIndex::atomic(), &["one"]);
    bench.embeddings.spoiling(|call, _| if call == 0 { Err(fault("embed")) } else { Ok(()) });

    let error = bench.store.hits("one", None, &bench.ctx).await.unwrap_err();
    assert_eq!(error.to_string(), "Fake failed: embed");

    assert_eq!(found(&bench, "one").await, ["one"]);
}

#[tokio::test]
async fn the_other_stores_are_filled_by_upserts_only() {
    let bench = Bench::new(&[&flow_with(&["one"])]);

    assert_eq!(found(&bench, "one").await, [""; 0]);
}

#[tokio::test]
async fn an_mmr_search_chooses_among_more_than_it_returns() {
    let mut bench = filling(FakeIndex::atomic(), &["aaaa", "aaab", "zzzzzzzzzzzzzzzz"]);
    bench.store.search.kind = SearchKind::Mmr { fetch_k: 3, lambda: 0.0 };

    let hits = bench.store.hits("aaaa", Some(2), &bench.ctx).await.unwrap();

    let texts: Vec<_> = hits.into_iter().map(|hit| hit.document.page_content).collect();
    assert_eq!(texts, ["aaaa", "zzzzzzzzzzzzzzzz"]);
}

#[tokio::test]
async fn what_is_found_for_a_question_is_no_other_questions_although_the_node_is_shared() {
    let finder = FakeLoader::of_nobody();
    finder.bring("a.txt", &["of the first"]);
    let mut bench = Bench::new(&[&finder]);
    bench.store.fills_itself = true;
    assert_eq!(found(&bench, "x").await, ["of the first"]);

    finder.bring("a.txt", &["of the second"]);

    assert_eq!(found(&bench, "x").await, ["of the second"]);
    assert!(bench.index.ids().is_empty());
}

#[tokio::test]
async fn what_a_request_brings_is_found_by_it_alone_and_kept_by_nobody() {
    let brought = FakeLoader::of_request("plainText_0");
    brought.bring("secret.txt", &["one", "three"]);
    let mut bench = Bench::new(&[&brought]);
    bench.store.fills_itself = true;

    assert_eq!(found(&bench, "three").await, ["three"]);
    assert_eq!(found(&bench, "one").await, ["one"]);

    assert_eq!(bench.embeddings.take_calls(), 1, "once for the request");
    assert!(bench.index.ids().is_empty());
}

#[tokio::test]
async fn a_request_needs_files_for_one_of_the_loaders_and_they_are_found_by_later_questions() {
    let empty = FakeLoader::of_chatflow("empty_0").supplied(Supply::Nowhere);
    let mut bench = Bench::on(FakeIndex::atomic(), &[&empty]);
    bench.store.fills_itself = true;
    let error = bench.store.hits("one", Some(1), &bench.ctx).await.unwrap_err();
    assert_eq!(error.to_string(), "it holds no file");

    let brought = FakeLoader::of_request("a.txt").supplied(Supply::Request);
    brought.bring("a.txt", &["one"]);
    let own = bench.store.loaders.clone();
    bench.store.loaders.push(brought);
    assert_eq!(bench.upsert().await.num_added, 1);
    bench.store.loaders = own;

    assert_eq!(found(&bench, "one").await, ["one"]);
    let error = bench.try_upsert().await.unwrap_err();
    assert_eq!(error.to_string(), "it holds no file", "an upsert needs something to write");
}
