//! Flowise `htmlToMarkdownTextSplitter`, version 1: HTML as Markdown, which is then
//! cut as the Markdown splitter cuts it.
//!
//! The Markdown is that of the npm package `node-html-markdown`, which Flowise uses:
//! other converters write other marks and would give other chunks.

mod entities;
mod markdown;
mod marks;
mod rules;
mod tables;
mod tree;

use std::sync::Arc;

use super::markdown_text_splitter::splitter;
use super::recursive::Recursive;
use super::room::Room;
use super::sizes::{CHUNK_OVERLAP, CHUNK_SIZE, Sizes};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::TextSplitter;
use crate::spec::NodeSpec;

pub(super) use markdown::markdown;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "htmlToMarkdownTextSplitter",
    category: "Text Splitters",
    version: 1.0,
    about: "Turns HTML into Markdown and cuts that before headings first.",
    params: &[CHUNK_SIZE, CHUNK_OVERLAP],
    credential: None,
    build,
};

struct HtmlToMarkdown(Recursive);

impl TextSplitter for HtmlToMarkdown {
    fn split(&self, text: &str, room: &mut Room) -> Vec<String> {
        self.0.split(&markdown(text), room)
    }
}

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Splitter(Arc::new(HtmlToMarkdown(splitter(Sizes::read(inputs)?)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{build, source};

    #[test]
    fn html_becomes_markdown_that_is_cut_before_headings() {
        let sizes = [("chunkSize", source("40")), ("chunkOverlap", source("0"))];
        let Instance::Splitter(splitter) = build(&SPEC, sizes) else { panic!("a splitter") };

        let chunks = splitter.split(
            "<!DOCTYPE html><html><head><title>x</title></head><body><h1>Bread</h1><p>It is \
             <b>warm</b> &amp; good.</p><h2>Hours</h2><ul><li>Eight</li><li>to <a \
             href=\"/x\">two</a></li></ul><script>no()</script></body></html>",
            &mut Room::endless(),
        );

        assert_eq!(
            chunks,
            ["# Bread\n\nIt is **warm** & good.", "## Hours\n\n* Eight\n* to [two](/x)"]
        );
    }
}
