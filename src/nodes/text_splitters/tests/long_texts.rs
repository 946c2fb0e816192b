//! Texts that would take hours if any step looked at them more often than a few
//! times. No time is measured: a step too many and the tests do not end.

use serde_json::{Map, Value, json};

use super::{sizes, splitter};
use crate::retrieval::Document;
use crate::text_splitters::html_to_markdown_text_splitter::markdown;
use crate::text_splitters::{Room, TooMuch, split_documents};

const MEGABYTE: usize = 1 << 20;

fn with(chunk: usize, overlap: usize, name: &str, value: Value) -> Value {
    let mut inputs = sizes(chunk, overlap);
    inputs[name] = value;
    inputs
}

/// Chunks of many texts together, if they are few enough.
fn n_chunks_of(node: &str, inputs: &Value, texts: &[String]) -> Result<usize, TooMuch> {
    let documents = texts.iter().map(|text| Document::new(text.as_str(), Map::new())).collect();
    // Metadata that will be added bring the limit near without filling the memory.
    let chunks = split_documents(splitter(node, inputs).as_ref(), documents, 100_000);
    chunks.map(|chunks| chunks.len())
}

fn n_chunks(node: &str, inputs: &Value, text: &str) -> usize {
    let document = Document::new(text, Map::new());
    split_documents(splitter(node, inputs).as_ref(), vec![document], 0).unwrap().len()
}

#[test]
fn a_megabyte_of_one_character_is_cut_anywhere() {
    let text = "a".repeat(MEGABYTE);
    let node = "recursiveCharacterTextSplitter";

    assert_eq!(n_chunks(node, &sizes(1000, 0), &text), 1049);
    assert_eq!(n_chunks(node, &sizes(1000, 200), &text), 1311);
    assert_eq!(splitter(node, &sizes(1, 0)).split(&text, &mut Room::endless()).len(), MEGABYTE);
    assert_eq!(n_chunks(node, &sizes(1 << 50, 200), &text), 1);
    assert_eq!(n_chunks("characterTextSplitter", &sizes(1000, 200), &text), 1);
}

#[test]
fn half_a_million_separators_are_passed_once() {
    let node = "recursiveCharacterTextSplitter";
    for text in [" ".repeat(MEGABYTE), "\n".repeat(MEGABYTE), "a\n".repeat(MEGABYTE / 2)] {
        assert!(!splitter(node, &sizes(1, 0)).split(&text, &mut Room::endless()).is_empty());
        for size in [50, MEGABYTE - 1] {
            n_chunks(node, &sizes(size, size / 2), &text);
            n_chunks(
                "characterTextSplitter",
                &with(
                    size,
                    0,
                    "separator",
                    json!(
                        "
"
                    ),
                ),
                &text,
            );
        }
    }
}

#[test]
fn separators_that_repeat_themselves_are_found_in_one_pass() {
    let text = "a".repeat(MEGABYTE);
    let nearly = format!("{}b", "a".repeat(MEGABYTE / 4));
    let separators = json!([nearly, "a".repeat(MEGABYTE / 2), "aa"]);
    let inputs = with(100, 10, "separators", separators);

    assert!(n_chunks("recursiveCharacterTextSplitter", &inputs, &text) > 1000);
}

#[test]
fn the_most_separators_that_may_be_named_are_tried_once_each() {
    let separators: Vec<_> = (0..99).map(|n| format!("~{n}~")).chain(["".to_owned()]).collect();
    let inputs = with(3, 0, "separators", json!(separators));

    n_chunks("recursiveCharacterTextSplitter", &inputs, &"a ~".repeat(MEGABYTE / 30));
}

#[test]
fn overlaps_of_almost_everything_do_not_fill_the_memory() {
    let text = "ab ".repeat(MEGABYTE / 3);
    let node = "recursiveCharacterTextSplitter";
    for (node, inputs) in [
        (node, sizes(100_000, 99_999)),
        (node, with(100_000, 99_999, "separators", json!([]))),
        ("characterTextSplitter", with(100_000, 60_000, "separator", json!(" "))),
        ("tokenTextSplitter", sizes(100_000, 99_999)),
    ] {
        let chunks = splitter(node, &inputs).split(&text, &mut Room::endless());

        let length: usize = chunks.iter().map(String::len).sum();
        assert!(length < 20 * MEGABYTE, "{node}: {length}");
        assert!(chunks.last().unwrap().trim_end().ends_with("ab"), "the end is there");
    }
}

#[test]
fn many_texts_together_come_to_no_more_than_one_load_may_hold() {
    let node = "recursiveCharacterTextSplitter";
    // Each of them alone stays within what one text may repeat.
    let word = format!("{} ", "ab".repeat(50));
    let texts: Vec<_> = (0..1_000).map(|n| format!("{n:06}{}", word.repeat(200))).collect();
    for (node, inputs) in [
        (node, sizes(10_000, 9_890)),
        (node, sizes(1, 0)),
        ("characterTextSplitter", with(10_000, 9_890, "separator", json!(" "))),
        ("htmlToMarkdownTextSplitter", sizes(1, 0)),
    ] {
        assert_eq!(n_chunks_of(node, &inputs, &texts), Err(TooMuch), "{node} {inputs}");
    }
    assert_eq!(n_chunks_of(node, &sizes(15_000, 0), &texts), Ok(2_000));
}

#[test]
fn the_metadata_of_a_text_count_again_with_each_of_its_chunks() {
    let usual = splitter("recursiveCharacterTextSplitter", &sizes(10, 0));
    let metadata = Map::from_iter([("note".to_owned(), Value::from("x".repeat(MEGABYTE)))]);
    let split = |metadata, n_added_bytes| {
        let document = Document::new("ab ".repeat(900), metadata);
        split_documents(usual.as_ref(), vec![document], n_added_bytes).map(|chunks| chunks.len())
    };

    assert_eq!(split(metadata, 0), Err(TooMuch));
    assert_eq!(split(Map::new(), MEGABYTE), Err(TooMuch));
    assert_eq!(split(Map::new(), 0), Ok(300));
    let letters = vec![Document::new("a".repeat(200_001), Map::new())];
    let each = splitter("recursiveCharacterTextSplitter", &sizes(1, 0));
    assert_eq!(split_documents(each.as_ref(), letters, 0), Err(TooMuch), "too many chunks");
}

#[test]
fn chunks_that_are_not_found_in_their_text_are_not_looked_for_without_end() {
    // The separators between are single where the text has two, so no chunk is found.
    let text = "ab||cd||".repeat(MEGABYTE / 8);
    let inputs = with(6, 0, "separator", json!("|"));

    assert!(n_chunks("characterTextSplitter", &inputs, &text) > 100_000);
}

#[test]
fn one_endless_word_is_as_quick_to_tokenize_as_many() {
    for text in ["a", " ", "中", "\n "] {
        for encoding in ["gpt2", "cl100k_base"] {
            let inputs = with(1000, 100, "encodingName", json!(encoding));
            n_chunks("tokenTextSplitter", &inputs, &format!("{}x", text.repeat(MEGABYTE / 8)));
        }
    }
}

#[test]
fn broken_pages_of_any_depth_are_read_in_one_pass() {
    let page = |text: &str| text.repeat(MEGABYTE / 4 / text.len());
    for part in [
        "<div>",
        "<ul><li>a",
        "<blockquote>a\n",
        "<b>a",
        "<b><i>",
        "<a href=x>b",
        "<a><b></a>",
        "<table><tr><td>a",
        "<",
        "<a ",
        "<a \"",
        "<a '\">",
        "<!--",
        "</div>",
        "<p><div>",
        "<script>",
        "<font a=1>x<p>",
        "<td>a|",
        "&amp",
        "&",
        "a\n\n\n\n",
        "<br>",
        "<pre>\n",
        "<code>`",
        "*",
        "1. ",
        "<h1></h1>",
        "<i></i>",
    ] {
        let markdown = markdown(&page(part));

        assert!(markdown.len() < 128 * MEGABYTE, "{part}: {}", markdown.len());
    }
    let ragged = format!("<table><tr>{}</tr>{}</table>", page("<td>a"), page("<tr><td>a"));
    assert!(markdown(&ragged).len() < 64 * MEGABYTE);
}

#[test]
fn elements_below_the_greatest_depth_still_show_their_text() {
    let deep = format!("{}bread{}<p>end", "<div>".repeat(9999), "</div>".repeat(9999));

    assert_eq!(markdown(&deep), "bread\n\nend");
}
