mod failing;
mod filling;
mod removing;
mod with_records;

use std::sync::{Arc, Mutex};

use parlor_schemas::{ChatId, ChatflowId};
use serde_json::{Value, json};

use super::{UpsertCounts, UpsertOptions, UpsertReport, UpsertWatch};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::fakes::{
    FakeEmbeddings, FakeIndex, FakeLedger, FakeLoader, IndexFaults, with_ledger,
};
use crate::retrieval::{
    Document, DocumentLoader, LedgerEntry, Origin, RecordManager, UpsertLedger, VectorIndex,
};
use crate::test_support::TestTurn;
use crate::vector_stores::{SearchKind, SearchSettings, VectorStore};

/// A store with everything round it.
struct Bench {
    index: FakeIndex,
    embeddings: Arc<FakeEmbeddings>,
    ledger: Arc<FakeLedger>,
    ctx: TurnCtx,
    store: VectorStore,
}

impl Bench {
    /// A store on an index of one kind, embedding two texts at a time.
    fn on(index: FakeIndex, loaders: &[&Arc<FakeLoader>]) -> Self {
        let ledger = Arc::new(FakeLedger::default());
        let ctx = with_ledger(TestTurn::asking("q").ctx(), ledger.clone());
        let embeddings = FakeEmbeddings::of_model("model", 2);
        let store = store(&index, &embeddings, loaders);
        Self { index, embeddings, ledger, ctx, store }
    }

    fn new(loaders: &[&Arc<FakeLoader>]) -> Self {
        Self::on(FakeIndex::default(), loaders)
    }

    fn recording(mut self, records: Arc<impl RecordManager + 'static>) -> Self {
        self.store.records = Some(records);
        self
    }

    async fn try_upsert(&self) -> Result<UpsertReport, NodeError> {
        self.store.upsert(UpsertOptions::default(), &(), &self.ctx).await
    }

    async fn upsert(&self) -> UpsertReport {
        self.try_upsert().await.unwrap()
    }

    fn identity(&self) -> String {
        self.index.identity(&self.ctx)
    }
}

fn store(
    index: &FakeIndex,
    embeddings: &Arc<FakeEmbeddings>,
    loaders: &[&Arc<FakeLoader>],
) -> VectorStore {
    let loader = |loader: &&Arc<FakeLoader>| Arc::clone(*loader) as Arc<dyn DocumentLoader>;
    VectorStore {
        title: "Fake store (fake_0)".to_owned(),
        records_name: Some("fakeStore".to_owned()),
        index: Arc::new(index.clone()),
        embeddings: embeddings.clone(),
        loaders: loaders.iter().map(loader).collect(),
        records: None,
        search: SearchSettings { top_k: 4, kind: SearchKind::Similarity, filter: None },
        by_chat: false,
        fills_itself: false,
        filled: Arc::default(),
    }
}

/// The loaded texts, whatever they are, for stores that must not change.
fn flow_with(texts: &[&str]) -> Arc<FakeLoader> {
    let loader = FakeLoader::of_chatflow("plainText_0");
    loader.bring("a.txt", texts);
    loader
}

fn counts(report: &UpsertReport) -> [usize; 4] {
    [report.num_added, report.num_updated, report.num_skipped, report.num_deleted]
}

#[tokio::test]
async fn a_first_upsert_embeds_in_batches_and_answers_what_it_added() {
    let bench = Bench::new(&[&flow_with(&["one", "two", "three"])]);

    let report = bench.upsert().await;

    assert_eq!(counts(&report), [3, 0, 0, 0]);
    assert_eq!(bench.embeddings.take_calls(), 2);
    assert_eq!(bench.index.texts(), ["one", "three", "two"]);
    let first = serde_json::to_value(&report.added[0]).unwrap();
    assert_eq!(first, json!({"pageContent": "one", "metadata": {"source": "a.txt"}}));
    assert_eq!(bench.ledger.n_announced(), 0, "all is settled");
}

#[tokio::test]
async fn the_same_documents_again_cost_no_embedding() {
    let bench = Bench::new(&[&flow_with(&["one", "two", "three"])]);
    let first = bench.upsert().await;
    bench.embeddings.take_calls();

    let report = bench.upsert().await;

    assert_eq!(bench.embeddings.take_calls(), 0);
    assert_eq!(counts(&report), [0, 0, 3, 0]);
    assert_eq!(report.added, first.added, "without a record manager the answer names all");
}

#[tokio::test]
async fn blank_documents_are_left_out_and_equal_ones_are_written_once() {
    let bench = Bench::new(&[&flow_with(&["one", " \n\t", "", "one", "two"])]);

    let report = bench.upsert().await;

    assert_eq!(counts(&report), [2, 0, 0, 0]);
    assert_eq!(bench.index.texts(), ["one", "two"]);
    assert_eq!(bench.ledger.n_chunks(&bench.identity()), 2);
}

#[tokio::test]
async fn what_the_chatflow_holds_is_replaced_and_what_requests_bring_is_added() {
    for index in [FakeIndex::atomic(), FakeIndex::default()] {
        let own = flow_with(&["old", "kept"]);
        let request = FakeLoader::of_request("report.pdf");
        request.bring("report.pdf", &["first"]);
        let bench = Bench::on(index, &[&own, &request]);
        bench.upsert().await;

        own.bring("a.txt", &["kept", "new"]);
        request.bring("report.pdf", &["second"]);
        let report = bench.upsert().await;

        assert_eq!(bench.index.texts(), ["first", "kept", "new", "second"]);
        assert_eq!(counts(&report), [2, 0, 1, 1]);
    }
}

#[tokio::test]
async fn a_loader_that_has_become_empty_loses_its_chunks() {
    let own = flow_with(&["old"]);
    let bench = Bench::new(&[&own]);
    bench.upsert().await;

    own.bring("a.txt", &["  "]);
    let report = bench.upsert().await;

    assert_eq!(counts(&report), [0, 0, 0, 1]);
    assert_eq!(bench.index.texts(), [""; 0]);
}

#[tokio::test]
async fn a_stale_chunk_stays_while_another_origin_or_chatflow_has_it() {
    let (one, two) = (flow_with(&["shared", "mine"]), FakeLoader::of_chatflow("textFile_0"));
    two.bring("a.txt", &["shared"]);
    let mut bench = Bench::new(&[&one, &two]);
    bench.upsert().await;

    one.bring("a.txt", &["mine"]);
    assert_eq!(bench.upsert().await.num_deleted, 0, "the second loader brings it too");

    let first = bench.ctx.chatflow;
    bench.ctx.chatflow = ChatflowId::random();
    bench.upsert().await;
    bench.ctx.chatflow = first;
    for loader in [&one, &two] {
        loader.bring("a.txt", &[]);
    }
    assert_eq!(bench.upsert().await.num_deleted, 0, "the other chatflow has them");
    assert_eq!(bench.index.texts(), ["mine", "shared"]);
}

#[tokio::test]
async fn a_stale_chunk_stays_while_an_earlier_request_brought_it() {
    let (own, request) = (flow_with(&["shared"]), FakeLoader::of_request("a.txt"));
    request.bring("a.txt", &["shared"]);
    let bench = Bench::new(&[&own, &request]);
    bench.upsert().await;

    own.bring("a.txt", &["new"]);
    request.bring("a.txt", &["next"]);
    let report = bench.upsert().await;

    assert_eq!(counts(&report), [2, 0, 0, 0]);
    assert_eq!(bench.index.texts(), ["new", "next", "shared"]);
    assert_eq!(bench.ledger.n_chunks(&bench.identity()), 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_or_is_reported_and_deletes_nothing() {
    let own = flow_with(&["old"]);
    let bench = Bench::new(&[&own]);
    bench.upsert().await;
    own.bring("a.txt", &["new"]);
    own.fail("b.txt");

    let error = bench.try_upsert().await.unwrap_err();
    assert_eq!(error.to_string(), "b.txt is damaged");
    assert_eq!(bench.index.texts(), ["old"]);

    let options = UpsertOptions { keep_going: true, ..UpsertOptions::default() };
    let report = bench.store.upsert(options, &(), &bench.ctx).await.unwrap();
    assert_eq!(report.failures.len(), 1);
    assert_eq!(bench.index.texts(), ["new", "old"], "what is missing may be in the bad file");
}

#[tokio::test]
async fn with_file_uploads_a_chunk_belongs_to_the_chat_that_brought_it() {
    let mut bench = Bench::new(&[&flow_with(&["one"])]);
    bench.store.by_chat = true;

    let report = bench.upsert().await;

    let chat = bench.ctx.chat_id.as_str().to_owned();
    assert_eq!(report.added[0].metadata["flowise_chatId"], Value::from(chat));
    bench.ctx.chat_id = ChatId::random();
    assert_eq!(bench.upsert().await.num_added, 1, "the same text of another chat is another chunk");
}

#[tokio::test]
async fn another_embedding_model_embeds_again_what_is_there() {
    let own = flow_with(&["one", "two"]);
    let mut bench = Bench::new(&[&own]);
    bench.upsert().await;
    let old = bench.index.chunk("one").vector;

    let other = FakeEmbeddings::of_model("another model", 2);
    bench.store = store(&bench.index, &other, &[&own]);
    let report = bench.upsert().await;

    assert_eq!(counts(&report), [0, 2, 0, 0]);
    assert_ne!(bench.index.chunk("one").vector, old);
    assert_eq!(counts(&bench.upsert().await), [0, 0, 2, 0]);
}

#[tokio::test]
async fn embeddings_that_filled_a_part_of_an_index_embed_the_rest_when_it_comes() {
    let (one, two) = (flow_with(&["one"]), FakeLoader::of_chatflow("textFile_0"));
    two.bring("b.txt", &["two"]);
    let mut bench = Bench::new(&[&one]);
    bench.upsert().await;
    let other = FakeEmbeddings::of_model("another model", 2);
    bench.store = store(&bench.index, &other, &[&two]);
    bench.upsert().await;

    bench.store = store(&bench.index, &other, &[&one, &two]);
    let report = bench.upsert().await;

    assert_eq!(counts(&report), [0, 1, 1, 0], "one is still of the first model");
    let first = bench.embeddings.clone();
    bench.store = store(&bench.index, &first, &[&one, &two]);
    assert_eq!(counts(&bench.upsert().await), [0, 2, 0, 0]);
}

#[tokio::test]
async fn what_was_about_to_be_embedded_again_when_it_failed_is_embedded_by_the_next() {
    for index in [FakeIndex::default(), FakeIndex::atomic()] {
        let own = flow_with(&["one", "two", "three"]);
        let mut bench = Bench::on(index, &[&own]);
        bench.upsert().await;
        let (first, other) =
            (bench.embeddings.clone(), FakeEmbeddings::of_model("another model", 2));
        bench.store = store(&bench.index, &other, &[&own]);
        bench.index.failing(IndexFaults { put: Some(1), ..IndexFaults::default() });
        bench.try_upsert().await.unwrap_err();
        assert_eq!(bench.index.texts().len(), 3, "none of them is taken out");

        bench.index.failing(IndexFaults::default());
        bench.store = store(&bench.index, &first, &[&own]);
        assert_eq!(counts(&bench.upsert().await), [0, 3, 0, 0]);
    }
}

#[tokio::test]
async fn the_one_mark_of_an_older_ledger_is_still_read() {
    let own = flow_with(&["one", "two"]);
    for (mark, expected) in [("model", [0, 0, 2, 0]), ("another", [0, 2, 0, 0])] {
        let bench = Bench::new(&[&own]);
        bench.upsert().await;
        let pages = format!("embeddings of {}", bench.identity());
        let mut entries = bench.ledger.entries(&pages).await.unwrap();
        entries.iter_mut().for_each(|page| page.chunks.clear());
        let origin = Origin::Chatflow("model".into());
        entries.push(LedgerEntry { origin, chunks: vec![super::ids::hashed(mark)] });
        bench.ledger.settle(&pages, entries).await.unwrap();

        assert_eq!(counts(&bench.upsert().await), expected);
        assert_eq!(counts(&bench.upsert().await), [0, 0, 2, 0]);
    }
}

#[tokio::test]
async fn who_watches_is_told_how_far_it_is() {
    #[derive(Default)]
    struct Told(Mutex<Vec<UpsertCounts>>);
    impl UpsertWatch for Told {
        fn progress(&self, counts: UpsertCounts) {
            self.0.lock().unwrap().push(counts);
        }
    }
    let own = flow_with(&["one"]);
    let bench = Bench::new(&[&own]);
    bench.upsert().await;
    own.bring("a.txt", &["one", "two", "three", "four"]);
    let told = Told::default();

    bench.store.upsert(UpsertOptions::default(), &told, &bench.ctx).await.unwrap();

    let told = told.0.into_inner().unwrap();
    assert_eq!(told[0], UpsertCounts { files: 1, ..UpsertCounts::default() });
    let last = UpsertCounts { files: 1, chunks: 4, skipped: 1, embedded: 3, written: 3 };
    assert_eq!(told.last(), Some(&last));
    assert_eq!(told.len(), 6, "after loading, comparing, and twice for each of two batches");
}

#[tokio::test]
async fn a_server_without_a_ledger_says_so() {
    let bench = Bench::new(&[&flow_with(&["one"])]);
    let ctx = TestTurn::asking("q").ctx();

    let error = bench.store.upsert(UpsertOptions::default(), &(), &ctx).await.unwrap_err();

    assert!(matches!(error, NodeError::Unsupported(_)), "{error}");
}

/// The document of a text without metadata.
fn bare(text: &str) -> Document {
    Document::new(text, serde_json::Map::new())
}
