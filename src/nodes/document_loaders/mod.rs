//! Document loaders: text from somewhere, as documents or as one text.

mod files;
mod finish;
mod folder;
mod output;
#[cfg(test)]
mod tests;
mod unset;

pub use output::joined_text;

mod cheerio_web_scraper;
mod csv_file;
mod docx_file;
mod file_loader;
mod folder_files;
mod json_file;
mod jsonlines_file;
mod pdf_file;
mod plain_text;
mod text_file;
mod vector_store_to_document;

use crate::spec::NodeSpec;

/// The document loader nodes.
pub const NODES: &[&NodeSpec] = &[
    &cheerio_web_scraper::SPEC,
    &csv_file::SPEC,
    &docx_file::SPEC,
    &file_loader::SPEC,
    &folder_files::SPEC,
    &json_file::SPEC,
    &jsonlines_file::SPEC,
    &pdf_file::SPEC,
    &plain_text::SPEC,
    &text_file::SPEC,
    &vector_store_to_document::SPEC,
];
