//! What retrieval is made of: documents, what loads and cuts them, embeddings,
//! vector indexes and record managers. Traits only; the nodes are one folder
//! per category of Flowise's palette.

mod documents;
mod records;
mod vectors;

pub use documents::{
    Document, DocumentLoader, LoadFailure, Loaded, Origin, Retriever, TextSplitter,
};
pub use records::{Cleanup, LedgerEntry, RecordManager, UpsertLedger};
pub use vectors::{
    Chunk, EmbeddedIndex, Embeddings, Hit, IndexShelf, IndexWriter, QueryKind, VectorIndex,
    VectorQuery,
};
