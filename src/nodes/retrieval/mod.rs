//! What retrieval is made of: documents, what loads and cuts them, embeddings,
//! vector indexes and record managers. Traits only; the nodes are one folder
//! per category of Flowise's palette.

mod budget;
mod documents;
mod records;
mod vectors;

#[cfg(test)]
pub(crate) mod fakes;

pub(crate) use budget::Budget;
pub use documents::{
    Document, DocumentLoader, LoadFailure, Loaded, Origin, Retriever, Supply, TextSplitter,
};
pub use records::{Cleanup, LedgerEntry, RecordManager, RecordPolicy, UpsertLedger};
pub(crate) use vectors::check_vectors;
pub use vectors::{
    Chunk, EmbeddedIndex, Embeddings, Hit, IndexShelf, IndexWriter, QueryKind, VectorIndex,
    VectorQuery,
};
