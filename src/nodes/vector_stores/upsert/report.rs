//! What an upsert did, and how Flowise answers it.

use serde_json::{Map, Value};

use crate::retrieval::{Document, LoadFailure};

/// What an upsert did.
#[derive(Debug, Clone, Default)]
pub struct UpsertReport {
    /// Chunks that are new.
    pub num_added: usize,
    /// Chunks that were there and were written again.
    pub num_updated: usize,
    /// Chunks that were there and were left alone.
    pub num_skipped: usize,
    /// Stale chunks taken out.
    pub num_deleted: usize,
    /// Chunks that the record manager holds now; without one, the different
    /// chunks of this upsert.
    pub total_keys: usize,
    /// Whether a record manager is connected, whose counts a client expects.
    pub has_records: bool,
    /// The documents that were written; without a record manager all that came.
    pub added: Vec<Document>,
    /// Files that could not be read.
    pub failures: Vec<LoadFailure>,
}

impl UpsertReport {
    /// The answer of Flowise 2.2.8 (contract, section 9.2). Without a record
    /// manager `numAdded` counts all that came, as recorded; the other counts
    /// are there where they are not zero, for who sends the same again.
    pub fn answer(&self) -> Value {
        let counts = [
            ("numAdded", if self.has_records { self.num_added } else { self.total_keys }, true),
            ("numDeleted", self.num_deleted, self.has_records),
            ("numUpdated", self.num_updated, self.has_records),
            ("numSkipped", self.num_skipped, self.has_records),
            ("totalKeys", self.total_keys, self.has_records),
        ];
        let mut answer = Map::new();
        for (name, count, always) in counts {
            if always || (count > 0 && name != "totalKeys") {
                answer.insert(name.to_owned(), count.into());
            }
        }
        let added = self.added.iter().map(shown);
        answer.insert("addedDocs".to_owned(), added.collect());
        Value::Object(answer)
    }
}

fn shown(document: &Document) -> Value {
    let mut shown = Map::new();
    shown.insert("pageContent".to_owned(), document.page_content.as_str().into());
    shown.insert("metadata".to_owned(), Value::Object(document.metadata.clone()));
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> UpsertReport {
        let metadata = Map::from_iter([("source".to_owned(), "blob".into())]);
        let added = vec![Document::new("a", metadata)];
        UpsertReport { num_added: 1, total_keys: 1, added, ..UpsertReport::default() }
    }

    #[test]
    fn without_a_record_manager_the_answer_is_as_recorded() {
        let docs = r#""addedDocs":[{"pageContent":"a","metadata":{"source":"blob"}}]}"#;
        assert_eq!(report().answer().to_string(), format!("{{\"numAdded\":1,{docs}"));

        let skipped = UpsertReport { num_added: 0, num_skipped: 1, ..report() };
        let again = UpsertReport { num_deleted: 1, ..skipped };
        let counts = r#"{"numAdded":1,"numDeleted":1,"numSkipped":1,"#;
        assert_eq!(again.answer().to_string(), format!("{counts}{docs}"));
    }

    #[test]
    fn with_a_record_manager_all_counts_are_there() {
        let report = UpsertReport { has_records: true, ..report() };
        let keys: Vec<_> = report.answer().as_object().unwrap().keys().cloned().collect();
        let expected =
            ["numAdded", "numDeleted", "numUpdated", "numSkipped", "totalKeys", "addedDocs"];
        assert_eq!(keys, expected);
    }
}
