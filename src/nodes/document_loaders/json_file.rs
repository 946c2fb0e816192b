//! Flowise `jsonFile`, version 3: the strings of JSON files, all of them or
//! those below JSON pointers. Metadata that start with `/` are pointers, too:
//! every object of a list gives its own value.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::files::{Files, Problem, Source};
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader_adding};
use crate::error::NodeError;
use crate::extract::{self, Pointer, strings};
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Document;
use crate::spec::{Kind, NodeSpec, Param};

/// Pointers of one node: each is tried at every place of the file.
const MAX_POINTERS: usize = 32;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "jsonFile",
    category: "Document Loaders",
    version: 3.0,
    about: "The strings of JSON files as documents.",
    params: &[
        Param::open("jsonFile", Kind::File),
        Param::open("pointersName", Kind::Text),
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let names = inputs.text("pointersName").unwrap_or_default();
    let mut pointers: Vec<Pointer> = Vec::new();
    for pointer in names.split(',').filter_map(Pointer::parse) {
        // A pointer that is named again finds nothing new.
        if pointers.len() <= MAX_POINTERS && !pointers.contains(&pointer) {
            pointers.push(pointer);
        }
    }
    if pointers.len() > MAX_POINTERS {
        return Err(inputs.bad("pointersName", format!("holds more than {MAX_POINTERS} pointers")));
    }
    let (found, added) = FoundMetadata::of(inputs)?;
    let read = move |source: &Source<'_>| read(source, &pointers, &found);
    loader_adding(inputs, added, Files::of(inputs, &["jsonFile"], Arc::new(read)))
}

/// Metadata that every object of a file gives itself.
#[derive(Debug, Default)]
pub(super) struct FoundMetadata(Vec<(String, Pointer)>);

impl FoundMetadata {
    /// Parts the metadata that are pointers from those that are what they say.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for metadata that are no object.
    pub(super) fn of(inputs: &Inputs) -> Result<(Self, Map<String, Value>), NodeError> {
        let mut found = Vec::new();
        let mut added = inputs.object(METADATA.name)?;
        added.retain(|key, value| match value.as_str().filter(|text| text.starts_with('/')) {
            None => true,
            Some(text) => {
                found.extend(Pointer::parse(text).map(|pointer| (key.clone(), pointer)));
                false
            }
        });
        if found.len() > MAX_POINTERS {
            return Err(
                inputs.bad(METADATA.name, format!("holds more than {MAX_POINTERS} pointers"))
            );
        }
        Ok((Self(found), added))
    }

    /// What they are in one object.
    pub(super) fn values(&self, tree: &Value) -> Map<String, Value> {
        let value =
            |(key, pointer): &(String, Pointer)| Some((key.clone(), pointer.get(tree)?.clone()));
        self.0.iter().filter_map(value).collect()
    }
}

/// A document for each string, those of one object with its metadata.
pub(super) fn read(
    source: &Source<'_>,
    pointers: &[Pointer],
    found: &FoundMetadata,
) -> Result<Vec<Document>, Problem> {
    let text = extract::text(source.bytes)?;
    let tree = parse(&text)?;
    let objects = match &tree {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    source.lines(objects.iter().flat_map(|object| {
        let metadata = found.values(object);
        // One more than there is room for, so that it shows.
        let texts = strings(object, pointers, source.budget.n_documents() + 1);
        texts.into_iter().map(move |text| (text.to_owned(), metadata.clone()))
    }))
}

/// Says where the text stops being JSON.
pub(super) fn parse(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text.trim()).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem(format!("is no valid JSON from {place} on"))
    })
}
