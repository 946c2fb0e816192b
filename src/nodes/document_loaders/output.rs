//! What all loaders do with the documents they found: the author's metadata
//! goes in, unwanted keys go out, and the chosen output is made.

use serde_json::{Map, Value};

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Document, Instance};
use crate::spec::{Kind, Param};

/// The metadata that the author adds.
pub(super) const METADATA: Param = Param::open("metadata", Kind::Json);
/// The keys that are left out: names separated by commas, or `*`.
pub(super) const OMIT_METADATA_KEYS: Param = Param::open("omitMetadataKeys", Kind::Text);
/// What cuts the documents into chunks.
pub(super) const TEXT_SPLITTER: Param = Param::closed("textSplitter", Kind::Node);

/// The chosen output of a loader: `document` (the default), or `text`, which
/// is every page's content followed by a line break.
///
/// # Errors
/// [`NodeError::BadInput`] for metadata that is no object.
pub(super) fn output(inputs: &Inputs, documents: Vec<Document>) -> Result<Instance, NodeError> {
    if inputs.output.as_deref() == Some("text") {
        return Ok(Instance::Text(joined(&documents).into()));
    }
    let documents = with_metadata(inputs, documents)?;
    Ok(Instance::Documents(documents.into()))
}

fn joined(documents: &[Document]) -> String {
    let length = documents.iter().map(|document| document.page_content.len() + 1).sum();
    let mut text = String::with_capacity(length);
    for document in documents {
        text.push_str(&document.page_content);
        text.push('\n');
    }
    text
}

fn with_metadata(
    inputs: &Inputs,
    mut documents: Vec<Document>,
) -> Result<Vec<Document>, NodeError> {
    let added = inputs.object("metadata")?;
    let omitted = inputs.text("omitMetadataKeys").unwrap_or_default();
    for document in &mut documents {
        merge(&mut document.metadata, &added, omitted.trim());
    }
    Ok(documents)
}

/// `*` drops what the loader found and keeps what the author added; a list of
/// names drops those, whoever gave them.
fn merge(metadata: &mut Map<String, Value>, added: &Map<String, Value>, omitted: &str) {
    if omitted == "*" {
        metadata.clone_from(added);
        return;
    }
    metadata.extend(added.iter().map(|(key, value)| (key.clone(), value.clone())));
    for key in omitted.split(',').map(str::trim) {
        metadata.shift_remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{inputs, json as tree, source};

    fn page(text: &str) -> Document {
        let metadata = json!({"source": "a.txt", "line": 1});
        let metadata = metadata.as_object().unwrap().clone();
        Document { page_content: text.to_owned(), metadata }
    }

    #[test]
    fn metadata_is_merged_and_keys_are_omitted() {
        for (added, omitted, expected) in [
            (json!(null), "", json!({"source": "a.txt", "line": 1})),
            (
                json!({"line": 2, "team": "x"}),
                "",
                json!({"source": "a.txt", "line": 2, "team": "x"}),
            ),
            (json!({"team": "x"}), "source, line", json!({"team": "x"})),
            (json!({"team": "x"}), "team,nothing", json!({"source": "a.txt", "line": 1})),
            (json!({"team": "x"}), " * ", json!({"team": "x"})),
            (json!("{\"team\":\"x\"}"), "*", json!({"team": "x"})),
        ] {
            let inputs = inputs([("metadata", tree(added)), ("omitMetadataKeys", source(omitted))]);

            let Instance::Documents(documents) = output(&inputs, vec![page("p")]).unwrap() else {
                panic!("documents")
            };

            assert_eq!(Value::Object(documents[0].metadata.clone()), expected, "{omitted}");
        }
    }

    #[test]
    fn the_text_output_ends_every_page_with_a_line_break() {
        let mut inputs = inputs([]);
        inputs.output = Some("text".to_owned());

        let text = output(&inputs, vec![page("one"), page("two")]).unwrap();

        assert!(matches!(text, Instance::Text(text) if &*text == "one\ntwo\n"));
    }

    #[test]
    fn metadata_that_is_no_object_is_refused_by_name() {
        let error = output(&inputs([("metadata", tree(json!([1])))]), Vec::new()).err().unwrap();

        assert!(error.to_string().contains("metadata must be a JSON object"), "{error}");
    }
}
