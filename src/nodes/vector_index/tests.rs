use std::collections::BTreeMap;
use std::sync::Arc;

use parlor_schemas::ChatId;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::error::NodeError;
use crate::retrieval::{QueryKind, VectorQuery};

/// Contents and vectors in memory.
struct Kept(Vec<(String, Vec<f32>)>);

impl RowReader for Kept {
    fn content(&self, row: usize) -> Result<String, NodeError> {
        Ok(self.0[row].0.clone())
    }

    fn vector(&self, row: usize) -> Result<Vec<f32>, NodeError> {
        Ok(self.0[row].1.clone())
    }
}

type Chunk<'a> = (u128, Vec<f32>, &'a str, Value);

fn segment(chunks: &[Chunk<'_>]) -> Live {
    let n_dimensions = chunks.first().map_or(0, |chunk| chunk.1.len());
    let mut parts = SegmentParts::with_capacity(chunks.len(), n_dimensions);
    for (id, vector, _, metadata) in chunks {
        let metadata = metadata.to_string();
        parts.push(&Row { id: Uuid::from_u128(*id), vector, metadata: &metadata });
    }
    let kept = chunks.iter().map(|(_, vector, content, _)| ((*content).to_owned(), vector.clone()));
    let segment = Arc::new(Segment::new(parts, Box::new(Kept(kept.collect()))));
    let mut dead = Bits::none(chunks.len());
    segment.replaced_within().for_each(|row| assert!(dead.insert(row)));
    Live { segment, dead: Arc::new(dead) }
}

fn snapshot(segments: &[&[Chunk<'_>]]) -> Snapshot {
    let n_dimensions = segments[0][0].1.len();
    Snapshot { n_dimensions, segments: segments.iter().map(|chunks| segment(chunks)).collect() }
}

fn query(vector: &[f32]) -> VectorQuery<'_> {
    VectorQuery {
        vector,
        text: "",
        k: 10,
        filter: None,
        chat: None,
        with_vectors: false,
        kind: QueryKind::Similarity,
    }
}

fn found(snapshot: &Snapshot, query: &VectorQuery<'_>) -> Vec<u128> {
    let hits = snapshot.search(&Search::new(query).unwrap(), true).unwrap();
    hits.iter().map(|hit| hit.id.as_u128()).collect()
}

#[test]
fn the_nearest_come_first_with_their_cosine_and_metadata_in_their_order() {
    let first = [(1, vec![1.0, 0.0], "east", json!({"z": 1, "a": 2}))];
    let second =
        [(2, vec![0.0, 5.0], "north", json!({})), (3, vec![2.0, 2.0], "between", json!({}))];
    let snapshot = snapshot(&[&first, &second]);

    let asked = VectorQuery { with_vectors: true, ..query(&[3.0, 0.0]) };
    let hits = snapshot.search(&Search::new(&asked).unwrap(), false).unwrap();

    let shown: Vec<_> = hits.iter().map(|hit| hit.document.page_content.as_str()).collect();
    assert_eq!(shown, ["east", "between", "north"]);
    assert!((hits[0].score - 1.0).abs() < 1e-6 && hits[2].score.abs() < 1e-6, "{hits:?}");
    assert_eq!(hits[1].vector.as_deref(), Some(&[2.0, 2.0][..]), "as it was put");
    let keys: Vec<_> = hits[0].document.metadata.keys().collect();
    assert_eq!(keys, ["z", "a"]);
}

#[test]
fn the_dead_are_not_found_and_an_id_put_twice_is_there_once() {
    let chunks = [
        (1, vec![1.0, 0.0], "old", json!({})),
        (2, vec![1.0, 0.1], "other", json!({})),
        (1, vec![0.0, 1.0], "new", json!({})),
    ];
    let mut snapshot = snapshot(&[&chunks]);
    assert_eq!(found(&snapshot, &query(&[0.0, 1.0])), [1, 2]);
    assert_eq!(snapshot.n_alive(), 2);

    let place = snapshot.find(Uuid::from_u128(1)).unwrap();
    assert_eq!(place, Place { segment: 0, row: 2 });
    Arc::make_mut(&mut snapshot.segments[0].dead).insert(place.row);

    assert_eq!(found(&snapshot, &query(&[0.0, 1.0])), [2]);
    assert_eq!(snapshot.find(Uuid::from_u128(1)), None);
}

#[test]
fn a_chat_sees_its_own_chunks_and_those_of_no_chat() {
    let chunks = [
        (1, vec![1.0], "", json!({"flowise_chatId": "mine"})),
        (2, vec![1.0], "", json!({"flowise_chatId": "yours"})),
        (3, vec![1.0], "", json!({"page": 1})),
        (4, vec![1.0], "", json!({"flowise_chatId": null})),
        (5, vec![1.0], "", json!({"flowise_chatId": 7, "page": 1})),
    ];
    let snapshot = snapshot(&[&chunks]);
    let (mine, nobodys) = (ChatId::parse("mine").unwrap(), ChatId::parse("x").unwrap());
    let filter = json!({"page": {"$exists": true}});

    assert_eq!(found(&snapshot, &query(&[1.0])), [1, 2, 3, 4, 5]);
    let by_chat = VectorQuery { chat: Some(&mine), ..query(&[1.0]) };
    assert_eq!(found(&snapshot, &by_chat), [1, 3, 4]);
    let both = VectorQuery { filter: Some(&filter), ..by_chat };
    assert_eq!(found(&snapshot, &both), [3]);
    let stranger = VectorQuery { chat: Some(&nobodys), ..query(&[1.0]) };
    assert_eq!(found(&snapshot, &stranger), [3, 4]);
}

#[test]
fn a_hybrid_search_finds_what_only_the_words_know() {
    let chunks: Vec<Chunk<'_>> = (0..30)
        .map(|n| (n, vec![1.0, n as f32 / 100.0], "nothing of interest", json!({})))
        .chain([(99, vec![-1.0, 0.0], "the code is XK-4711", json!({}))])
        .collect();
    let snapshot = snapshot(&[&chunks[..10], &chunks[10..]]);
    let asked = VectorQuery { text: "what is XK-4711?", k: 3, ..query(&[1.0, 0.0]) };

    assert_eq!(found(&snapshot, &asked), [0, 1, 2]);
    let hybrid = VectorQuery { kind: QueryKind::Hybrid, ..asked };
    let hits = snapshot.search(&Search::new(&hybrid).unwrap(), false).unwrap();

    assert!(hits[..2].iter().any(|hit| hit.id.as_u128() == 99), "{hits:?}");
    assert_eq!(hits.iter().find(|hit| hit.id.as_u128() == 99).unwrap().score, -1.0);
    let filter = json!({"absent": 1});
    let none = VectorQuery { filter: Some(&filter), ..hybrid };
    assert!(found(&snapshot, &none).is_empty(), "words respect the filter, too");
}

#[test]
fn a_filter_matches_ids_and_is_remembered_rightly_for_each_text() {
    let chunks: Vec<Chunk<'_>> =
        (0..20).map(|n| (n, vec![1.0], "", json!({"page": n as u64}))).collect();
    let snapshot = snapshot(&[&chunks[..7], &chunks[7..]]);
    for _ in 0..2 {
        for page in 0..20_u128 {
            let filter = Filter::parse(&json!({"page": {"$gte": page as u64}})).unwrap();
            let ids = snapshot.matching(&filter, 3);
            let expected: Vec<_> = (page..20).take(3).map(Uuid::from_u128).collect();
            assert_eq!(ids, expected);
        }
    }
}

#[test]
fn a_question_of_another_dimension_or_of_no_numbers_never_panics() {
    let snapshot = snapshot(&[&[(1, vec![1.0, 0.0], "a", json!({}))]]);
    assert!(found(&snapshot, &query(&[1.0])).is_empty());
    assert_eq!(found(&snapshot, &query(&[0.0, 0.0])), [1]);
    let error = Search::new(&query(&[f32::NAN, 1.0])).unwrap_err();
    assert!(matches!(error, NodeError::BadRequest(_)), "{error}");
    assert!(found(&Snapshot::default(), &query(&[1.0])).is_empty());
}

#[test]
fn with_a_graph_the_dead_and_the_filtered_are_not_found_and_nothing_is_missing() {
    // The same angle turned at eight different speeds: near rows lie anywhere.
    let vector = |n: u128| -> Vec<f32> {
        (1..=8_u128).map(|speed| ((n * n * speed) as f32 / 7.0).sin()).collect()
    };
    let chunks: Vec<Chunk<'_>> =
        (0..400_u128).map(|n| (n, vector(n), "", json!({"n": n as u64}))).collect();
    let mut snapshot = snapshot(&[&chunks]);
    let question = vector(7);
    let asked = VectorQuery { k: 5, ..query(&question) };
    let exact = found(&snapshot, &VectorQuery { k: 400, ..query(&question) });

    assert!(snapshot.segments[0].segment.build_graph(|| true));
    assert_eq!(found(&snapshot, &asked), exact[..5]);
    for id in [exact[0], exact[2]] {
        Arc::make_mut(&mut snapshot.segments[0].dead).insert(id as usize);
    }
    assert_eq!(found(&snapshot, &asked)[..2], [exact[1], exact[3]]);
    // What lies behind all that the graph looks at is found by looking at all.
    let far = exact[390..].to_vec();
    let filter = json!({"n": {"$in": far.iter().map(|id| *id as u64).collect::<Vec<_>>()}});
    assert_eq!(found(&snapshot, &VectorQuery { filter: Some(&filter), ..asked }), far[..5]);
}

#[test]
fn a_graph_that_finds_too_little_is_not_used() {
    // On a ring each row knows its neighbours only, and the ends do not meet.
    let angle = |n: u128| n as f32 / 48.0;
    let chunks: Vec<Chunk<'_>> =
        (0..300_u128).map(|n| (n, vec![angle(n).cos(), angle(n).sin()], "", json!({}))).collect();
    let snapshot = snapshot(&[&chunks]);

    assert!(!snapshot.segments[0].segment.build_graph(|| true));

    for n in (0..300).step_by(7) {
        let asked = [angle(n).cos(), angle(n).sin()];
        assert_eq!(found(&snapshot, &query(&asked))[0], n);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One thread or two, however the rows are cut into segments: the same as
    /// sorting all of them.
    #[test]
    fn any_search_finds_what_sorting_all_rows_finds(
        rows in proptest::collection::vec((0_u128..40, proptest::collection::vec(-4_i8..4, 3)), 1..60),
        n_segments in 1_usize..4,
        k in 1_usize..20,
        asked in proptest::collection::vec(-4_i8..4, 3),
    ) {
        let floats = |v: &[i8]| v.iter().map(|x| f32::from(*x)).collect::<Vec<_>>();
        let mut last: BTreeMap<u128, Vec<f32>> = BTreeMap::new();
        rows.iter().for_each(|(id, vector)| drop(last.insert(*id, floats(vector))));
        let chunks: Vec<Chunk<'_>> =
            last.iter().map(|(id, vector)| (*id, vector.clone(), "", json!({}))).collect();
        let cut = chunks.len().div_ceil(n_segments);
        let segments: Vec<&[Chunk<'_>]> = chunks.chunks(cut).collect();
        let snapshot = snapshot(&segments);
        let asked = floats(&asked);

        let unit = |v: &[f32]| { let mut u = Vec::new(); super::scan::extend_unit(&mut u, v); u };
        let mut expected: Vec<(f32, u128)> = last.iter()
            .map(|(id, vector)| (super::scan::dot(&unit(&asked), &unit(vector)), *id)).collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        expected.truncate(k);

        let ids = found(&snapshot, &VectorQuery { k, ..query(&asked) });
        prop_assert_eq!(ids, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    }
}
