//! Text splitters: long texts into chunks that fit a model and an embedding.

use crate::retrieval::{Document, TextSplitter};
use crate::spec::NodeSpec;

/// The text splitter nodes.
pub const NODES: &[&NodeSpec] = &[];

/// Cuts documents into chunks, which keep their metadata and their origin.
pub fn split_documents(splitter: &dyn TextSplitter, documents: Vec<Document>) -> Vec<Document> {
    let chunks = |document: Document| {
        let chunk = |page_content| Document { page_content, ..document.clone() };
        splitter.split(&document.page_content).into_iter().map(chunk).collect::<Vec<_>>()
    };
    documents.into_iter().flat_map(chunks).collect()
}
