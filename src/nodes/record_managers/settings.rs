//! What all record managers are told: namespace, cleanup and the metadata key
//! of a chunk's source.

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::retrieval::{Cleanup, RecordPolicy};
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

const DEFAULT_SOURCE_ID_KEY: &str = "source";

/// What the author of a record manager decided.
///
/// # Errors
/// [`NodeError::BadInput`] for an unknown cleanup.
pub(super) fn policy(inputs: &Inputs) -> Result<RecordPolicy, NodeError> {
    let cleanup = match inputs.text(CLEANUP.name).as_deref() {
        None | Some("none") => Cleanup::None,
        Some("incremental") => Cleanup::Incremental,
        Some("full") => Cleanup::Full,
        Some(_) => return Err(inputs.bad(CLEANUP.name, "must be none, incremental or full")),
    };
    let source_id_key = inputs.text(SOURCE_ID_KEY.name);
    Ok(RecordPolicy {
        namespace: inputs.text(NAMESPACE.name),
        cleanup,
        source_id_key: source_id_key.unwrap_or_else(|| DEFAULT_SOURCE_ID_KEY.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{inputs, source};

    #[test]
    fn empty_settings_are_those_of_flowise() {
        let expected = RecordPolicy {
            namespace: None,
            cleanup: Cleanup::None,
            source_id_key: "source".to_owned(),
        };

        assert_eq!(policy(&inputs([("namespace", source(""))])).unwrap(), expected);
    }

    #[test]
    fn typed_settings_are_read() {
        let expected = RecordPolicy {
            namespace: Some("shop".to_owned()),
            cleanup: Cleanup::Incremental,
            source_id_key: "url".to_owned(),
        };

        let typed = inputs([
            ("namespace", source("shop")),
            ("cleanup", source("incremental")),
            ("sourceIdKey", source("url")),
        ]);

        assert_eq!(policy(&typed).unwrap(), expected);
        let error = policy(&inputs([("cleanup", source("all"))])).unwrap_err();
        assert!(error.to_string().contains("cleanup must be none"), "{error}");
    }
}
