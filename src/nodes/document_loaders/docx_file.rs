//! Flowise `docxFile`, version 2: the raw text of Word documents.

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
    name: "docxFile",
    category: "Document Loaders",
    version: 2.0,
    about: "Word documents (.docx) as documents.",
    params: &[Param::open("docxFile", Kind::File), TEXT_SPLITTER, METADATA, OMIT_METADATA_KEYS],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    loader(inputs, Files::of(inputs, &["docxFile"], Arc::new(read)))
}

/// The whole text as one document.
pub(super) fn read(source: &Source<'_>) -> Result<Vec<Document>, Problem> {
    source.refuse_old(".doc", ".docx")?;
    let text = extract::docx(source.bytes)?;
    Ok(if text.trim().is_empty() { Vec::new() } else { source.whole(text) })
}
