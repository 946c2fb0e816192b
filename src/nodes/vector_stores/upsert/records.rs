//! A store's record manager, bound to the store's namespace and the turn.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use super::book::AT_ONCE;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{Cleanup, Document, RecordManager};
use crate::vector_stores::VectorStore;

/// The record manager of one store.
pub(in crate::vector_stores) struct Records<'a> {
    manager: &'a dyn RecordManager,
    /// Its own or the chatflow's id, and the node's name (Flowise 2.2.8, `indexing.ts`).
    namespace: String,
}

impl<'a> Records<'a> {
    /// The record manager, if one is connected.
    pub(in crate::vector_stores) fn of(store: &'a VectorStore, ctx: &TurnCtx) -> Option<Self> {
        let manager = store.records.as_deref()?;
        let own = manager.policy().namespace.clone();
        let namespace = own.unwrap_or_else(|| ctx.chatflow.to_string());
        let namespace = match &store.records_name {
            Some(name) => format!("{namespace}_{name}"),
            None => namespace,
        };
        Some(Self { manager, namespace })
    }

    /// Which of these are recorded.
    pub(super) async fn exist(
        &self,
        ids: &[Uuid],
        ctx: &TurnCtx,
    ) -> Result<HashSet<Uuid>, NodeError> {
        let mut found = HashSet::new();
        for ids in ids.chunks(AT_ONCE) {
            let exist = self.manager.exist(&self.namespace, ids, ctx).await?;
            found.extend(ids.iter().zip(exist).filter(|(_, exists)| *exists).map(|(id, _)| *id));
        }
        Ok(found)
    }

    /// The source of every document. Only an incremental cleanup needs them.
    ///
    /// # Errors
    /// [`NodeError::BadRequest`] naming the key that an incremental cleanup misses.
    pub(super) fn sources(&self, documents: &[Document]) -> Result<Vec<Option<String>>, NodeError> {
        let key = &self.manager.policy().source_id_key;
        let must = self.manager.policy().cleanup == Cleanup::Incremental;
        let source = |document: &Document| match source(document, key) {
            None if must => Err(NodeError::BadRequest(format!(
                "a document has no \"{key}\" in its metadata, which the record manager's \
                 incremental cleanup needs; add it to the loader's metadata, or change sourceIdKey"
            ))),
            source => Ok(source),
        };
        documents.iter().map(source).collect()
    }

    /// What the cleanup mode may take out, kept chunks among it. It does not
    /// depend on clocks: all upserts of an index run one after the other.
    pub(super) async fn outdated(
        &self,
        sources: &[Option<String>],
        ctx: &TurnCtx,
    ) -> Result<Vec<Uuid>, NodeError> {
        match self.manager.policy().cleanup {
            Cleanup::None => Ok(Vec::new()),
            Cleanup::Full => self.all(ctx).await,
            Cleanup::Incremental => {
                let sources: HashSet<&String> = sources.iter().flatten().collect();
                let sources: Vec<String> = sources.into_iter().cloned().collect();
                let mut found = Vec::new();
                for sources in sources.chunks(AT_ONCE) {
                    let list = self.manager.list(&self.namespace, Some(sources), ctx);
                    found.extend(list.await?);
                }
                Ok(found)
            }
        }
    }

    /// All that is recorded.
    pub(super) async fn all(&self, ctx: &TurnCtx) -> Result<Vec<Uuid>, NodeError> {
        self.manager.list(&self.namespace, None, ctx).await
    }

    /// Notes what an upsert brought as seen now.
    pub(super) async fn note(
        &self,
        keys: &[(Uuid, Option<String>)],
        ctx: &TurnCtx,
    ) -> Result<(), NodeError> {
        let now = self.manager.now(ctx).await?;
        for keys in keys.chunks(AT_ONCE) {
            self.manager.update(&self.namespace, keys, now, ctx).await?;
        }
        Ok(())
    }

    /// Forgets chunks.
    pub(in crate::vector_stores) async fn forget(
        &self,
        ids: &[Uuid],
        ctx: &TurnCtx,
    ) -> Result<(), NodeError> {
        for ids in ids.chunks(AT_ONCE) {
            self.manager.delete(&self.namespace, ids, ctx).await?;
        }
        Ok(())
    }
}

fn source(document: &Document, key: &str) -> Option<String> {
    match document.metadata.get(key)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
