//! Files that strangers send.

use std::panic::catch_unwind;

use super::fixtures::{archive, pdf as made_pdf};
use super::{ExtractError, MAX_TEXT_BYTES, Rows, text_of};

const DOCUMENT: &str = r#"<w:document xmlns:w="x"><w:body><w:p><w:r><w:t>Fish &amp; chips</w:t>
    </w:r><w:r><w:tab/><w:t xml:space="preserve"> &#8364;5</w:t></w:r></w:p></w:body></w:document>"#;
const SLIDE: &str = r#"<p:sld xmlns:a="x"><a:p><a:r><a:t>Hi</a:t></a:r><a:br/></a:p></p:sld>"#;
const SHEET: &str = r#"<worksheet><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="ZZZ1" s="1">
    <v>45000.5</v></c></row><row><c t="inlineStr"><is><t>x</t></is></c></row></sheetData></worksheet>"#;
const SHARED: &str = "<sst><si><t>Name</t></si><si><r><t>A</t></r><r><t>nn</t></r></si></sst>";
const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="170" formatCode="yyyy\-mm"/></numFmts>
    <cellXfs><xf numFmtId="0"/><xf numFmtId="170"/><xf numFmtId="14"/></cellXfs></styleSheet>"#;
const PAGE: &str = "BT /F1 12 Tf 1 0 0 1 72 700 Tm (Hello) Tj 0 -14 Td [(Wo) -250 (rld)] TJ T* \
    <48690a> Tj (a\\(b\\)\\101) ' ET q 2 0 0 2 0 0 cm Q";

/// The pages, in bounds.
fn pages(name: &str, bytes: &[u8]) -> Result<Vec<String>, ExtractError> {
    let pages = text_of(name, "", bytes);
    if let Ok(pages) = &pages {
        assert!(pages.iter().map(String::len).sum::<usize>() <= MAX_TEXT_BYTES);
    }
    pages
}

#[test]
fn any_bytes_under_any_name_give_bounded_text_or_a_reason() {
    let fixtures: [&[u8]; 4] = [
        b"0",
        include_bytes!("../document_loaders/fixtures/hours.docx"),
        include_bytes!("../document_loaders/fixtures/staff.xlsx"),
        b"name,note\r\nAnn,\"likes \"\"a,b\"\"\"\r\n",
    ];
    let mut seeds: Vec<_> = fixtures.map(<[u8]>::to_vec).to_vec();
    seeds.push(archive(&[("ppt/slides/slide1.xml", SLIDE.as_bytes())]));
    seeds.push(b"\xff\xfeH\0i\0".to_vec());
    parlor_fuzz::check!(seeds, |bytes: &[u8]| {
        for name in ["a.docx", "a.xlsx", "a.pptx", "a.csv", "a.json", "a.jsonl", "a.txt"] {
            let _ = pages(name, bytes);
        }
    });
}

/// An archive's checksums keep damage away from the XML in it, so they are right here.
#[test]
fn any_xml_in_an_office_file_gives_bounded_text_or_a_reason() {
    let seeds = [DOCUMENT, SLIDE, SHEET, SHARED, STYLES].map(Vec::from).to_vec();
    parlor_fuzz::check!(seeds, |xml: &[u8]| {
        let _ = pages("a.docx", &archive(&[("word/document.xml", xml)]));
        let _ = pages("a.pptx", &archive(&[("ppt/slides/slide1.xml", xml)]));
        let sheet = "xl/worksheets/sheet1.xml";
        let _ = pages("a.xlsx", &archive(&[(sheet, xml), ("xl/styles.xml", STYLES.as_bytes())]));
        let strings = ("xl/sharedStrings.xml", xml);
        let _ = pages("a.xlsx", &archive(&[(sheet, SHEET.as_bytes()), strings]));
        let _ = pages("a.xlsx", &archive(&[(sheet, SHEET.as_bytes()), ("xl/styles.xml", xml)]));
    });
}

/// Callers catch panics of the PDF library; what they cannot catch, a stack that
/// overflows or memory without end, still ends this test.
fn pdf(bytes: &[u8]) {
    let pages = catch_unwind(|| text_of("a.pdf", "", bytes));
    let Ok(Ok(pages)) = pages else { return };
    assert!(pages.iter().map(String::len).sum::<usize>() <= MAX_TEXT_BYTES);
}

#[test]
fn a_damaged_pdf_is_survived() {
    let seeds = vec![
        made_pdf(PAGE.as_bytes(), false),
        made_pdf(PAGE.as_bytes(), true),
        include_bytes!("../document_loaders/fixtures/bakery.pdf").to_vec(),
        include_bytes!("../document_loaders/fixtures/locked.pdf").to_vec(),
        include_bytes!("../document_loaders/fixtures/museum.pdf").to_vec(),
    ];
    parlor_fuzz::check!(seeds, pdf);
}

#[test]
fn any_content_of_a_pdf_page_is_survived() {
    let seeds = vec![PAGE.into(), b"BT /F1 1e30 Tf (a) Tj [(b) 1e38 (c)] TJ ET".to_vec()];
    parlor_fuzz::check!(seeds, |content: &[u8]| pdf(&made_pdf(content, false)));
}

#[test]
fn a_table_that_is_written_is_read_again() {
    let seeds = ["a,b\nc,\"d\ne\"", "x\ty\u{0}z", "\"\"\"", "ß|\r|😀\u{1e}\u{1f};,"];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        // The delimiter is a guess, which others in the values would lead astray.
        let text = text.replace(['\t', ';', '\u{1e}', '\u{1f}'], " ");
        let written: Vec<Vec<String>> =
            text.split('|').map(|value| ["k", value, "v"].map(str::to_owned).to_vec()).collect();
        let quoted = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
        let file = written.iter().map(line).collect::<Vec<_>>().join("\r\n");
        let file = format!("{file}\r\n");
        assert_eq!(Rows::of(&file).collect::<Vec<_>>(), written);
    });
}

#[test]
fn the_strings_of_json_stand_in_it() {
    let seeds =
        [r#"{"a": "x", "b": [1, "y", {"c": "z\n"}], "d": ""}"#, r#"["\ud83e\udd8a", 1e999]"#];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Ok(found) = pages("a.json", bytes) else { return };
        assert!(found.iter().map(String::len).sum::<usize>() <= bytes.len().max(4) * 3);
    });
}
