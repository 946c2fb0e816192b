//! What one loader may bring: its documents are in memory together, files can
//! unpack to far more than they hold, and chunks that overlap repeat it all.

use serde_json::{Map, Value};

use super::Document;

/// Text and metadata of all documents of a loader.
const MAX_BYTES: usize = 64 << 20;
/// Documents of a loader.
const MAX_DOCUMENTS: usize = 200_000;
/// Text and metadata of the chunks that they are cut into, and of what is added.
const MAX_CHUNK_BYTES: usize = 256 << 20;
/// What an entry of metadata takes beside its text.
const ENTRY_BYTES: usize = 8;

/// What may still come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    n_bytes: usize,
    n_documents: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { n_bytes: MAX_BYTES, n_documents: MAX_DOCUMENTS }
    }
}

impl Budget {
    /// What the chunks of all documents of a loader may come to.
    pub(crate) fn of_chunks() -> Self {
        Self { n_bytes: MAX_CHUNK_BYTES, n_documents: MAX_DOCUMENTS }
    }

    /// No limit.
    #[cfg(test)]
    pub(crate) fn endless() -> Self {
        Self { n_bytes: usize::MAX, n_documents: usize::MAX }
    }

    /// How many documents may still come.
    pub(crate) fn n_documents(&self) -> usize {
        self.n_documents
    }

    /// Takes a document's share; `None` when there is no room for it.
    pub(crate) fn take(&mut self, document: &Document) -> Option<()> {
        self.take_bytes(document.page_content.len() + Self::size_of(&document.metadata))
    }

    /// The same for a document that is still to be made, by its size.
    pub(crate) fn take_bytes(&mut self, n_bytes: usize) -> Option<()> {
        self.n_bytes = self.n_bytes.checked_sub(n_bytes)?;
        self.n_documents = self.n_documents.checked_sub(1)?;
        Some(())
    }

    /// About what metadata take.
    pub(crate) fn size_of(metadata: &Map<String, Value>) -> usize {
        metadata.iter().map(|(key, value)| key.len() + size(value) + ENTRY_BYTES).sum()
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size(item) + ENTRY_BYTES).sum(),
        Value::Object(map) => Budget::size_of(map),
        _ => ENTRY_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_metadata_and_the_number_of_documents_are_counted() {
        let document = Document::new("x".repeat(MAX_BYTES / 2), Map::new());
        let mut budget = Budget::default();
        assert!(budget.take(&document).is_some());
        assert!(budget.take(&document).is_some());
        assert!(budget.take(&document).is_none(), "too much text");

        let long = json!({"a": ["x".repeat(MAX_BYTES)]}).as_object().unwrap().clone();
        assert!(Budget::default().take(&Document::new("", long)).is_none(), "too much metadata");

        let mut budget = Budget { n_documents: 1, ..Budget::default() };
        let small = Document::new("x", Map::new());
        assert!(budget.take(&small).is_some());
        assert!(budget.take(&small).is_none(), "too many documents");
    }
}
