//! An index in memory that can fail.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::fault;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Chunk, Hit, IndexWriter, VectorIndex, VectorQuery};

/// An index in memory. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct FakeIndex(Arc<Mutex<IndexState>>);

#[derive(Default)]
struct IndexState {
    is_atomic: bool,
    chunks: BTreeMap<Uuid, Chunk>,
    n_dimensions: Option<usize>,
    n_puts: usize,
    faults: IndexFaults,
    gate: Option<Arc<Semaphore>>,
}

/// What goes wrong.
#[derive(Default, Clone, Copy)]
pub(crate) struct IndexFaults {
    /// The put of this number; where the index is not atomic, half-way.
    pub(crate) put: Option<usize>,
    /// The commit, before it does anything.
    pub(crate) commit: bool,
    /// The commit, when it has taken out half of what is stale.
    pub(crate) half_commit: bool,
    /// Every deletion.
    pub(crate) delete: bool,
}

impl FakeIndex {
    pub(crate) fn atomic() -> Self {
        let index = Self::default();
        index.0.lock().unwrap().is_atomic = true;
        index
    }

    pub(crate) fn is_atomic(&self) -> bool {
        self.0.lock().unwrap().is_atomic
    }

    pub(crate) fn failing(&self, faults: IndexFaults) {
        let mut state = self.0.lock().unwrap();
        (state.faults, state.n_puts) = (faults, 0);
    }

    /// Every put takes a permit.
    pub(crate) fn behind(&self, gate: Arc<Semaphore>) {
        self.0.lock().unwrap().gate = Some(gate);
    }

    /// Forgets all chunks, as if somebody had emptied the store.
    pub(crate) fn wipe(&self) {
        self.0.lock().unwrap().chunks.clear();
    }

    /// Writes without anybody knowing, as an upsert that crashed.
    pub(crate) fn sneak(&self, chunk: Chunk) {
        self.0.lock().unwrap().chunks.insert(chunk.id, chunk);
    }

    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.0.lock().unwrap().chunks.keys().copied().collect()
    }

    /// The texts in it, sorted.
    pub(crate) fn texts(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let text = |chunk: &Chunk| chunk.document.page_content.clone();
        state.chunks.values().map(text).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn chunk(&self, text: &str) -> Chunk {
        let state = self.0.lock().unwrap();
        state.chunks.values().find(|chunk| chunk.document.page_content == text).unwrap().clone()
    }
}

impl VectorIndex for FakeIndex {
    fn identity(&self, _ctx: &TurnCtx) -> String {
        // Its own for every test: tests share the process's lanes.
        format!("fake at {:p}", Arc::as_ptr(&self.0))
    }

    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        let state = self.0.lock().unwrap();
        let known = ids.iter().filter(|id| state.chunks.contains_key(id)).copied().collect();
        ready(Ok(known)).boxed()
    }

    fn writer<'a>(
        &'a self,
        n_dimensions: usize,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Box<dyn IndexWriter>, NodeError>> {
        let mut state = self.0.lock().unwrap();
        let has = *state.n_dimensions.get_or_insert(n_dimensions);
        let writer = FakeWriter { index: self.clone(), pending: Vec::new() };
        let opened: Result<Box<dyn IndexWriter>, _> = match has == n_dimensions {
            true => Ok(Box::new(writer)),
            false => Err(NodeError::BadRequest(format!(
                "the fake holds vectors of {has} dimensions, not of {n_dimensions}"
            ))),
        };
        ready(opened).boxed()
    }

    fn delete<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let mut state = self.0.lock().unwrap();
        if state.faults.delete || ctx.cancel.is_cancelled() {
            return ready(Err(fault("delete"))).boxed();
        }
        ids.iter().for_each(|id| _ = state.chunks.remove(id));
        ready(Ok(())).boxed()
    }

    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        let state = self.0.lock().unwrap();
        let fits = |chunk: &&Chunk| {
            let mut wanted = filter.as_object().unwrap().iter();
            wanted.all(|(key, value)| chunk.document.metadata.get(key) == Some(value))
        };
        let ids = state.chunks.values().filter(fits).map(|chunk| chunk.id).take(most).collect();
        ready(Ok(ids)).boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        let state = self.0.lock().unwrap();
        let hit = |chunk: &Chunk| Hit {
            id: chunk.id,
            document: chunk.document.clone(),
            score: -query.vector.iter().zip(&chunk.vector).map(|(a, b)| (a - b).abs()).sum::<f32>(),
            vector: query.with_vectors.then(|| chunk.vector.clone()),
        };
        let mut hits: Vec<Hit> = state.chunks.values().map(hit).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        hits.truncate(query.k);
        ready(Ok(hits)).boxed()
    }
}

struct FakeWriter {
    index: FakeIndex,
    pending: Vec<Chunk>,
}

impl IndexWriter for FakeWriter {
    fn is_atomic(&self) -> bool {
        self.index.0.lock().unwrap().is_atomic
    }

    fn put<'a>(
        &'a mut self,
        mut chunks: Vec<Chunk>,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let gate = self.index.0.lock().unwrap().gate.clone();
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            let mut state = self.index.0.lock().unwrap();
            let fails = state.faults.put == Some(state.n_puts);
            state.n_puts += 1;
            if fails {
                chunks.truncate(chunks.len().div_ceil(2));
            }
            match state.is_atomic {
                true => self.pending.extend(chunks),
                false => state.chunks.extend(chunks.into_iter().map(|chunk| (chunk.id, chunk))),
            }
            if fails { Err(fault("put")) } else { Ok(()) }
        }
        .boxed()
    }

    fn commit<'a>(
        self: Box<Self>,
        stale: Vec<Uuid>,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let mut state = self.index.0.lock().unwrap();
        if state.faults.commit {
            return ready(Err(fault("commit"))).boxed();
        }
        state.chunks.extend(self.pending.into_iter().map(|chunk| (chunk.id, chunk)));
        let fails = state.faults.half_commit;
        let n_taken = if fails { stale.len() / 2 } else { stale.len() };
        for id in &stale[..n_taken] {
            state.chunks.remove(id);
        }
        ready(if fails { Err(fault("half of the commit")) } else { Ok(()) }).boxed()
    }
}
