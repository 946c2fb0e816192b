//! What holds of any text and any sizes.

use proptest::prelude::*;
use serde_json::json;

use super::{sizes, splitter};
use crate::retrieval::Document;
use crate::text_splitters::html_to_markdown_text_splitter::markdown;
use crate::text_splitters::{Room, split_documents, units};

/// Texts of many scripts, with blanks and repetitions.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ab \n]{0,200}",
        "[a-zß中文😀𝒳👩‍👩‍👧🇩🇪 \n\t\u{a0}\u{feff}\u{85},.#`<>]{0,300}",
    ]
}

fn both_sizes() -> impl Strategy<Value = (usize, usize)> {
    (1_usize..60).prop_flat_map(|chunk| (Just(chunk), 0..chunk))
}

fn solid(text: &str) -> String {
    text.chars().filter(|&character| !units::is_blank(character)).collect()
}

proptest! {
    #[test]
    fn no_chunk_is_longer_than_allowed_and_all_of_the_text_is_in_them(
        text in texts(), (chunk, overlap) in both_sizes()
    ) {
        for node in ["recursiveCharacterTextSplitter", "markdownTextSplitter"] {
            let chunks = splitter(node, &sizes(chunk, 0)).split(&text, &mut Room::endless());
            prop_assert_eq!(solid(&chunks.concat()), solid(&text));

            for found in splitter(node, &sizes(chunk, overlap)).split(&text, &mut Room::endless()) {
                let length = units::length(found.as_bytes());
                prop_assert!(length <= chunk || found.chars().count() == 1, "{}", found);
                prop_assert!(text.contains(&found));
            }
        }
    }

    #[test]
    fn nothing_makes_a_splitter_panic(
        text in texts(), (chunk, overlap) in both_sizes(), separator in texts(),
        separators in proptest::collection::vec(texts(), 0..4)
    ) {
        let with = |name: &str, value: serde_json::Value| {
            let mut inputs = sizes(chunk, overlap);
            inputs[name] = value;
            inputs
        };
        for (node, inputs) in [
            ("recursiveCharacterTextSplitter", with("separators", json!(separators))),
            ("characterTextSplitter", with("separator", json!(separator))),
            ("codeTextSplitter", with("language", json!("html"))),
            ("htmlToMarkdownTextSplitter", sizes(chunk, overlap)),
            ("tokenTextSplitter", with("encodingName", json!("cl100k_base"))),
        ] {
            let document = Document::new(text.as_str(), serde_json::Map::new());
            let chunks = split_documents(splitter(node, &inputs).as_ref(), vec![document], 0).unwrap();
            prop_assert!(chunks.iter().all(|chunk| !chunk.page_content.is_empty()));
        }
    }

    #[test]
    fn no_page_makes_the_converter_panic(
        parts in proptest::collection::vec(prop_oneof![
            "</?(div|p|a|b|i|code|pre|ul|ol|li|table|tr|td|th|caption|h1|br|img|blockquote|script)( (href|src|title|class)=('|\"|)[a&;x-]{0,3}('|\"|))?/?>",
            "[ \n\r\t|*_`\\\\#>.0-9aß😀\u{a0}]{0,6}",
            "(<|<!--|-->|&|&amp;|&#x1F600;|&nbsp;|<!DOCTYPE )",
        ], 0..40)
    ) {
        let _ = markdown(&parts.concat());
    }

    #[test]
    fn tokens_without_an_overlap_are_the_text(text in "[a-z 0-9.!\n]{0,200}", chunk in 1_usize..30) {
        let mut inputs = sizes(chunk, 0);
        inputs["encodingName"] = json!("p50k_base");
        let chunks = splitter("tokenTextSplitter", &inputs).split(&text, &mut Room::endless());
        prop_assert_eq!(chunks.concat(), text);
    }
}
