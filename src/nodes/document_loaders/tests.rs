mod folders;
mod tables;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use parlor_schemas::ChatflowId;
use serde_json::{Value, json};

use super::*;
use crate::ctx::{Services, TurnCtx};
use crate::error::NodeError;
use crate::extract::MAX_FILE_BYTES;
use crate::files::InputFile;
use crate::inputs::{InputValue, Inputs};
use crate::instance::Instance;
use crate::retrieval::{DocumentLoader, Loaded, Origin};
use crate::test_support::{TestTurn, inputs, source};

/// Printed by Chromium 156 from a page with a table, a list and bold words.
const BAKERY: &[u8] = include_bytes!("fixtures/bakery.pdf");
/// Written by ReportLab.
const MUSEUM: &[u8] = include_bytes!("fixtures/museum.pdf");
/// The same, locked with a password by pypdf.
const LOCKED: &[u8] = include_bytes!("fixtures/locked.pdf");
/// Written by python-docx.
const HOURS: &[u8] = include_bytes!("fixtures/hours.docx");
/// Written by openpyxl: two sheets, an empty row, a number, a date.
const STAFF: &[u8] = include_bytes!("fixtures/staff.xlsx");

/// Files of a multipart body, in one input.
fn files<const N: usize>(files: [(&str, &[u8]); N]) -> InputValue {
    let file = |(name, bytes): (&str, &[u8])| InputFile::Inline {
        name: name.to_owned(),
        mime: String::new(),
        bytes: Bytes::copy_from_slice(bytes),
    };
    InputValue::Files(files.into_iter().map(file).collect())
}

fn loader_of(spec: &NodeSpec, inputs: &Inputs) -> Arc<dyn DocumentLoader> {
    match (spec.build)(inputs) {
        Ok(Instance::Loader(loader)) => loader,
        other => panic!("{} is no loader: {:?}", spec.name, other.err()),
    }
}

async fn try_load<const N: usize>(
    spec: &NodeSpec,
    values: [(&str, InputValue); N],
) -> Result<Loaded, NodeError> {
    loader_of(spec, &inputs(values)).load(&TestTurn::asking("").ctx()).await
}

/// The documents as they are sent, where every file can be read.
async fn load<const N: usize>(spec: &NodeSpec, values: [(&str, InputValue); N]) -> Value {
    let loaded = try_load(spec, values).await.unwrap();
    assert_eq!(loaded.failures, []);
    serde_json::to_value(loaded.documents).unwrap()
}

/// What is wrong with the only file.
async fn problem(spec: &NodeSpec, input: &str, file: (&str, &[u8])) -> String {
    let loaded = try_load(spec, [(input, files([file]))]).await.unwrap();
    assert_eq!((loaded.documents.len(), loaded.n_files), (0, 0), "{}", file.0);
    let [failure] = loaded.failures.as_slice() else { panic!("{:?}", loaded.failures) };
    assert_eq!(failure.name, file.0);
    failure.problem.clone()
}

fn texts(documents: &Value) -> Vec<&str> {
    let documents = documents.as_array().unwrap().iter();
    documents.map(|document| document["pageContent"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_text_file_is_one_document_with_the_recorded_metadata() {
    let saved = "data:text/plain;base64,SGVsbG8KR3LDvMOfZQ==,filename:a.txt";

    let documents = load(&text_file::SPEC, [("txtFile", source(saved))]).await;

    let expected = json!([{
        "pageContent": "Hello\nGrüße", "metadata": {"source": "blob", "blobType": ""}
    }]);
    assert_eq!(documents, expected);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_by_name_and_the_rest_is_loaded() {
    let given = files([
        ("a.txt", b"one".as_slice()),
        ("empty.txt", b""),
        ("latin.txt", b"Caf\xe9"),
        ("really.txt", BAKERY),
        ("nul.txt", b"a\0b"),
        ("b.txt", b"\xff\xfet\0w\0o\0"),
    ]);

    let loaded = try_load(&text_file::SPEC, [("txtFile", given)]).await.unwrap();

    let shown: Vec<_> = loaded.documents.iter().map(|d| d.page_content.as_str()).collect();
    assert_eq!((shown, loaded.n_files), (vec!["one", "two"], 2));
    let told: Vec<_> = loaded.failures.iter().map(|f| (&*f.name, &*f.problem)).collect();
    let no_text = "is of a type whose text cannot be read";
    assert_eq!(
        told,
        [
            ("empty.txt", "is empty"),
            ("latin.txt", "has letters that are no UTF-8; save it as UTF-8"),
            ("really.txt", no_text),
            ("nul.txt", no_text),
        ]
    );
    let error = loaded.whole().unwrap_err();
    assert_eq!(error.to_string(), "empty.txt is empty");
}

#[tokio::test]
async fn a_loader_without_a_file_says_so_only_when_it_loads() {
    for (spec, input) in [
        (&text_file::SPEC, "txtFile"),
        (&pdf_file::SPEC, "pdfFile"),
        (&docx_file::SPEC, "docxFile"),
        (&csv_file::SPEC, "csvFile"),
        (&json_file::SPEC, "jsonFile"),
        (&file_loader::SPEC, "file"),
    ] {
        for nothing in [source(""), files([])] {
            let error = try_load(spec, [(input, nothing)]).await.unwrap_err();
            let expected = format!("Test node (test_0): {input} holds no file; add one");
            assert_eq!(error.to_string(), expected);
        }
        let error = try_load(spec, [(input, source("nonsense"))]).await.unwrap_err();
        assert!(error.to_string().contains("must be a data URI"), "{error}");
    }
}

#[tokio::test]
async fn a_pdf_that_was_cut_off_is_damaged_and_never_half_a_text() {
    for tenths in 1..10 {
        let cut = &BAKERY[..BAKERY.len() * tenths / 10];
        let given = files([("bakery.pdf", cut)]);
        let loaded = try_load(&pdf_file::SPEC, [("pdfFile", given)]).await.unwrap();

        assert!(loaded.documents.is_empty(), "{tenths} tenths are read");
        assert!(loaded.failures[0].problem.contains("damaged"), "{:?}", loaded.failures);
    }
}

#[tokio::test]
async fn a_page_that_a_browser_printed_gives_its_words_and_its_place() {
    let documents = load(&pdf_file::SPEC, [("pdfFile", files([("bakery.pdf", BAKERY)]))]).await;

    assert_eq!(
        texts(&documents),
        [
            "The bakery\nThe bakery at 12 Mill Lane opens at eight in the morning — except on \
             Sundays. Café,\nnaïve, Größe, “quoted”, €5, office, fluffy.\nDay Hours\nMonday 8 to \
             18\nSunday closed\nbread\nrolls with sesame\nПривет мир. Γειά σου.",
            "The second page says that the secret word is PLUMAGE. The quick brown fox \
             jumps\nover the lazy dog and then it sleeps all day long while the rain falls on \
             the roof of the\nlittle house by the sea, so that this line wraps.",
        ]
    );
    let metadata = &documents[1]["metadata"];
    assert_eq!(metadata["loc"], json!({"pageNumber": 2}));
    assert_eq!(metadata["pdf"]["info"]["Title"], "Opening hours of the bakery");
}

#[tokio::test]
async fn a_pdf_has_the_metadata_of_langchain_and_is_one_document_where_that_is_wanted() {
    let pdf = json!({
        "version": "1.10.100",
        "info": {
            "PDFFormatVersion": "1.4", "IsAcroFormPresent": false, "IsXFAPresent": false,
            "Title": "Museum guide", "Author": "Ann", "Subject": "Hours", "Keywords": "",
            "Creator": "(unspecified)", "Producer": "ReportLab PDF Library - (opensource)",
            "CreationDate": "D:20261123155321+00'00'", "ModDate": "D:20261123155321+00'00'",
            "Trapped": {"name": "False"}
        },
        "metadata": null,
        "totalPages": 2
    });
    let given = || ("pdfFile", files([("museum.pdf", MUSEUM)]));

    let pages = load(&pdf_file::SPEC, [given(), ("usage", source("perPage"))]).await;
    let whole = load(&pdf_file::SPEC, [given(), ("usage", source("perFile"))]).await;

    let page = json!({"source": "blob", "blobType": "", "pdf": &pdf, "loc": {"pageNumber": 1}});
    assert_eq!(pages[0]["metadata"], page);
    let file = json!({"source": "blob", "blobType": "", "pdf": &pdf});
    assert_eq!(whole[0]["metadata"], file);
    assert_eq!(texts(&whole), [texts(&pages).join("\n\n")]);
}

#[tokio::test]
async fn broken_locked_and_scanned_pdfs_are_told_apart() {
    let cut = &MUSEUM[..MUSEUM.len() / 3];
    let scanned = crate::extract::fixtures::pdf(b"", true);
    for (bytes, part) in [
        (LOCKED, "protected by a password"),
        (cut, "damaged"),
        (b"<html>not a pdf</html>", "not of the type"),
        (HOURS, "not of the type"),
        (&scanned, "text recognition"),
    ] {
        let problem = problem(&pdf_file::SPEC, "pdfFile", ("a.pdf", bytes)).await;
        assert!(problem.contains(part), "{part}: {problem}");
    }
}

#[tokio::test]
async fn a_word_document_gives_its_raw_text() {
    let documents = load(&docx_file::SPEC, [("docxFile", files([("h.docx", HOURS)]))]).await;

    let text = "The bakery\n\nIt opens at eight & closes at six.\n\nDay\n\nHours\n\nMonday\n\n\
                8 to 18\n\nfirst line\nsecond\tline\n\n";
    let expected = json!([{"pageContent": text, "metadata": {"source": "blob", "blobType": ""}}]);
    assert_eq!(documents, expected);
    let old = problem(&docx_file::SPEC, "docxFile", ("a.doc", b"\xd0\xcf\x11\xe0...")).await;
    assert_eq!(old, "is of the old .doc format; save it as .docx");
    let locked = problem(&docx_file::SPEC, "docxFile", ("a.docx", b"\xd0\xcf\x11\xe0...")).await;
    assert_eq!(locked, "is protected by a password");
}

#[tokio::test]
async fn the_file_loader_reads_every_file_as_what_it_is() {
    let given = files([
        ("a.md", b"# Title".as_slice()),
        ("page.HTML", b"<p>x</p>"),
        ("a.csv", b"n\n1\n"),
        ("a.json", b"[\"s\"]"),
        ("museum.pdf", MUSEUM),
        ("hours.docx", HOURS),
        ("a.jsonl", b"{\"t\": \"line\"}"),
        ("a.yaml", b"k: v"),
        ("noname", MUSEUM),
        ("a.png", b"\x89PNG"),
    ]);
    let usage = ("pdfUsage", source("perFile"));

    let given = [("file", given), usage, ("pointerName", source("t"))];
    let loaded = try_load(&file_loader::SPEC, given).await.unwrap();

    let starts: Vec<String> =
        loaded.documents.iter().map(|d| d.page_content.chars().take(8).collect()).collect();
    let expected =
        ["# Title", "<p>x</p>", "n: 1", "s", "The muse", "The bake", "line", "k: v", "The muse"];
    assert_eq!(starts, expected);
    assert_eq!(loaded.failures[0].name, "a.png");
    let typed = "data:application/pdf;base64,JVBERi0=";
    let loaded = try_load(&file_loader::SPEC, [("file", source(typed))]).await.unwrap();
    assert_eq!(loaded.failures[0].name, "file 1");
    assert!(loaded.failures[0].problem.contains("damaged"), "the type decides without a name");
}

#[tokio::test]
async fn files_by_kind_take_the_place_of_the_saved_ones_in_the_file_loader() {
    let given = [
        ("file", files([("saved.txt", b"saved")])),
        ("csvFile", files([("a.csv", b"n\n1\n")])),
        ("txtFile", files([("a.txt", b"text")])),
    ];

    assert_eq!(texts(&load(&file_loader::SPEC, given).await), ["text", "n: 1"]);
}

#[tokio::test]
async fn what_a_request_brings_is_known_by_its_file_and_what_is_saved_by_its_loader() {
    let mut given = inputs([("txtFile", files([("a.txt", b"x"), ("", b"y")]))]);
    let turn = TestTurn::asking("").ctx();
    let origins = |loaded: Loaded| {
        loaded.documents.into_iter().map(|document| document.origin.unwrap()).collect::<Vec<_>>()
    };

    let saved = loader_of(&text_file::SPEC, &given).load(&turn).await.unwrap();
    given.is_overridden = true;
    let brought = loader_of(&text_file::SPEC, &given).load(&turn).await.unwrap();

    let loader = || Arc::from("test_0");
    assert_eq!(origins(saved), [Origin::Chatflow(loader()), Origin::Chatflow(loader())]);
    let file = Origin::Request("a.txt".into());
    assert_eq!(origins(brought), [file, Origin::Request(loader())]);
}

/// A server that keeps files and allows folders.
#[derive(Default)]
pub(super) struct Keeper {
    pub(super) files: HashMap<String, Vec<u8>>,
    pub(super) roots: Vec<std::path::PathBuf>,
}

impl Services for Keeper {
    fn http(&self) -> reqwest::Client {
        TestTurn::asking("").ctx().services.http()
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }

    fn loader_roots(&self) -> &[std::path::PathBuf] {
        &self.roots
    }

    fn chatflow_file<'a>(
        &'a self,
        _chatflow: ChatflowId,
        name: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        assert_eq!(most, MAX_FILE_BYTES);
        Box::pin(std::future::ready(self.files.get(name).cloned()))
    }
}

pub(super) fn turn_with(keeper: Keeper) -> TurnCtx {
    let mut turn = TestTurn::asking("").ctx();
    turn.services = Arc::new(keeper);
    turn
}

#[tokio::test]
async fn stored_files_are_read_by_name_and_missing_ones_named() {
    let files = HashMap::from([("a.txt".to_owned(), b"kept".to_vec())]);
    let given = inputs([("txtFile", source("FILE-STORAGE::[\"a.txt\", \"gone.txt\"]"))]);

    let turn = turn_with(Keeper { files, ..Keeper::default() });
    let loaded = loader_of(&text_file::SPEC, &given).load(&turn).await.unwrap();

    assert_eq!(loaded.documents[0].page_content, "kept");
    let [gone] = loaded.failures.as_slice() else { panic!("{:?}", loaded.failures) };
    assert_eq!(gone.name, "gone.txt");
    assert!(gone.problem.contains("upload it again"), "{}", gone.problem);
}

#[tokio::test]
async fn a_caller_who_left_ends_the_loading() {
    let turn = TestTurn::asking("").ctx();
    turn.cancel.cancel();
    let given = inputs([("txtFile", files([("a.txt", b"x")]))]);

    let ended = loader_of(&text_file::SPEC, &given).load(&turn).await;

    assert!(matches!(ended, Err(NodeError::Cancelled)), "{ended:?}");
}
