//! Retrieval without embeddings and without vectors, for the tests of what
//! asks it.

use std::collections::HashSet;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::instance::Instance;
use crate::retrieval::{
    Document, Embeddings, Hit, IndexWriter, Retriever, VectorIndex, VectorQuery,
};
use crate::test_support::{inputs, node};
use crate::vector_stores::VectorStore;

type Answer<'a, T> = BoxFuture<'a, Result<T, NodeError>>;

/// A retriever that finds the same for every query and keeps what it was asked.
pub(crate) struct FakeRetriever {
    /// `None` for one that never answers.
    documents: Option<Vec<Document>>,
    asked: Mutex<Vec<String>>,
}

impl FakeRetriever {
    /// One that finds documents of these texts, each with its number as `source`.
    pub(crate) fn finding<const N: usize>(texts: [&str; N]) -> Arc<Self> {
        let document = |(at, text): (usize, &str)| {
            Document::new(text, Map::from_iter([("source".to_owned(), Value::from(at))]))
        };
        let documents = texts.into_iter().enumerate().map(document).collect();
        Arc::new(Self { documents: Some(documents), asked: Mutex::default() })
    }

    /// One that never answers.
    pub(crate) fn never() -> Arc<Self> {
        Arc::new(Self { documents: None, asked: Mutex::default() })
    }

    /// What it finds.
    pub(crate) fn documents(&self) -> Vec<Document> {
        self.documents.clone().unwrap()
    }

    /// All queries.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Retriever for FakeRetriever {
    fn retrieve<'a>(&'a self, query: &'a str, _ctx: &'a TurnCtx) -> Answer<'a, Vec<Document>> {
        self.asked.lock().unwrap().push(query.to_owned());
        match &self.documents {
            Some(documents) => ready(Ok(documents.clone())).boxed(),
            None => pending().boxed(),
        }
    }
}

/// A vector store that holds texts with the score that each search gives them.
#[derive(Clone, Default)]
pub(crate) struct FakeStore(Arc<Held>);

#[derive(Default)]
struct Held {
    hits: Vec<(String, f32)>,
    embedded: Mutex<Vec<String>>,
    n_searches: AtomicUsize,
}

impl FakeStore {
    /// One with these texts, best first.
    pub(crate) fn holding<const N: usize>(hits: [(&str, f32); N]) -> Self {
        let hits = hits.map(|(text, score)| (text.to_owned(), score)).to_vec();
        Self(Arc::new(Held { hits, ..Held::default() }))
    }

    /// The store as a built node with the settings that a new node has.
    pub(crate) fn into_instance(self) -> Instance {
        let embeddings = Instance::Embeddings(Arc::new(self.clone()));
        let inputs = inputs([("embeddings", node(embeddings))]);
        VectorStore::assemble(&inputs, "fakeStore", self, "filter").unwrap().into_instance()
    }

    /// All queries that were embedded.
    pub(crate) fn embedded(&self) -> Vec<String> {
        self.0.embedded.lock().unwrap().clone()
    }

    /// How often it was searched.
    pub(crate) fn n_searches(&self) -> usize {
        self.0.n_searches.load(Ordering::Relaxed)
    }
}

impl Embeddings for FakeStore {
    fn identity(&self) -> String {
        "fake".to_owned()
    }

    fn batch_size(&self) -> usize {
        1
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str], _: &'a TurnCtx) -> Answer<'a, Vec<Vec<f32>>> {
        ready(Ok(vec![vec![1.0]; texts.len()])).boxed()
    }

    fn embed_query<'a>(&'a self, text: &'a str, _: &'a TurnCtx) -> Answer<'a, Vec<f32>> {
        self.0.embedded.lock().unwrap().push(text.to_owned());
        ready(Ok(vec![1.0])).boxed()
    }
}

fn read_only<'a, T: Send + 'a>() -> Answer<'a, T> {
    ready(Err(NodeError::Unsupported("the fake store is for reading".to_owned()))).boxed()
}

impl VectorIndex for FakeStore {
    fn identity(&self, _: &TurnCtx) -> String {
        "fake".to_owned()
    }

    fn known<'a>(&'a self, _: &'a [Uuid], _: &'a TurnCtx) -> Answer<'a, HashSet<Uuid>> {
        read_only()
    }

    fn writer<'a>(&'a self, _: usize, _: &'a TurnCtx) -> Answer<'a, Box<dyn IndexWriter>> {
        read_only()
    }

    fn delete<'a>(&'a self, _: &'a [Uuid], _: &'a TurnCtx) -> Answer<'a, ()> {
        read_only()
    }

    fn matching<'a>(&'a self, _: &'a Value, _: usize, _: &'a TurnCtx) -> Answer<'a, Vec<Uuid>> {
        read_only()
    }

    fn query<'a>(&'a self, query: &'a VectorQuery<'a>, _: &'a TurnCtx) -> Answer<'a, Vec<Hit>> {
        self.0.n_searches.fetch_add(1, Ordering::Relaxed);
        let hit = |(text, score): &(String, f32)| Hit {
            id: Uuid::nil(),
            document: Document::new(text.as_str(), Map::new()),
            score: *score,
            vector: query.with_vectors.then(|| vec![1.0]),
        };
        ready(Ok(self.0.hits.iter().take(query.k).map(hit).collect())).boxed()
    }
}
