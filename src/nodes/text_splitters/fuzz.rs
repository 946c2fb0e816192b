//! Texts of any size and shape, in chunks.

use serde_json::{Map, json};

use super::html_to_markdown_text_splitter::markdown;
use super::tests::{sizes, splitter};
use super::{Room, split_documents, units};
use crate::retrieval::Document;

const SEEDS: [&str; 5] = [
    "\u{20}\u{4}# Opening\n\nWe open at nine. We close at five.\n\n## Holidays\n\n- none\n- some\n",
    "\u{9}\u{3}one two three four five six seven\n\neight",
    "\u{5}\0👩‍👩‍👧🇩🇪𝒳中文ß \u{feff}\u{a0}\u{85}end",
    "\u{30}\u{10}<h1>A</h1><p>b <b>c</b></p><table><tr><td>1<td>2</table><pre>x\ny</pre>",
    "\u{14}\u{2}fn main() {\n    let x = 1;\n}\n\nclass A:\n    def f(self):\n        pass\n",
];

fn seeds() -> Vec<Vec<u8>> {
    SEEDS.map(Vec::from).to_vec()
}

/// Chunk size, overlap and text of an input.
fn parts(bytes: &[u8]) -> Option<(usize, usize, String)> {
    let ([chunk, overlap], text) = bytes.split_first_chunk()?;
    let chunk = usize::from(*chunk).max(1);
    Some((chunk, usize::from(*overlap) % chunk, String::from_utf8_lossy(text).into_owned()))
}

fn solid(text: &str) -> String {
    text.chars().filter(|&character| !units::is_blank(character)).collect()
}

#[test]
fn chunks_are_pieces_of_the_text_no_longer_than_allowed_and_hold_all_of_it() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let Some((chunk, overlap, text)) = parts(bytes) else { return };
        for node in ["recursiveCharacterTextSplitter", "markdownTextSplitter"] {
            let alone = splitter(node, &sizes(chunk, 0)).split(&text, &mut Room::endless());
            assert_eq!(solid(&alone.concat()), solid(&text), "{node}");
            for found in splitter(node, &sizes(chunk, overlap)).split(&text, &mut Room::endless()) {
                let length = units::length(found.as_bytes());
                assert!(length <= chunk || found.chars().count() == 1, "{node}: {found}");
                assert!(text.contains(&found), "{node}: {found}");
            }
        }
    });
}

#[test]
fn code_and_lines_are_cut_into_pieces_of_the_text() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let Some((chunk, overlap, text)) = parts(bytes) else { return };
        let separator = text.chars().nth(1).map_or(String::new(), String::from);
        for (node, name, value) in [
            ("characterTextSplitter", "separator", separator.as_str()),
            ("codeTextSplitter", "language", "python"),
            ("codeTextSplitter", "language", "html"),
        ] {
            let mut inputs = sizes(chunk, overlap);
            inputs[name] = json!(value);
            for found in splitter(node, &inputs).split(&text, &mut Room::endless()) {
                // Between two separators is nothing, of which nothing is kept.
                let mut pieces = match node {
                    "characterTextSplitter" if !separator.is_empty() => found.split(value),
                    _ => found.split("\0 in no seed"),
                };
                let is_whole = pieces.all(|piece| text.contains(piece));
                assert!(!found.is_empty() && is_whole, "{node} {value}: {found}");
            }
        }
    });
}

#[test]
fn tokens_without_an_overlap_are_the_text() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let Some((chunk, overlap, text)) = parts(bytes) else { return };
        for encoding in ["gpt2", "cl100k_base"] {
            let mut inputs = sizes(chunk, 0);
            inputs["encodingName"] = json!(encoding);
            let found =
                splitter("tokenTextSplitter", &inputs).split(&text, &mut Room::endless()).concat();
            // Elsewhere half a character may be replaced at the end of a chunk.
            assert!(!text.is_ascii() || found == text, "{encoding}: {found}");

            inputs["chunkOverlap"] = json!(overlap);
            let found = splitter("tokenTextSplitter", &inputs).split(&text, &mut Room::endless());
            // A token is a byte at least, and a replacement character has three.
            let most = text.len().saturating_mul(3 * (chunk / (chunk - overlap) + 2));
            assert!(found.iter().map(String::len).sum::<usize>() <= most, "{encoding}");
        }
    });
}

#[test]
fn lines_of_chunks_never_end_before_they_begin() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let Some((chunk, overlap, text)) = parts(bytes) else { return };
        let splitter = splitter("recursiveCharacterTextSplitter", &sizes(chunk, overlap));
        let document = Document::new(text, Map::new());
        for chunk in split_documents(splitter.as_ref(), vec![document], 0).unwrap() {
            let lines = &chunk.metadata["loc"]["lines"];
            let breaks = chunk.page_content.matches('\n').count() as i64;
            let of = |end: &str| lines[end].as_i64().unwrap();
            assert_eq!(of("to") - of("from"), breaks);
        }
    });
}

#[test]
fn markdown_of_any_page_is_about_as_long_as_the_page() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let page = String::from_utf8_lossy(bytes);
        let found = markdown(&page);
        assert!(found.len() <= (1 << 20) + page.len() * 64, "{} bytes", found.len());
    });
}
