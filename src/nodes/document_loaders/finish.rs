//! What is done to the documents of every loader, off the arbiters: they are cut,
//! the author's metadata goes in, unwanted keys go out.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::retrieval::{Budget, Document, Origin, TextSplitter};
use crate::text_splitters::split_documents;

/// What a loader's inputs say of all of its documents.
pub(super) struct Finish {
    pub(super) splitter: Option<Arc<dyn TextSplitter>>,
    pub(super) added: Map<String, Value>,
    /// Names separated by commas, or `*`.
    pub(super) omitted: String,
    /// Where documents come from that do not say it themselves.
    pub(super) origin: Origin,
}

impl Finish {
    /// Whether it takes no time worth speaking of.
    pub(super) fn is_quick(&self) -> bool {
        self.splitter.is_none() && self.added.is_empty() && self.omitted.is_empty()
    }

    /// The documents as stores and chains get them.
    ///
    /// # Errors
    /// What is wrong, to be read behind the loader's title.
    pub(super) fn finished(&self, documents: Vec<Document>) -> Result<Vec<Document>, String> {
        let n_added_bytes = Budget::size_of(&self.added);
        let mut documents = match &self.splitter {
            // A splitter's room counts what is added, too.
            Some(splitter) => split_documents(splitter.as_ref(), documents, n_added_bytes)
                .map_err(|too_much| format!("the text {too_much}"))?,
            None => self.checked(documents, n_added_bytes)?,
        };
        for document in &mut documents {
            merge(&mut document.metadata, &self.added, &self.omitted);
            document.origin.get_or_insert_with(|| self.origin.clone());
        }
        Ok(documents)
    }

    /// Added metadata comes again with every document, and a request may
    /// bring both.
    fn checked(&self, documents: Vec<Document>, n_bytes: usize) -> Result<Vec<Document>, String> {
        let all = n_bytes.saturating_mul(documents.len());
        match Budget::of_chunks().take_bytes(all) {
            Some(()) => Ok(documents),
            None => Err(format!(
                "metadata of {n_bytes} bytes are too much for {} documents",
                documents.len()
            )),
        }
    }
}

/// `*` drops what the loader found and keeps what the author added; a list of
/// names drops those, whoever gave them: `key` or, inside of one, `key.inner`.
fn merge(metadata: &mut Map<String, Value>, added: &Map<String, Value>, omitted: &str) {
    if omitted == "*" {
        metadata.clone_from(added);
        return;
    }
    metadata.extend(added.iter().map(|(key, value)| (key.clone(), value.clone())));
    for key in omitted.split(',').map(str::trim).filter(|key| !key.is_empty()) {
        remove(metadata, key);
    }
}

fn remove(metadata: &mut Map<String, Value>, key: &str) {
    if metadata.shift_remove(key).is_some() {
        return;
    }
    if let Some((outer, inner)) = key.split_once('.')
        && let Some(Value::Object(map)) = metadata.get_mut(outer)
    {
        remove(map, inner);
    }
}
