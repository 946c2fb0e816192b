//! Flowise `jsonlinesFile`, version 3: files with a JSON value a line, one
//! document for each, of the text at a pointer.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::files::{Files, Problem, Source};
use super::json_file::FoundMetadata;
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader_adding};
use super::unset::Unset;
use crate::error::NodeError;
use crate::extract::{self, Pointer};
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Document;
use crate::spec::{Kind, NodeSpec, Param};

/// Where the text of a line stands, also where a loader reads other files as well.
pub(super) const POINTER_NAME: Param = Param::open("pointerName", Kind::Text);

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "jsonlinesFile",
    category: "Document Loaders",
    version: 3.0,
    about: "JSON Lines files as documents, one a line.",
    params: &[
        Param::open("jsonlinesFile", Kind::File),
        POINTER_NAME,
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let (found, added) = FoundMetadata::of(inputs)?;
    let Some(pointer) = pointer(inputs) else {
        let error = inputs.bad(POINTER_NAME.name, "is empty; write the key of the text of a line");
        return loader_adding(inputs, added, Unset(error));
    };
    let read = move |source: &Source<'_>| read(source, &pointer, &found);
    loader_adding(inputs, added, Files::of(inputs, &["jsonlinesFile"], Arc::new(read)))
}

/// What `pointerName` says.
pub(super) fn pointer(inputs: &Inputs) -> Option<Pointer> {
    inputs.text(POINTER_NAME.name).as_deref().and_then(Pointer::parse)
}

/// A document for each line.
pub(super) fn read(
    source: &Source<'_>,
    pointer: &Pointer,
    found: &FoundMetadata,
) -> Result<Vec<Document>, Problem> {
    let text = extract::text(source.bytes)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    // The first line that cannot be read ends the file.
    let mut problem = None;
    let texts = lines.map_while(|(at, line)| match line_of(line, pointer, found) {
        Ok(line) => Some(line),
        Err(what) => {
            problem = Some(Problem(format!("{what} in line {}", at + 1)));
            None
        }
    });
    let documents = source.lines(texts)?;
    problem.map_or(Ok(documents), Err)
}

fn line_of(
    line: &str,
    pointer: &Pointer,
    found: &FoundMetadata,
) -> Result<(String, Map<String, Value>), &'static str> {
    let tree: Value = serde_json::from_str(line).map_err(|_| "is no valid JSON")?;
    let text = pointer.get(&tree).and_then(Value::as_str);
    let text = text.ok_or("has no text at the pointer")?;
    Ok((text.to_owned(), found.values(&tree)))
}
