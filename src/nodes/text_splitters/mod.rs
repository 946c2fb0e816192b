//! Text splitters: long texts into chunks that fit a model and an embedding,
//! where LangChain's splitters for JavaScript cut them. Sizes are counted in
//! UTF-16 units, as there; but no character is ever cut in two.

mod room;
mod sizes;
mod units;

mod chunks;
mod languages;
mod locations;
mod merging;
mod recursive;
mod separating;

mod character_text_splitter;
mod code_text_splitter;
mod html_to_markdown_text_splitter;
mod markdown_text_splitter;
mod recursive_character_text_splitter;
mod token_text_splitter;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use locations::split_documents;
pub use room::{Room, TooMuch};

use crate::spec::NodeSpec;

/// The text splitter nodes.
pub const NODES: &[&NodeSpec] = &[
    &recursive_character_text_splitter::SPEC,
    &character_text_splitter::SPEC,
    &token_text_splitter::SPEC,
    &markdown_text_splitter::SPEC,
    &code_text_splitter::SPEC,
    &html_to_markdown_text_splitter::SPEC,
];
