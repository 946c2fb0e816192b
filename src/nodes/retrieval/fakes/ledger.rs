//! A ledger and a record manager in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use uuid::Uuid;

use super::fault;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Cleanup, LedgerEntry, Origin, RecordManager, RecordPolicy, UpsertLedger};

/// A ledger in memory.
#[derive(Default)]
pub(crate) struct FakeLedger(Mutex<LedgerState>);

#[derive(Default)]
struct LedgerState {
    entries: BTreeMap<(String, Origin), Vec<Uuid>>,
    announced: BTreeMap<String, Vec<Uuid>>,
    fails: bool,
}

impl FakeLedger {
    /// From now on nothing can be settled, or it can again.
    pub(crate) fn failing(&self, fails: bool) {
        self.0.lock().unwrap().fails = fails;
    }

    /// All that is announced and not settled.
    pub(crate) fn n_announced(&self) -> usize {
        self.0.lock().unwrap().announced.values().map(Vec::len).sum()
    }

    /// The chunks of all origins of an index.
    pub(crate) fn n_chunks(&self, identity: &str) -> usize {
        let state = self.0.lock().unwrap();
        let own = state.entries.iter().filter(|((of, _), _)| of == identity);
        own.map(|(_, chunks)| chunks.len()).sum()
    }
}

impl UpsertLedger for FakeLedger {
    fn chunks<'a>(
        &'a self,
        identity: &'a str,
        origin: &'a Origin,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        let state = self.0.lock().unwrap();
        let chunks = state.entries.get(&(identity.to_owned(), origin.clone()));
        ready(Ok(chunks.cloned().unwrap_or_default())).boxed()
    }

    fn entries<'a>(
        &'a self,
        identity: &'a str,
    ) -> BoxFuture<'a, Result<Vec<LedgerEntry>, NodeError>> {
        let state = self.0.lock().unwrap();
        let own = state.entries.iter().filter(|((of, _), _)| of == identity);
        let entry = |((_, origin), chunks): (&(String, Origin), &Vec<Uuid>)| LedgerEntry {
            origin: origin.clone(),
            chunks: chunks.clone(),
        };
        ready(Ok(own.map(entry).collect())).boxed()
    }

    fn announce<'a>(
        &'a self,
        identity: &'a str,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let mut state = self.0.lock().unwrap();
        state.announced.entry(identity.to_owned()).or_default().extend(ids);
        ready(Ok(())).boxed()
    }

    fn announced<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        let state = self.0.lock().unwrap();
        ready(Ok(state.announced.get(identity).cloned().unwrap_or_default())).boxed()
    }

    fn settle<'a>(
        &'a self,
        identity: &'a str,
        entries: Vec<LedgerEntry>,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let mut state = self.0.lock().unwrap();
        if state.fails {
            return ready(Err(fault("settle"))).boxed();
        }
        state.announced.remove(identity);
        for LedgerEntry { origin, chunks } in entries {
            let key = (identity.to_owned(), origin);
            match chunks.is_empty() {
                true => _ = state.entries.remove(&key),
                false => _ = state.entries.insert(key, chunks),
            }
        }
        ready(Ok(())).boxed()
    }
}

/// What goes wrong in a record manager.
#[derive(Default, Clone, Copy)]
pub(crate) struct RecordFaults {
    pub(crate) update: bool,
    pub(crate) delete: bool,
}

/// A record manager in memory.
pub(crate) struct FakeRecords {
    policy: RecordPolicy,
    faults: Mutex<RecordFaults>,
    rows: Mutex<BTreeMap<(String, Uuid), Option<String>>>,
}

impl FakeRecords {
    /// An empty one.
    pub(crate) fn with(cleanup: Cleanup) -> Self {
        let (namespace, source_id_key) = (Some("shop".to_owned()), "source".to_owned());
        let policy = RecordPolicy { namespace, cleanup, source_id_key };
        Self { policy, faults: Mutex::default(), rows: Mutex::default() }
    }

    /// From now on these fail.
    pub(crate) fn failing(&self, faults: RecordFaults) {
        *self.faults.lock().unwrap() = faults;
    }

    /// The namespaces that have keys.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let rows = self.rows.lock().unwrap();
        let mut names: Vec<_> = rows.keys().map(|(namespace, _)| namespace.clone()).collect();
        names.dedup();
        names
    }
}

impl RecordManager for FakeRecords {
    fn policy(&self) -> &RecordPolicy {
        &self.policy
    }

    fn now<'a>(&'a self, _ctx: &'a TurnCtx) -> BoxFuture<'a, Result<f64, NodeError>> {
        ready(Ok(1.0)).boxed()
    }

    fn exist<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<bool>, NodeError>> {
        let rows = self.rows.lock().unwrap();
        let exists = |key: &Uuid| rows.contains_key(&(namespace.to_owned(), *key));
        ready(Ok(keys.iter().map(exists).collect())).boxed()
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [(Uuid, Option<String>)],
        _seen_at: f64,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        if self.faults.lock().unwrap().update {
            return ready(Err(fault("update"))).boxed();
        }
        let mut rows = self.rows.lock().unwrap();
        for (key, source) in keys {
            rows.insert((namespace.to_owned(), *key), source.clone());
        }
        ready(Ok(())).boxed()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        sources: Option<&'a [String]>,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        let rows = self.rows.lock().unwrap();
        let fits = |source: &Option<String>| match (sources, source) {
            (None, _) => true,
            (Some(sources), Some(source)) => sources.contains(source),
            (Some(_), None) => false,
        };
        let own = rows.iter().filter(|((of, _), source)| of == namespace && fits(source));
        ready(Ok(own.map(|((_, key), _)| *key).collect())).boxed()
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        if self.faults.lock().unwrap().delete {
            return ready(Err(fault("forget"))).boxed();
        }
        let mut rows = self.rows.lock().unwrap();
        for key in keys {
            rows.remove(&(namespace.to_owned(), *key));
        }
        ready(Ok(())).boxed()
    }
}
