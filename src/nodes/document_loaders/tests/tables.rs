use serde_json::json;

use super::{STAFF, csv_file, files, json_file, jsonlines_file, load, problem, texts, try_load};
use crate::test_support::{json as tree, source};

#[tokio::test]
async fn every_row_of_a_table_is_a_document_with_its_line() {
    let table = b"\xef\xbb\xbfname,note\r\nAnn,\"a, \"\"b\"\"\"\r\n\r\nBob,\" two\r\nlines \"\r\n";

    let documents = load(&csv_file::SPEC, [("csvFile", files([("a.csv", table)]))]).await;

    let expected = json!([
        {"pageContent": "name: Ann\nnote: a, \"b\"",
         "metadata": {"source": "blob", "blobType": "", "line": 1}},
        {"pageContent": "name: Bob\nnote: two\r\nlines",
         "metadata": {"source": "blob", "blobType": "", "line": 2}}
    ]);
    assert_eq!(documents, expected);
}

#[tokio::test]
async fn the_delimiter_of_a_table_is_guessed_and_odd_headers_get_names() {
    for (table, expected) in [
        (&b"item;price\nbread;2,50\nrolls;0,45\n"[..], "item: bread\nprice: 2,50"),
        (b"item\tprice\nbread\t1\n", "item: bread\nprice: 1"),
        (b"item|price\nbread, dark|1\n", "item: bread, dark\nprice: 1"),
        (b"item\nbread\n", "item: bread"),
        (b",price,price\n1,2,3\n", "_0: 1\nprice: 2\nprice_1: 3"),
        (b"a,b\n1\n", "a: 1"),
        (b"a,b\r1,2\r", "a: 1\nb: 2"),
    ] {
        let documents = load(&csv_file::SPEC, [("csvFile", files([("a.csv", table)]))]).await;
        assert_eq!(texts(&documents)[0], expected);
    }
}

#[tokio::test]
async fn one_column_of_a_table_can_be_all_that_counts() {
    let given = || ("csvFile", files([("a.csv", b"id,text\n1, Hello \n2,\n")]));

    let documents = load(&csv_file::SPEC, [given(), ("columnName", source(" text "))]).await;
    let wrong = try_load(&csv_file::SPEC, [given(), ("columnName", source("body"))]).await.unwrap();

    assert_eq!(texts(&documents), [" Hello "]);
    assert_eq!(documents[0]["metadata"], json!({"source": "blob", "blobType": ""}));
    assert_eq!(wrong.failures[0].problem, "has no column body; it has id, text");
}

#[tokio::test]
async fn a_workbook_is_read_like_a_table_sheet_by_sheet() {
    let documents = load(&csv_file::SPEC, [("csvFile", files([("staff.xlsx", STAFF)]))]).await;

    let sheets: Vec<_> = documents.as_array().unwrap().iter().map(|d| &d["metadata"]).collect();
    assert_eq!(
        sheets[..1],
        [&json!({"source": "blob", "blobType": "", "line": 1, "worksheet": "Staff"})]
    );
    assert_eq!(
        texts(&documents),
        [
            "name: Ann\nage: 42\nsince: 2020-05-01\nactive: TRUE",
            "name: Bob, the baker\nage: \nsince: 2021-01-02 03:04:00\nactive: FALSE",
            "name: Cyd\nage: 3.5\nsince: x\nactive: ",
            "item: bread\nprice: 2.5",
            "item: rolls\nprice: 0.45",
        ]
    );
    assert_eq!(sheets[4]["worksheet"], "Prices & more");
    let old = problem(&csv_file::SPEC, "csvFile", ("a.xls", b"\xd0\xcf\x11\xe0...")).await;
    assert_eq!(old, "is of the old .xls format; save it as .xlsx or .csv");
}

#[tokio::test]
async fn a_table_that_grows_beyond_memory_is_refused() {
    let mut table = vec![b'h'; 1 << 20];
    table.extend(b"\nx".repeat(1_000));

    let problem = problem(&csv_file::SPEC, "csvFile", ("a.csv", &table)).await;

    assert!(problem.contains("more text than one loader may hold"), "{problem}");
    let attached = crate::extract::text_of("a.csv", "", &table);
    assert_eq!(attached, Err(crate::extract::ExtractError::TooLarge));
}

const PEOPLE: &[u8] = br#"[
    {"name": "Ann", "age": 42, "about": {"job": "baker", "likes": ["bread", ""]}},
    {"name": "Bob", "about": {"job": "pilot"}}
]"#;

#[tokio::test]
async fn all_strings_of_a_json_file_are_documents() {
    let documents = load(&json_file::SPEC, [("jsonFile", files([("a.json", PEOPLE)]))]).await;

    assert_eq!(texts(&documents), ["Ann", "baker", "bread", "Bob", "pilot"]);
    assert_eq!(documents[3]["metadata"], json!({"source": "blob", "blobType": "", "line": 4}));
    let problem = problem(&json_file::SPEC, "jsonFile", ("a.json", b"{\n  \"a\": }")).await;
    assert_eq!(problem, "is no valid JSON from line 2, column 8 on");
}

#[tokio::test]
async fn pointers_choose_strings_at_whichever_depth_they_fit() {
    for (pointers, expected) in [
        ("name", vec!["Ann", "Bob"]),
        ("/job, likes", vec!["baker", "bread", "pilot"]),
        ("/about/job", vec!["baker", "pilot"]),
        ("about", vec!["baker", "bread", "pilot"]),
        ("name,/name, name", vec!["Ann", "Bob"]),
    ] {
        let given = [("jsonFile", files([("a.json", PEOPLE)])), ("pointersName", source(pointers))];
        assert_eq!(texts(&load(&json_file::SPEC, given).await), expected, "{pointers}");
    }
    let given = [("jsonFile", files([("a.json", PEOPLE)])), ("pointersName", source("nothing"))];
    let loaded = try_load(&json_file::SPEC, given).await.unwrap();
    assert_eq!(loaded.failures[0].problem, "holds no text");
}

#[tokio::test]
async fn metadata_that_are_pointers_come_from_each_object() {
    let metadata = json!({"who": "/name", "job": "/about/job", "none": "/x", "team": "crew"});
    let given = [
        ("jsonFile", files([("a.json", PEOPLE)])),
        ("pointersName", source("likes,job")),
        ("metadata", tree(metadata)),
    ];

    let documents = load(&json_file::SPEC, given).await;

    let line = |line: i32, who: &str, job: &str| json!({"source": "blob", "blobType": "", "line": line, "who": who, "job": job, "team": "crew"});
    assert_eq!(texts(&documents), ["bread", "baker", "pilot"]);
    assert_eq!(documents[1]["metadata"], line(2, "Ann", "baker"));
    assert_eq!(documents[2]["metadata"], line(3, "Bob", "pilot"));
}

#[tokio::test]
async fn every_line_of_a_json_lines_file_is_a_document() {
    let lines = b"{\"text\": \"one\", \"at\": 1}\r\n\n {\"text\": \"two\"}\n";
    let given = || ("jsonlinesFile", files([("a.jsonl", lines)]));
    let spec = &jsonlines_file::SPEC;

    let pointer = ("pointerName", source(" text "));
    let documents = load(spec, [given(), pointer, ("metadata", tree(json!({"at": "/at"})))]).await;
    let wrong = try_load(spec, [given(), ("pointerName", source("at"))]).await.unwrap();
    let none = try_load(spec, [given()]).await.unwrap_err();

    let expected = json!([
        {"pageContent": "one", "metadata": {"source": "blob", "blobType": "", "line": 1, "at": 1}},
        {"pageContent": "two", "metadata": {"source": "blob", "blobType": "", "line": 2}}
    ]);
    assert_eq!(documents, expected);
    assert_eq!(wrong.failures[0].problem, "has no text at the pointer in line 1");
    assert!(none.to_string().contains("pointerName is empty"), "{none}");
}
