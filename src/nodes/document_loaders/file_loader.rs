//! Flowise `fileLoader`, version 2: files of all kinds, each read as its
//! extension, or else its MIME type, says.

use std::sync::Arc;

use super::files::{Files, Problem, Source};
use super::json_file::FoundMetadata;
use super::jsonlines_file::POINTER_NAME;
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use super::pdf_file::{PDF_USAGE, Usage};
use super::{csv_file, docx_file, json_file, jsonlines_file, pdf_file, text_file};
use crate::error::NodeError;
use crate::extract::{self, Format, Pointer};
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::Document;
use crate::spec::{Kind, NodeSpec, Param};

/// The inputs that requests fill by the kind of their files. Where one is
/// filled, all of them count and `file` does not.
const BY_KIND: [&str; 7] =
    ["txtFile", "pdfFile", "jsonFile", "csvFile", "jsonlinesFile", "docxFile", "yamlFile"];

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "fileLoader",
    category: "Document Loaders",
    version: 2.0,
    about: "Files of all kinds as documents.",
    params: &[
        Param::open("file", Kind::File),
        PDF_USAGE,
        POINTER_NAME,
        TEXT_SPLITTER,
        METADATA,
        OMIT_METADATA_KEYS,
        Param::open("txtFile", Kind::File),
        Param::open("pdfFile", Kind::File),
        Param::open("jsonFile", Kind::File),
        Param::open("csvFile", Kind::File),
        Param::open("jsonlinesFile", Kind::File),
        Param::open("docxFile", Kind::File),
        Param::open("yamlFile", Kind::File),
    ],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let read = reader(inputs);
    let by_kind = Files::of(inputs, &BY_KIND, Arc::clone(&read));
    let files = if by_kind.is_empty() { Files::of(inputs, &["file"], read) } else { by_kind };
    loader(inputs, files)
}

/// What reads files of all kinds, as the node's inputs say.
pub(super) fn reader(inputs: &Inputs) -> Arc<super::files::Read> {
    let usage = Usage::of(inputs, PDF_USAGE);
    let pointer = jsonlines_file::pointer(inputs);
    Arc::new(move |source: &Source<'_>| read(source, usage, pointer.as_ref()))
}

fn read(
    source: &Source<'_>,
    usage: Usage,
    pointer: Option<&Pointer>,
) -> Result<Vec<Document>, Problem> {
    let none = FoundMetadata::default();
    match Format::of(source.name, source.mime) {
        Format::Pdf => pdf_file::read(source, usage),
        Format::Docx => docx_file::read(source),
        Format::Csv | Format::Xlsx => csv_file::read(source, None),
        Format::Pptx => slides(source),
        Format::Json => json_file::read(source, &[], &none),
        Format::JsonLines => match pointer {
            Some(pointer) => jsonlines_file::read(source, pointer, &none),
            None => Err(Problem(
                "is a JSON Lines file; write the key of the text of a line into pointerName"
                    .to_owned(),
            )),
        },
        // Neither name nor type said what it is, but it says so itself.
        Format::Plain if source.bytes.starts_with(b"%PDF-") => pdf_file::read(source, usage),
        Format::Plain => text_file::read(source),
        Format::Unreadable => {
            source.refuse_old(".doc", ".docx")?;
            source.refuse_old(".xls", ".xlsx or .csv")?;
            source.refuse_old(".ppt", ".pptx")?;
            Err(extract::ExtractError::Unsupported.into())
        }
    }
}

/// A presentation as one document: Flowise 2.2.8 reads none.
fn slides(source: &Source<'_>) -> Result<Vec<Document>, Problem> {
    let text = extract::slides(source.bytes)?.join("\n\n");
    Ok(if text.trim().is_empty() { Vec::new() } else { source.whole(text) })
}
