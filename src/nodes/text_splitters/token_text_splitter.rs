//! Flowise `tokenTextSplitter`, version 1: by the tokens of OpenAI's older models.

use std::sync::Arc;

use tiktoken_rs::{CoreBPE, cl100k_base_singleton, p50k_base_singleton, r50k_base_singleton};

use super::chunks::Chunks;
use super::room::Room;
use super::sizes::{CHUNK_OVERLAP, CHUNK_SIZE, Sizes};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::TextSplitter;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "tokenTextSplitter",
    category: "Text Splitters",
    version: 1.0,
    about: "Cuts after a number of tokens; sizes are counted in tokens.",
    params: &[ENCODING, CHUNK_SIZE, CHUNK_OVERLAP],
    credential: None,
    build,
};

const ENCODING: Param = Param::open("encodingName", Kind::Choice(ENCODINGS));
const ENCODINGS: &[&str] = &["gpt2", "r50k_base", "p50k_base", "p50k_edit", "cl100k_base"];

/// Chunks of so many tokens, wherever they end.
struct ByTokens {
    sizes: Sizes,
    /// Read from the binary at the first call, which takes a moment.
    encoding: fn() -> &'static CoreBPE,
}

impl TextSplitter for ByTokens {
    fn split(&self, text: &str, room: &mut Room) -> Vec<String> {
        let encoding = (self.encoding)();
        // Names of special tokens, `<|endoftext|>`, are text like any other.
        let tokens = encoding.encode_ordinary(text);
        let mut chunks = Chunks::of(text, room);
        let mut start = 0;
        while start < tokens.len() && !chunks.is_full() {
            if start > 0 {
                start -= chunks.overlap(self.sizes.overlap);
            }
            let end = start.saturating_add(self.sizes.chunk).min(tokens.len());
            let bytes = encoding.decode_bytes(&tokens[start..end]).unwrap_or_default();
            let chunk = decoded(&bytes);
            if !chunk.is_empty() {
                chunks.push(&chunk);
            }
            start = end;
        }
        chunks.into_list()
    }
}

/// As a `TextDecoder` reads it: half a character at an end becomes a replacement
/// character, and a byte order mark at the beginning is none of the text.
fn decoded(bytes: &[u8]) -> String {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    String::from_utf8_lossy(text).into_owned()
}

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let encoding: fn() -> &'static CoreBPE = match inputs.text(ENCODING.name).as_deref() {
        // The edit models' encoding differs in its special tokens only.
        None | Some("gpt2" | "r50k_base") => r50k_base_singleton,
        Some("p50k_base" | "p50k_edit") => p50k_base_singleton,
        Some("cl100k_base") => cl100k_base_singleton,
        Some(_) => {
            let problem = format!("must be one of {}", ENCODINGS.join(", "));
            return Err(inputs.bad(ENCODING.name, problem));
        }
    };
    Ok(Instance::Splitter(Arc::new(ByTokens { sizes: Sizes::read(inputs)?, encoding })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{build, build_error, source};

    fn chunks(encoding: &str, text: &str) -> Vec<String> {
        let sizes = [("chunkSize", source("4")), ("chunkOverlap", source("1"))];
        let [size, overlap] = sizes;
        match build(&SPEC, [size, overlap, ("encodingName", source(encoding))]) {
            Instance::Splitter(splitter) => splitter.split(text, &mut Room::endless()),
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn chunks_hold_so_many_tokens_and_repeat_the_last_ones() {
        for encoding in ["", "gpt2", "cl100k_base"] {
            let found = chunks(encoding, "one two three four five six");
            assert_eq!(found, ["one two three four", " four five six"], "{encoding}");
        }
    }

    #[test]
    fn half_a_character_is_replaced_and_special_names_are_text() {
        // In gpt2 each of these takes two tokens or more.
        let found = chunks("gpt2", "😀😀😀");
        assert!(found.iter().any(|chunk| chunk.contains('\u{fffd}')), "{found:?}");

        assert!(chunks("p50k_edit", "<|endoftext|>").concat().starts_with("<|end"));
        assert_eq!(chunks("", "\u{feff}a"), ["a"]);
    }

    #[test]
    fn an_unknown_encoding_is_refused_by_name() {
        let error = build_error(&SPEC, [("encodingName", source("o1"))]).to_string();
        assert!(error.contains("encodingName must be one of gpt2, "), "{error}");
    }
}
