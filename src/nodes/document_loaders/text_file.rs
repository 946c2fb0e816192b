//! Flowise `textFile`, version 3: files of text, source code and web pages as
//! they are.

use std::sync::Arc;

use super::files::{Files, Problem, Source};
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use crate::error::NodeError;
use crate::extract;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Document;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "textFile",
    category: "Document Loaders",
    version: 3.0,
    about: "Text files as documents.",
    params: &[Param::open("txtFile", Kind::File), TEXT_SPLITTER, METADATA, OMIT_METADATA_KEYS],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    loader(inputs, Files::of(inputs, &["txtFile"], Arc::new(read)))
}

/// The whole text as one document.
pub(super) fn read(source: &Source<'_>) -> Result<Vec<Document>, Problem> {
    Ok(source.whole(extract::text(source.bytes)?))
}
