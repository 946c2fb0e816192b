//! Vector stores: an index, embeddings, what fills it and how it is searched.
//!
//! A node's file makes its [`VectorIndex`] and hands it to [`VectorStore::assemble`];
//! writing (`upsert`) and searching (`search`) are the same for all.

mod embedded;
mod faiss;
mod fill;
mod memory_vector_store;
mod mmr;
mod passing;
mod remove;
mod search;
mod settings;
mod upsert;

pub mod chroma;
pub mod pinecone;
pub mod postgres;
pub mod qdrant;

mod flat;
mod remote;

use std::sync::Arc;

use tokio::sync::OnceCell;

pub use embedded::{own_collections, owner};
pub use remove::Selection;
pub use settings::{SearchKind, SearchSettings};
pub use upsert::{
    PAGES_OF, Settled, UpsertCounts, UpsertOptions, UpsertReport, UpsertWatch, all_settled,
};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{DocumentLoader, Embeddings, RecordManager, VectorIndex};
use crate::spec::NodeSpec;
use crate::vector_index::Snapshot;

/// The vector store nodes.
pub const NODES: &[&NodeSpec] = &[
    &chroma::SPEC,
    &faiss::SPEC,
    &memory_vector_store::SPEC,
    &pinecone::SPEC,
    &postgres::SPEC,
    &qdrant::SPEC,
];

/// A vector store as its node describes it. Building it calls nobody.
pub struct VectorStore {
    /// Label and id of the node, for errors.
    pub title: String,
    /// What Flowise appends to a record manager's namespace, after an
    /// underscore: the store's table, collection or namespace; nothing with `None`.
    pub records_name: Option<String>,
    /// Where vectors are.
    pub index: Arc<dyn VectorIndex>,
    /// What makes vectors.
    pub embeddings: Arc<dyn Embeddings>,
    /// What fills it.
    pub loaders: Vec<Arc<dyn DocumentLoader>>,
    /// What remembers its chunks.
    pub records: Option<Arc<dyn RecordManager>>,
    /// How it is searched.
    pub search: SearchSettings,
    /// Whether chunks belong to the chat that brought them (`fileUpload`).
    pub by_chat: bool,
    /// Whether it fills itself from its loaders before its first search
    /// (`memoryVectorStore`, which keeps nothing in Flowise).
    pub fills_itself: bool,
    /// Set when it has filled itself, with what is only this request's.
    pub filled: Arc<OnceCell<Option<Arc<Snapshot>>>>,
}

impl VectorStore {
    /// The store of a node: its connections and its search settings, read from
    /// the inputs that all vector stores have.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for a missing connection or a bad setting.
    pub fn assemble(
        inputs: &Inputs,
        node_name: &'static str,
        index: impl VectorIndex + 'static,
        filter_input: &str,
    ) -> Result<Self, NodeError> {
        Ok(Self {
            title: inputs.title(),
            records_name: Some(node_name.to_owned()),
            index: Arc::new(index),
            embeddings: inputs.embeddings("embeddings")?,
            loaders: inputs.loaders("document")?,
            records: inputs.record_manager("recordManager")?,
            search: SearchSettings::read(inputs, filter_input)?,
            by_chat: inputs.boolean("fileUpload")?.unwrap_or(false),
            fills_itself: false,
            filled: Arc::default(),
        })
    }

    /// The store with another name for its record manager.
    #[must_use]
    pub fn with_records_name(mut self, name: Option<String>) -> Self {
        self.records_name = name;
        self
    }

    /// Fills itself together with another store, where both are filled from the
    /// same loaders into the same index: one that only searches otherwise, as
    /// a request asked, does not load all of it again.
    pub fn fill_with(&mut self, other: &Self, ctx: &TurnCtx) {
        let same = |(a, b): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(a, b);
        let has_same_loaders = self.loaders.len() == other.loaders.len()
            && self.loaders.iter().zip(&other.loaders).all(same);
        if has_same_loaders
            && self.by_chat == other.by_chat
            && self.index.identity(ctx) == other.index.identity(ctx)
        {
            self.filled = Arc::clone(&other.filled);
        }
    }

    /// The store as a built node. Both of its outputs are the store: a chain
    /// that wants a retriever asks it as one.
    pub fn into_instance(self) -> Instance {
        Instance::VectorStore(Arc::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_chooses_no_filter_and_no_namespace_unless_the_chatflow_lists_it() {
        let is_bound = |name: &str| {
            let name = name.to_lowercase();
            name.contains("filter") || name.contains("namespace")
        };
        let params = NODES.iter().flat_map(|spec| spec.params);
        let bound: Vec<_> = params.filter(|param| is_bound(param.name)).collect();

        assert_eq!(bound.len(), NODES.len() + 1, "a filter each, and one namespace");
        assert!(bound.iter().all(|param| !param.open && param.openable));
    }
}
