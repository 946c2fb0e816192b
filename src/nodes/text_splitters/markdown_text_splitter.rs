//! Flowise `markdownTextSplitter`, version 1: before headings first.

use std::sync::Arc;

use super::languages;
use super::recursive::Recursive;
use super::sizes::{CHUNK_OVERLAP, CHUNK_SIZE, Sizes};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::NodeSpec;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "markdownTextSplitter",
    category: "Text Splitters",
    version: 1.0,
    about: "Cuts Markdown before headings first, then after code and at rules.",
    params: &[CHUNK_SIZE, CHUNK_OVERLAP],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Splitter(Arc::new(splitter(Sizes::read(inputs)?))))
}

/// What cuts Markdown.
pub(super) fn splitter(sizes: Sizes) -> Recursive {
    Recursive::with(sizes, languages::MARKDOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{build, source};
    use crate::text_splitters::Room;

    #[test]
    fn headings_begin_chunks() {
        let sizes = [("chunkSize", source("20")), ("chunkOverlap", source("0"))];
        let Instance::Splitter(splitter) = build(&SPEC, sizes) else { panic!("a splitter") };

        let chunks = splitter
            .split("# Title\n\nWords.\n## Part\nMore words.\n## End\nLast.", &mut Room::endless());

        assert_eq!(chunks, ["# Title\n\nWords.", "## Part\nMore words.", "## End\nLast."]);
    }
}
