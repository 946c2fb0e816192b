//! What an upsert of a vector store says of itself: how far it is, what it
//! did, the row of its job and the row of its history.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ErrorCode;
use crate::ids::{ChatId, ChatflowId};
use crate::repetition::Repetition;
use crate::time::Timestamp;

/// Where an upsert is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum UpsertState {
    /// Behind another upsert of its store, or for a place among those that run.
    #[default]
    Waiting,
    /// On its way.
    Running,
    /// All is written.
    Done,
    /// It ended with an error; the store holds what it held before.
    Failed,
    /// Its client left or stopped it.
    Cancelled,
    /// The server stopped while it ran.
    Interrupted,
}

impl UpsertState {
    /// Whether nothing more happens.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// How far an upsert is: counts of all of its stores so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpsertProgress {
    /// Where it is.
    pub state: UpsertState,
    /// Files and pages read.
    pub files: u64,
    /// Chunks that they were cut into; 0 until all are read.
    pub chunks: u64,
    /// Of them, those that were there already.
    pub skipped: u64,
    /// Of them, those that have their vector.
    pub embedded: u64,
    /// Of them, those that are written.
    pub written: u64,
}

impl UpsertProgress {
    /// The counts of both, in the state of the other.
    #[must_use]
    pub fn with(self, next: Self) -> Self {
        Self {
            state: next.state,
            files: self.files + next.files,
            chunks: self.chunks + next.chunks,
            skipped: self.skipped + next.skipped,
            embedded: self.embedded + next.embedded,
            written: self.written + next.written,
        }
    }
}

/// A file or a page that an upsert left out, where its caller allowed that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreadFile {
    /// Its name or address.
    pub name: String,
    /// What is wrong, starting with a verb.
    pub problem: String,
}

/// What an upsert did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpsertReply {
    /// Chunks that are new.
    pub num_added: u64,
    /// Chunks that were written again.
    pub num_updated: u64,
    /// Chunks that were left alone.
    pub num_skipped: u64,
    /// Chunks that were taken out.
    pub num_deleted: u64,
    /// Different chunks that it brought.
    pub total_keys: u64,
    /// Whether a record manager counted, whose counts a client expects.
    pub has_records: bool,
    /// The documents that were written, without a record manager all that
    /// came: `{pageContent, metadata}`.
    pub added_docs: Vec<Value>,
    /// Files that were left out.
    pub failures: Vec<UnreadFile>,
}

impl UpsertReply {
    /// Adds what the upsert of another store did.
    pub fn add(&mut self, next: Self) {
        self.num_added += next.num_added;
        self.num_updated += next.num_updated;
        self.num_skipped += next.num_skipped;
        self.num_deleted += next.num_deleted;
        self.total_keys += next.total_keys;
        self.has_records |= next.has_records;
        self.added_docs.extend(next.added_docs);
        self.failures.extend(next.failures);
    }

    /// The body of the answer (contract of Flowise 2.2.8, section 9.2), with
    /// `failures` where files were left out.
    pub fn answer(self) -> Map<String, Value> {
        let mut answer = self.counts();
        if self.has_records {
            answer.insert("totalKeys".into(), json!(self.total_keys));
        }
        answer.insert("addedDocs".into(), Value::Array(self.added_docs));
        if !self.failures.is_empty() {
            answer.insert("failures".into(), json!(self.failures));
        }
        answer
    }

    /// The counts that a row of the history keeps (section 9.3). Without a
    /// record manager `numAdded` counts all that came, as recorded; the others
    /// are there where they are not zero, for who sends the same again.
    pub fn counts(&self) -> Map<String, Value> {
        let added = if self.has_records { self.num_added } else { self.total_keys };
        let mut counts = Map::from_iter([("numAdded".to_owned(), json!(added))]);
        for (name, count) in [
            ("numDeleted", self.num_deleted),
            ("numUpdated", self.num_updated),
            ("numSkipped", self.num_skipped),
        ] {
            if self.has_records || count > 0 {
                counts.insert(name.to_owned(), json!(count));
            }
        }
        counts
    }
}

/// One request to fill stores, from its arrival to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpsertJob {
    /// Unguessable.
    pub id: Uuid,
    /// The chatflow.
    pub chatflow_id: ChatflowId,
    /// The chat that its chunks belong to.
    pub chat_id: ChatId,
    /// The vector stores by the ids of their nodes, in order.
    pub stop_node_ids: Vec<String>,
    /// How far it is.
    pub progress: UpsertProgress,
    /// The answer, once it is done.
    pub result: Option<Map<String, Value>>,
    /// Why it failed.
    pub error: Option<JobError>,
    /// What a repetition is recognized by.
    pub repetition: Option<Repetition>,
    /// When it arrived.
    pub created_date: Timestamp,
    /// When it ended.
    pub finished_date: Option<Timestamp>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobError {
    /// The kind of failure.
    pub code: ErrorCode,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// A row of `/api/v1/upsert-history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpsertRecord {
    /// The id.
    pub id: Uuid,
    /// The chatflow, lower-case key as on the wire.
    pub chatflowid: ChatflowId,
    /// The counts of the answer, without `totalKeys` and `addedDocs`.
    #[schema(value_type = Value)]
    pub result: Map<String, Value>,
    /// The nodes that took part, with their parameters.
    #[serde(rename = "flowData")]
    pub flow_data: Vec<Value>,
    /// When it was done.
    pub date: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(has_records: bool) -> UpsertReply {
        UpsertReply {
            num_added: 2,
            num_updated: 1,
            num_skipped: 3,
            num_deleted: 4,
            total_keys: 6,
            has_records,
            added_docs: vec![json!({"pageContent": "x", "metadata": {}})],
            failures: Vec::new(),
        }
    }

    #[test]
    fn without_a_record_manager_all_that_came_counts_as_added() {
        let first = UpsertReply { num_added: 2, total_keys: 2, ..UpsertReply::default() };
        let again = UpsertReply { num_added: 0, num_skipped: 2, ..first.clone() };
        assert_eq!(Value::Object(first.answer()), json!({"numAdded": 2, "addedDocs": []}));
        let expected = json!({"numAdded": 2, "numSkipped": 2});
        assert_eq!(Value::Object(again.counts()), expected);
    }

    #[test]
    fn with_a_record_manager_all_counts_are_told_in_the_recorded_order() {
        let mut two = reply(true);
        two.add(reply(true));
        two.failures.push(UnreadFile { name: "a.pdf".into(), problem: "is empty".into() });
        assert_eq!(two.counts().len(), 4);
        let answer = two.answer();
        let names: Vec<_> = answer.keys().cloned().collect();
        let expected = [
            "numAdded",
            "numDeleted",
            "numUpdated",
            "numSkipped",
            "totalKeys",
            "addedDocs",
            "failures",
        ];
        assert_eq!(names, expected);
        let n_docs = answer["addedDocs"].as_array().map(Vec::len);
        assert_eq!((&answer["numAdded"], n_docs), (&json!(4), Some(2)));
    }
}
