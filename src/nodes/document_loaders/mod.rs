//! Document loaders: text from somewhere, as documents or as one text.

mod output;

pub use output::joined_text;

mod cheerio_web_scraper;
mod plain_text;
mod vector_store_to_document;

use crate::spec::NodeSpec;

/// The document loader nodes.
pub const NODES: &[&NodeSpec] =
    &[&cheerio_web_scraper::SPEC, &plain_text::SPEC, &vector_store_to_document::SPEC];
