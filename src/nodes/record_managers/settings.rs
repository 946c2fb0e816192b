//! What all record managers are told: table, namespace, cleanup and the
//! metadata key of a chunk's source.

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::retrieval::Cleanup;
use crate::spec::{Kind, Param};

/// The table's name, `upsertion_records` where it is empty.
pub(super) const TABLE_NAME: Param = Param::closed("tableName", Kind::Text);
/// What keeps the chunks of two stores apart; the chatflow's id where it is empty.
pub(super) const NAMESPACE: Param = Param::closed("namespace", Kind::Text);
/// What an upsert deletes. Closed: `full` in a caller's hands empties a store.
pub(super) const CLEANUP: Param =
    Param::closed("cleanup", Kind::Choice(&["none", "incremental", "full"]));
/// The metadata key of a chunk's source, `source` where it is empty.
pub(super) const SOURCE_ID_KEY: Param = Param::closed("sourceIdKey", Kind::Text);

const DEFAULT_TABLE: &str = "upsertion_records";
const DEFAULT_SOURCE_ID_KEY: &str = "source";
/// Longest table name that Postgres tells apart from others.
const MAX_TABLE_NAME: usize = 63;

/// The settings of a record manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// A plain identifier, in lower case: it may stand in a statement as it is.
    pub(super) table: String,
    /// The namespace that its author typed.
    pub(super) namespace: Option<String>,
    /// What an upsert deletes.
    pub(super) cleanup: Cleanup,
    /// The metadata key of a chunk's source.
    pub(super) source_id_key: String,
}

impl Settings {
    /// Reads the settings of a node.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for a table name that is no identifier, and for
    /// an unknown cleanup.
    pub(super) fn read(inputs: &Inputs) -> Result<Self, NodeError> {
        let cleanup = match inputs.text(CLEANUP.name).as_deref() {
            None | Some("none") => Cleanup::None,
            Some("incremental") => Cleanup::Incremental,
            Some("full") => Cleanup::Full,
            Some(_) => return Err(inputs.bad(CLEANUP.name, "must be none, incremental or full")),
        };
        let source_id_key = inputs.text(SOURCE_ID_KEY.name);
        Ok(Self {
            table: table(inputs)?,
            namespace: inputs.text(NAMESPACE.name),
            cleanup,
            source_id_key: source_id_key.unwrap_or_else(|| DEFAULT_SOURCE_ID_KEY.to_owned()),
        })
    }
}

/// The table's name as Flowise normalizes it: trimmed, in lower case, with `_`
/// for blanks.
fn table(inputs: &Inputs) -> Result<String, NodeError> {
    let typed = inputs.text(TABLE_NAME.name).unwrap_or_else(|| DEFAULT_TABLE.to_owned());
    let words: Vec<&str> = typed.split_whitespace().collect();
    let name = words.join("_").to_ascii_lowercase();
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // SQLite keeps names that begin so for itself.
    let is_free = !name.starts_with("sqlite_");
    if is_plain && is_free && (1..=MAX_TABLE_NAME).contains(&name.len()) {
        return Ok(name);
    }
    let problem = "must be made of letters, digits and underscores, 63 at most";
    Err(inputs.bad(TABLE_NAME.name, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{inputs, source};

    #[test]
    fn empty_settings_are_those_of_flowise() {
        let expected = Settings {
            table: "upsertion_records".to_owned(),
            namespace: None,
            cleanup: Cleanup::None,
            source_id_key: "source".to_owned(),
        };

        assert_eq!(Settings::read(&inputs([("namespace", source(""))])).unwrap(), expected);
    }

    #[test]
    fn typed_settings_are_read() {
        let read = Settings::read(&inputs([
            ("tableName", source(" My Records ")),
            ("namespace", source("shop")),
            ("cleanup", source("incremental")),
            ("sourceIdKey", source("url")),
        ]))
        .unwrap();

        assert_eq!((read.table.as_str(), read.namespace.as_deref()), ("my_records", Some("shop")));
        assert_eq!((read.cleanup, read.source_id_key.as_str()), (Cleanup::Incremental, "url"));
    }

    #[test]
    fn what_could_leave_its_place_in_a_statement_is_no_table_name() {
        let long = "t".repeat(64);
        for name in ["a\"; drop table x; --", "a.b", "é", "-", "sqlite_master", &long] {
            let error = Settings::read(&inputs([("tableName", source(name))])).unwrap_err();
            assert!(error.to_string().contains("tableName must be made of letters"), "{error}");
        }
        let error = Settings::read(&inputs([("cleanup", source("all"))])).unwrap_err();
        assert!(error.to_string().contains("cleanup must be none"), "{error}");
    }
}
