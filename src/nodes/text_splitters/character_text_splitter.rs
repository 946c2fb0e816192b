//! Flowise `characterTextSplitter`, version 1: at one separator, and nowhere else.

use std::sync::Arc;

use super::chunks::Chunks;
use super::merging::Merger;
use super::room::Room;
use super::sizes::{CHUNK_OVERLAP, CHUNK_SIZE, Sizes};
use super::units;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::TextSplitter;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "characterTextSplitter",
    category: "Text Splitters",
    version: 1.0,
    about: "Cuts at one separator only, by default at empty lines.",
    params: &[CHUNK_SIZE, CHUNK_OVERLAP, SEPARATOR],
    credential: None,
    build,
};

const SEPARATOR: Param = Param::open("separator", Kind::Text);

/// A piece without the separator stays whole, however long it is.
struct AtOneSeparator {
    sizes: Sizes,
    separator: String,
}

impl TextSplitter for AtOneSeparator {
    fn split(&self, text: &str, room: &mut Room) -> Vec<String> {
        let mut chunks = Chunks::of(text, room);
        let mut merger = Merger::new(self.sizes, &self.separator);
        for piece in text.split(self.separator.as_str()).filter(|piece| !piece.is_empty()) {
            merger.add(piece, units::length(piece.as_bytes()), &mut chunks);
        }
        merger.finish(&mut chunks);
        chunks.into_list()
    }
}

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let separator = inputs.text(SEPARATOR.name).unwrap_or_else(|| "\n\n".to_owned());
    Ok(Instance::Splitter(Arc::new(AtOneSeparator { sizes: Sizes::read(inputs)?, separator })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{build, source};

    fn chunks(separator: &str, text: &str) -> Vec<String> {
        let size = ("chunkSize", source("12"));
        let overlap = ("chunkOverlap", source("4"));
        match build(&SPEC, [size, overlap, ("separator", source(separator))]) {
            Instance::Splitter(splitter) => splitter.split(text, &mut Room::endless()),
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn only_the_separator_cuts_and_it_is_put_back_between_pieces() {
        assert_eq!(chunks(",", "a,bb,,ccc,dddd,eee"), ["a,bb,ccc", "ccc,dddd,eee"]);
        assert_eq!(
            chunks("", "a b\n\nc\n\n\n\nlonger than twelve"),
            ["a b\n\nc", "longer than twelve"]
        );
    }
}
