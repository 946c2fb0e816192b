//! Fakes of what retrieval is made of, for the tests of nodes: an index that
//! can fail, embeddings that count their calls, a ledger, a record manager
//! and a loader, all in memory.

mod index;
mod ledger;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::Value;

pub(crate) use index::{FakeIndex, IndexFaults};
pub(crate) use ledger::{FakeLedger, FakeRecords, RecordFaults};

use super::{
    Document, DocumentLoader, Embeddings, LoadFailure, Loaded, Origin, Supply, UpsertLedger,
};
use crate::ctx::{Services, TurnCtx};
use crate::error::NodeError;

/// An error of a fake.
pub(crate) fn fault(what: &str) -> NodeError {
    NodeError::UpstreamBroken { provider: "Fake".to_owned(), problem: format!("failed: {what}") }
}

/// Embeddings that count their calls.
pub(crate) struct FakeEmbeddings {
    pub(crate) model: String,
    pub(crate) batch_size: usize,
    n_calls: AtomicUsize,
    spoil: Mutex<Spoil>,
}

type Spoil = Box<dyn Fn(usize, &mut Vec<Vec<f32>>) -> Result<(), NodeError> + Send>;

impl FakeEmbeddings {
    /// Vectors of three numbers that depend on the text and the model.
    pub(crate) fn of_model(model: &str, batch_size: usize) -> Arc<Self> {
        Arc::new(Self {
            model: model.to_owned(),
            batch_size,
            n_calls: AtomicUsize::new(0),
            spoil: Mutex::new(Box::new(|_, _| Ok(()))),
        })
    }

    /// What goes wrong, by the number of the call.
    pub(crate) fn spoiling(
        &self,
        spoil: impl Fn(usize, &mut Vec<Vec<f32>>) -> Result<(), NodeError> + Send + 'static,
    ) {
        self.n_calls.store(0, Ordering::Relaxed);
        *self.spoil.lock().unwrap() = Box::new(spoil);
    }

    /// Calls for documents since the last of these.
    pub(crate) fn take_calls(&self) -> usize {
        self.n_calls.swap(0, Ordering::Relaxed)
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let sum: u32 = text.bytes().map(u32::from).sum();
        vec![sum as f32, text.len() as f32, self.model.len() as f32]
    }
}

impl Embeddings for FakeEmbeddings {
    fn identity(&self) -> String {
        self.model.clone()
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>> {
        assert!(texts.len() <= self.batch_size, "a batch is too large");
        let call = self.n_calls.fetch_add(1, Ordering::Relaxed);
        let mut vectors = texts.iter().map(|text| self.vector(text)).collect();
        let spoilt = (self.spoil.lock().unwrap())(call, &mut vectors);
        ready(spoilt.map(|()| vectors)).boxed()
    }

    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>> {
        ready(Ok(self.vector(text))).boxed()
    }
}

/// A loader whose documents a test can change.
pub(crate) struct FakeLoader {
    origin: Option<Origin>,
    loaded: Mutex<Loaded>,
    n_loads: AtomicUsize,
    supply: Mutex<Supply>,
}

impl FakeLoader {
    /// A loader that the chatflow holds, as a node of this id.
    pub(crate) fn of_chatflow(id: &str) -> Arc<Self> {
        Self::of(Some(Origin::Chatflow(id.into())))
    }

    /// What a request brings, by this name.
    pub(crate) fn of_request(name: &str) -> Arc<Self> {
        Self::of(Some(Origin::Request(name.into())))
    }

    /// One that finds something else for every question.
    pub(crate) fn of_nobody() -> Arc<Self> {
        Self::of(None)
    }

    fn of(origin: Option<Origin>) -> Arc<Self> {
        let (loaded, n_loads) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { origin, loaded, n_loads, supply: Mutex::new(Supply::Own) })
    }

    /// Where its files come from, from now on.
    pub(crate) fn supplied(self: Arc<Self>, supply: Supply) -> Arc<Self> {
        *self.supply.lock().unwrap() = supply;
        self
    }

    /// From now on it brings these texts, from a source named `source`.
    pub(crate) fn bring(&self, source: &str, texts: &[&str]) {
        let document = |text: &&str| {
            let mut document = Document::new(*text, Default::default());
            document.metadata.insert("source".to_owned(), Value::from(source));
            document
        };
        self.bring_documents(texts.iter().map(document).collect());
    }

    /// From now on it brings these documents.
    pub(crate) fn bring_documents(&self, mut documents: Vec<Document>) {
        for document in &mut documents {
            document.origin = document.origin.take().or_else(|| self.origin.clone());
        }
        *self.loaded.lock().unwrap() = Loaded { documents, n_files: 1, failures: Vec::new() };
    }

    /// How often it was loaded.
    pub(crate) fn n_loads(&self) -> usize {
        self.n_loads.load(Ordering::Relaxed)
    }

    /// From now on one of its files cannot be read.
    pub(crate) fn fail(&self, name: &str) {
        let failure = LoadFailure { name: name.to_owned(), problem: "is damaged".to_owned() };
        self.loaded.lock().unwrap().failures.push(failure);
    }
}

impl DocumentLoader for FakeLoader {
    fn load<'a>(&'a self, _ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        self.n_loads.fetch_add(1, Ordering::Relaxed);
        if self.supply() == Supply::Nowhere {
            return ready(Err(NodeError::BadRequest("it holds no file".to_owned()))).boxed();
        }
        ready(Ok(self.loaded.lock().unwrap().clone())).boxed()
    }

    fn supply(&self) -> Supply {
        *self.supply.lock().unwrap()
    }

    fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

/// The turn on a server that keeps this ledger.
pub(crate) fn with_ledger(mut ctx: TurnCtx, ledger: Arc<FakeLedger>) -> TurnCtx {
    ctx.services = Arc::new(Keeping { client: ctx.services.http(), ledger });
    ctx
}

struct Keeping {
    client: reqwest::Client,
    ledger: Arc<FakeLedger>,
}

impl Services for Keeping {
    fn http(&self) -> reqwest::Client {
        self.client.clone()
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }

    fn ledger(&self) -> Result<Arc<dyn UpsertLedger>, NodeError> {
        Ok(self.ledger.clone())
    }
}
