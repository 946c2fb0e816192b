mod damage;
mod model;
mod shelf;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use parlor_nodes::retrieval::{
    Chunk, Document, EmbeddedIndex, Hit, IndexShelf, IndexWriter, QueryKind, VectorQuery,
};
use parlor_nodes::{NodeError, Services, TurnCtx};
use parlor_schemas::{ChatId, ChatflowId};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::Shelf;
use super::shelf::hash;

/// Of a turn that nothing here asks anything of.
struct Nothing;

impl Services for Nothing {
    fn http(&self) -> reqwest::Client {
        unreachable!("an index calls nobody")
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }
}

fn ctx() -> TurnCtx {
    TurnCtx::apart(ChatflowId::random(), ChatId::random(), "", Arc::new(Nothing))
}

fn chunk(id: u128, vector: &[f32], content: &str) -> Chunk {
    let Value::Object(metadata) = json!({"z": id as u64, "a": content}) else { unreachable!() };
    let document = Document::new(content, metadata);
    Chunk { id: Uuid::from_u128(id), vector: vector.to_vec(), document }
}

fn ids(ids: &[u128]) -> Vec<Uuid> {
    ids.iter().copied().map(Uuid::from_u128).collect()
}

type Index = Arc<dyn EmbeddedIndex>;

async fn begin(index: &Index, chunks: Vec<Chunk>) -> Box<dyn IndexWriter> {
    let n_dimensions = chunks.first().map_or(2, |chunk| chunk.vector.len());
    let mut writer = index.writer(n_dimensions).unwrap();
    writer.put(chunks, &ctx()).await.unwrap();
    writer
}

async fn upsert(index: &Index, chunks: Vec<Chunk>, stale: &[u128]) {
    begin(index, chunks).await.commit(ids(stale), &ctx()).await.unwrap();
}

async fn hits(index: &Index, vector: &[f32]) -> Vec<Hit> {
    let query = VectorQuery {
        vector,
        text: "",
        k: 1_000,
        filter: None,
        chat: None,
        with_vectors: true,
        kind: QueryKind::Similarity,
    };
    index.query(&query).await.unwrap()
}

async fn found(index: &Index) -> Vec<u128> {
    hits(index, &[1.0, 0.0]).await.iter().map(|hit| hit.id.as_u128()).collect()
}

/// A data folder with its shelf.
struct Place {
    dir: TempDir,
    shelf: Shelf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        Self { dir, shelf }
    }

    async fn open(&self, name: &str) -> Index {
        self.shelf.open(name).await.unwrap()
    }

    /// As after a restart.
    fn restart(&mut self) {
        self.shelf = Shelf::new(self.dir.path());
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join("vectors").join(hash(name))
    }

    fn files(&self, name: &str) -> BTreeSet<String> {
        let Ok(entries) = self.folder(name).read_dir() else { return BTreeSet::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[tokio::test]
async fn an_upsert_is_seen_after_its_commit_and_not_before_and_survives_a_restart() {
    let mut place = Place::new();
    let index = place.open("docs").await;
    assert!(found(&index).await.is_empty() && !place.folder("docs").exists());

    let mut writer = begin(&index, vec![chunk(1, &[1.0, 0.0], "one")]).await;
    writer.put(vec![chunk(2, &[3.0, 4.0], "two")], &ctx()).await.unwrap();
    assert!(writer.is_atomic());
    assert!(found(&index).await.is_empty() && index.known(&ids(&[1])).await.unwrap().is_empty());
    writer.commit(Vec::new(), &ctx()).await.unwrap();
    drop(index);

    for _ in 0..2 {
        let index = place.open("docs").await;
        let hits = hits(&index, &[0.0, 1.0]).await;
        let shown: Vec<_> = hits.iter().map(|hit| hit.document.page_content.as_str()).collect();
        assert_eq!(shown, ["two", "one"]);
        assert!((hits[0].score - 0.8).abs() < 1e-6, "{hits:?}");
        assert_eq!(hits[0].vector.as_deref(), Some(&[3.0, 4.0][..]));
        assert_eq!(
            serde_json::to_string(&hits[0].document.metadata).unwrap(),
            r#"{"z":2,"a":"two"}"#
        );
        assert_eq!(index.known(&ids(&[1, 2, 3])).await.unwrap().len(), 2);
        assert_eq!(index.matching(&json!({"z": {"$gt": 1}}), 9).await.unwrap(), ids(&[2]));
        place.restart();
    }
}

#[tokio::test]
async fn an_upsert_that_is_given_up_leaves_no_file_and_changes_nothing() {
    let place = Place::new();
    let index = place.open("docs").await;
    upsert(&index, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
    let before = place.files("docs");

    drop(begin(&index, vec![chunk(1, &[0.0, 1.0], "new"), chunk(2, &[1.0, 1.0], "two")]).await);

    assert_eq!(place.files("docs"), before);
    assert_eq!(found(&index).await, [1]);
    assert_eq!(hits(&index, &[1.0, 0.0]).await[0].document.page_content, "one");
}

#[tokio::test]
async fn a_kill_between_segment_and_manifest_leaves_the_old_state_and_its_files_are_swept() {
    let mut place = Place::new();
    let index = place.open("docs").await;
    upsert(&index, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;
    let before = place.files("docs");
    // What a killed server leaves: a segment that nobody names, half of a
    // manifest, and nothing that ran in `drop`.
    let folder = place.folder("docs");
    for name in &before {
        if let Some((_, ending)) = name.split_once('.') {
            std::fs::copy(folder.join(name), folder.join(format!("{:032x}.{ending}", 7))).unwrap();
        }
    }
    std::fs::write(folder.join("manifest.new"), "parlor-vec").unwrap();
    drop(index);
    place.restart();

    assert_eq!(found(&place.open("docs").await).await, [1]);
    assert_eq!(place.files("docs"), before);
}

#[tokio::test]
async fn chunks_are_replaced_by_their_ids_and_taken_out_when_stale_or_deleted() {
    let mut place = Place::new();
    let index = place.open("docs").await;
    let old = (1..=6).map(|id| chunk(id, &[1.0, id as f32], "old")).collect();
    upsert(&index, old, &[]).await;

    let twice = vec![chunk(2, &[9.0, 9.0], "first"), chunk(2, &[1.0, 0.0], "second")];
    upsert(&index, twice, &[3, 99]).await;
    assert_eq!(index.delete(&ids(&[4, 5, 5, 77])).await.unwrap(), 2);
    assert_eq!(index.delete(&ids(&[4])).await.unwrap(), 0);

    for _ in 0..2 {
        let index = place.open("docs").await;
        assert_eq!(found(&index).await, [2, 1, 6]);
        let newest = &hits(&index, &[1.0, 0.0]).await[0];
        assert_eq!(newest.document.page_content, "second");
        place.restart();
    }
    let index = place.open("docs").await;
    assert_eq!(index.delete(&ids(&[1, 2, 6])).await.unwrap(), 3);
    assert!(found(&index).await.is_empty());
    assert_eq!(place.files("docs"), ["manifest".to_owned()].into());
}

#[tokio::test]
async fn vectors_of_another_dimension_are_refused_with_both_numbers_and_a_way_out() {
    let place = Place::new();
    let index = place.open("docs").await;
    upsert(&index, vec![chunk(1, &[1.0, 0.0], "one")], &[]).await;

    let query = VectorQuery {
        vector: &[1.0; 3],
        text: "",
        k: 1,
        filter: None,
        chat: None,
        with_vectors: false,
        kind: QueryKind::Similarity,
    };
    for error in [index.writer(3).err().unwrap(), index.query(&query).await.unwrap_err()] {
        assert!(matches!(error, NodeError::BadRequest(_)), "{error}");
        let text = error.to_string();
        for part in ["of 2 dimensions", "make 3", "another collection", "delete"] {
            assert!(text.contains(part), "{text}");
        }
    }
    let mut writer = index.writer(2).unwrap();
    for bad in [chunk(2, &[1.0], "short"), chunk(2, &[1.0, f32::NAN], "no number")] {
        let error = writer.put(vec![bad], &ctx()).await.unwrap_err();
        assert!(matches!(error, NodeError::BadRequest(_)), "{error}");
    }
    assert!(writer.commit(ids(&[1]), &ctx()).await.is_err(), "chunks are missing");
    assert!(index.writer(0).is_err());
    // One that began while the collection was empty finds it filled.
    let empty = place.open("empty").await;
    let late = begin(&empty, vec![chunk(1, &[1.0; 5], "five")]).await;
    upsert(&empty, vec![chunk(2, &[1.0, 0.0], "two")], &[]).await;
    assert!(late.commit(Vec::new(), &ctx()).await.is_err());
    assert_eq!(found(&empty).await, [2]);
    // Once all is deleted the dimension is free again.
    index.delete(&ids(&[1])).await.unwrap();
    upsert(&index, vec![chunk(1, &[1.0; 3], "three")], &[]).await;
    assert_eq!(hits(&index, &[1.0; 3]).await.len(), 1);
}

#[tokio::test]
async fn many_upserts_become_few_segments_and_the_dead_are_dropped() {
    let mut place = Place::new();
    let index = place.open("docs").await;
    for id in 1..=40_u128 {
        upsert(&index, vec![chunk(id, &[1.0, id as f32], &format!("text {id}"))], &[]).await;
    }
    assert!(place.files("docs").len() <= 2 * 9 + 1, "{:?}", place.files("docs"));
    assert_eq!(found(&index).await, (1..=40).collect::<Vec<_>>());

    let held = place.open("docs").await;
    index.delete(&ids(&(1..=38).collect::<Vec<_>>())).await.unwrap();
    let n_bytes: u64 = place
        .files("docs")
        .iter()
        .map(|name| place.folder("docs").join(name).metadata().unwrap().len())
        .sum();
    assert!(n_bytes < 2_000, "{n_bytes} bytes for two chunks");
    assert_eq!(found(&held).await, [39, 40]);

    place.restart();
    let hits = hits(&place.open("docs").await, &[1.0, 0.0]).await;
    assert_eq!(hits[0].document, chunk(39, &[], "text 39").document);
    assert_eq!(hits[0].vector.as_deref(), Some(&[1.0, 39.0][..]));
}

#[tokio::test]
async fn words_are_read_without_keeping_searches_from_their_processors() {
    let place = Place::new();
    let index = place.open("docs").await;
    upsert(&index, vec![chunk(1, &[1.0, 0.0], "the bakery opens")], &[]).await;
    let busy = super::pool::all_busy().await;
    let hybrid = VectorQuery {
        vector: &[1.0, 0.0],
        text: "bakery",
        k: 1,
        filter: None,
        chat: None,
        with_vectors: false,
        kind: QueryKind::Hybrid,
    };
    let mut searching = index.query(&hybrid);
    let snapshot = place.shelf.snapshot("docs").await;

    while !snapshot.has_words() {
        assert!(futures::poll!(&mut searching).is_pending(), "it waits for a processor");
        tokio::task::yield_now().await;
    }

    drop(busy);
    assert_eq!(searching.await.unwrap().len(), 1);
}
