//! Replays `tests/fixtures/splitters/goldens.json`, which `generate.mjs` beside it
//! wrote with LangChain's own splitters.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::splitter;
use crate::retrieval::{Document, Origin};
use crate::text_splitters::{html_to_markdown_text_splitter, split_documents};

const FILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/splitters/goldens.json");
/// Digits of each hash.
const WIDTH: usize = 16;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
    texts: Vec<Text>,
    shown: Vec<Shown>,
    pages: Vec<Page>,
}

#[derive(Deserialize)]
struct Case {
    node: String,
    inputs: Value,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    /// One hash after the other, case by case.
    hashes: String,
}

#[derive(Deserialize)]
struct Shown {
    text: usize,
    case: usize,
    chunks: Vec<String>,
    lines: Vec<[i64; 2]>,
}

#[derive(Deserialize)]
struct Page {
    html: String,
    markdown: String,
}

fn goldens() -> Goldens {
    serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap()
}

fn split(case: &Case, text: &str) -> Vec<Document> {
    let document = Document::new(text, Map::new());
    split_documents(splitter(&case.node, &case.inputs).as_ref(), vec![document], 0).unwrap()
}

fn lines(document: &Document) -> [i64; 2] {
    let lines = &document.metadata["loc"]["lines"];
    [lines["from"].as_i64().unwrap(), lines["to"].as_i64().unwrap()]
}

fn hash(documents: &[Document]) -> String {
    let mut hashed = ring::digest::Context::new(&ring::digest::SHA256);
    for document in documents {
        hashed.update(document.page_content.as_bytes());
        hashed.update(b"\0");
    }
    let lines: Vec<_> = documents.iter().map(lines).map(|[a, b]| format!("{a}-{b}")).collect();
    hashed.update(lines.join(",").as_bytes());
    let mut digits = String::new();
    for byte in &hashed.finish().as_ref()[..WIDTH / 2] {
        write!(digits, "{byte:02x}").unwrap();
    }
    digits
}

#[test]
fn chunks_and_their_lines_are_those_of_langchain_word_for_word() {
    let goldens = goldens();
    assert!(goldens.shown.len() > 40);
    for shown in &goldens.shown {
        let (text, case) = (&goldens.texts[shown.text].text, &goldens.cases[shown.case]);

        let documents = split(case, text);

        let chunks: Vec<_> = documents.iter().map(|found| &found.page_content).collect();
        let what = format!("{} {} of {text:?}", case.node, case.inputs);
        assert_eq!(chunks, shown.chunks.iter().collect::<Vec<_>>(), "{what}");
        assert_eq!(documents.iter().map(lines).collect::<Vec<_>>(), shown.lines, "{what}");
    }
}

#[test]
fn every_splitter_cuts_every_text_as_langchain_does() {
    let goldens = goldens();
    let mut wrong: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    assert_eq!(goldens.texts.len(), 200);
    for (at, Text { text, hashes }) in goldens.texts.iter().enumerate() {
        assert_eq!(hashes.len(), goldens.cases.len() * WIDTH);
        for (number, case) in goldens.cases.iter().enumerate() {
            if hash(&split(case, text)) != hashes[number * WIDTH..(number + 1) * WIDTH] {
                wrong.entry(format!("{} {}", case.node, case.inputs)).or_default().push(at);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pages_become_the_markdown_that_flowise_makes_of_them() {
    let pages = goldens().pages;
    assert!(pages.len() >= 200);
    for Page { html, markdown } in pages {
        assert_eq!(html_to_markdown_text_splitter::markdown(&html), markdown, "{html}");
    }
}

#[test]
fn lines_join_what_loc_holds_and_everything_else_stays() {
    let metadata = json!({"source": "a.pdf", "loc": {"pageNumber": 2}, "pdf": {"n": 1}});
    let origin = Some(Origin::Chatflow("pdfFile_0".into()));
    let document = Document {
        page_content: "one\n\ntwo".to_owned(),
        metadata: metadata.as_object().unwrap().clone(),
        origin: origin.clone(),
    };
    let usual = splitter("recursiveCharacterTextSplitter", &super::sizes(5, 0));

    let chunks = split_documents(usual.as_ref(), vec![document], 0).unwrap();

    let shown = serde_json::to_string(&chunks).unwrap();
    let expected = r#"[{"pageContent":"one","metadata":{"source":"a.pdf","loc":{"pageNumber":2,"lines":{"from":1,"to":1}},"pdf":{"n":1}}},{"pageContent":"two","metadata":{"source":"a.pdf","loc":{"pageNumber":2,"lines":{"from":3,"to":3}},"pdf":{"n":1}}}]"#;
    assert_eq!(shown, expected);
    assert!(chunks.iter().all(|chunk| chunk.origin == origin));
}

#[test]
fn a_recorded_upsert_of_flowise_has_the_same_chunks() {
    let text = "The bakery opens at eight in the morning.\n\nThe bakery is at 12 Mill Lane.\n\nThe \
                secret word of the document is PLUMAGE.";
    let metadata = json!({"source": "blob", "blobType": ""});
    let usual = splitter("recursiveCharacterTextSplitter", &super::sizes(60, 0));

    let document = Document::new(text, metadata.as_object().unwrap().clone());
    let chunks = split_documents(usual.as_ref(), vec![document], 0).unwrap();

    let expected = json!([
        {"pageContent": "The bakery opens at eight in the morning.", "metadata": {"source": "blob", "blobType": "", "loc": {"lines": {"from": 1, "to": 1}}}},
        {"pageContent": "The bakery is at 12 Mill Lane.", "metadata": {"source": "blob", "blobType": "", "loc": {"lines": {"from": 3, "to": 3}}}},
        {"pageContent": "The secret word of the document is PLUMAGE.", "metadata": {"source": "blob", "blobType": "", "loc": {"lines": {"from": 5, "to": 5}}}},
    ]);
    assert_eq!(serde_json::to_value(&chunks).unwrap(), expected);
}
