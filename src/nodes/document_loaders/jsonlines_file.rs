//! Flowise `jsonlinesFile`, version 3: files with a JSON value a line, one
//! document for each, of the text at a pointer.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Map, Value};

use super::files::{Files, Problem, Source};
use super::json_file::FoundMetadata;
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader_adding};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::extract::{self, Pointer};
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Document, DocumentLoader, Loaded};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "jsonlinesFile",
    category: "Document Loaders",
    version: 3.0,
    about: "JSON Lines files as documents, one a line.",
    params: &[
        Param::open("jsonlinesFile", Kind::File),
        Param::open("pointerName", Kind::Text),
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
        let error = inputs.bad("pointerName", "is empty; write the key of the text of a line");
        return loader_adding(inputs, added, Unset(error));
    };
    let read = move |source: &Source<'_>| read(source, &pointer, &found);
    loader_adding(inputs, added, Files::of(inputs, &["jsonlinesFile"], Arc::new(read)))
}

/// The pointer of `pointerName`.
pub(super) fn pointer(inputs: &Inputs) -> Option<Pointer> {
    inputs.text("pointerName").as_deref().and_then(Pointer::parse)
}

/// A loader that is not filled in says so when it is asked to load, since
/// predictions of its chatflow may do without.
struct Unset(NodeError);

impl DocumentLoader for Unset {
    fn load<'a>(&'a self, _ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        ready(Err(self.0.clone())).boxed()
    }
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
