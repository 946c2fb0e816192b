//! Flowise `pdfFile`, version 2: the text of PDF files, by page or by file.
//! `legacyBuild` chose between two readers of Flowise; here is one.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::files::{Files, Problem, Source, too_much};
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use crate::error::NodeError;
use crate::extract;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Document;
use crate::spec::{Kind, NodeSpec, Param};

/// What becomes a document, where a loader reads other files as well.
pub(super) const PDF_USAGE: Param = Param::open("pdfUsage", USAGE.kind);
const USAGE: Param = Param::open("usage", Kind::Choice(USAGES));
const USAGES: &[&str] = &["perPage", "perFile"];
/// The version of pdf.js whose metadata these are: stored chunks are compared
/// by their metadata too.
const PDF_JS: &str = "1.10.100";

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "pdfFile",
    category: "Document Loaders",
    version: 2.0,
    about: "PDF files as documents, one a page or one a file.",
    params: &[
        Param::open("pdfFile", Kind::File),
        USAGE,
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let usage = Usage::of(inputs, USAGE);
    let read = move |source: &Source<'_>| read(source, usage);
    loader(inputs, Files::of(inputs, &["pdfFile"], Arc::new(read)))
}

/// What becomes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    PerPage,
    PerFile,
}

impl Usage {
    /// By page, unless an input says otherwise.
    pub(super) fn of(inputs: &Inputs, param: Param) -> Self {
        match inputs.text(param.name).as_deref() {
            Some("perFile") => Self::PerFile,
            _ => Self::PerPage,
        }
    }
}

/// A document for each page with text, or one for all of them.
pub(super) fn read(source: &Source<'_>, usage: Usage) -> Result<Vec<Document>, Problem> {
    let extract::Pdf { pages, info } = extract::pdf(source.bytes)?;
    let pdf = json!({
        "version": PDF_JS, "info": info, "metadata": null, "totalPages": pages.len(),
    });
    let pages: Vec<(usize, String)> =
        pages.into_iter().enumerate().filter(|(_, text)| !text.is_empty()).collect();
    if pages.is_empty() {
        let problem = "holds no text; pages that are pictures need text recognition first";
        return Err(Problem(problem.to_owned()));
    }
    if usage == Usage::PerFile {
        let texts: Vec<String> = pages.into_iter().map(|(_, text)| text).collect();
        return Ok(vec![source.document(texts.join("\n\n"), object(json!({"pdf": pdf})))]);
    }
    let mut budget = source.budget;
    let page = |(at, text): (usize, String)| {
        let own = json!({"pdf": &pdf, "loc": {"pageNumber": at + 1}});
        let document = source.document(text, object(own));
        budget.take(&document).ok_or_else(too_much).map(|()| document)
    };
    pages.into_iter().map(page).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
