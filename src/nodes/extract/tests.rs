use proptest::prelude::*;

use super::fixtures::{archive, pdf};
use super::{ExtractError, MAX_FILE_BYTES, MAX_TEXT_BYTES, text_of};

fn one(name: &str, mime: &str, bytes: &[u8]) -> String {
    let pages = text_of(name, mime, bytes).unwrap();
    assert_eq!(pages.len(), 1, "{pages:?}");
    pages.concat()
}

#[test]
fn text_is_text_whatever_its_encoding() {
    assert_eq!(one("a.txt", "text/plain", "Grüße".as_bytes()), "Grüße");
    assert_eq!(one("a.md", "", b"\xef\xbb\xbf# Title"), "# Title");
    assert_eq!(one("a.txt", "", b"\xff\xfeH\0i\0"), "Hi");
    assert_eq!(one("page.html", "text/html", b"<p>x</p>"), "<p>x</p>");
    assert_eq!(one("main.rs", "", b"fn main() {}"), "fn main() {}");
    assert_eq!(one("empty.txt", "", b""), "");
}

#[test]
fn what_is_no_text_is_refused() {
    for (name, mime, bytes) in [
        ("a.png", "image/png", b"\x89PNG".as_slice()),
        ("a.bin", "application/octet-stream", b"\x00\x01\x02"),
        ("old.doc", "application/msword", b"text"),
        ("a.wav", "audio/wav", b"RIFF"),
    ] {
        assert_eq!(text_of(name, mime, bytes), Err(ExtractError::Unsupported), "{name}");
    }
    let long = vec![b'x'; MAX_FILE_BYTES + 1];
    assert_eq!(text_of("a.txt", "", &long), Err(ExtractError::TooLarge));
    let long = vec![b'x'; MAX_TEXT_BYTES + 1];
    assert_eq!(text_of("a.txt", "", &long), Err(ExtractError::TooLarge));
}

#[test]
fn rows_of_a_csv_file_name_their_columns() {
    let pages =
        text_of("a.csv", "", b"name,note\r\nAnn,\"likes \"\"a,b\"\"\"\r\nBob,\"two\nlines\"\n");
    assert_eq!(pages.unwrap(), ["name: Ann\nnote: likes \"a,b\"", "name: Bob\nnote: two\nlines"]);
    assert_eq!(text_of("a.csv", "", b"only,names").unwrap(), Vec::<String>::new());
}

#[test]
fn json_gives_its_strings_or_itself() {
    let pages = text_of("a.json", "", br#"{"a": "x", "b": [1, "y", {"c": "z"}], "d": ""}"#);
    assert_eq!(pages.unwrap(), ["x", "y", "z"]);
    assert_eq!(one("a.json", "", br#"{"price": 5}"#), r#"{"price": 5}"#);
    assert_eq!(one("a.json", "", b"not json"), "not json");
    let deep = "[".repeat(100_000);
    assert_eq!(one("a.json", "", deep.as_bytes()), deep);
}

#[test]
fn a_word_document_gives_its_paragraphs() {
    let body = r#"<?xml version="1.0"?><w:document xmlns:w="x"><w:body>
        <w:p><w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr>
        <w:r><w:t>Fish &amp; chips</w:t></w:r><w:r><w:tab/><w:t xml:space="preserve"> &#8364;5</w:t></w:r></w:p>
        <w:p><w:r><w:t>End</w:t></w:r></w:p></w:body></w:document>"#;
    let file = archive(&[("word/document.xml", body.as_bytes())]);
    assert_eq!(one("a.docx", "", &file), "Fish & chips\t €5\n\nEnd\n\n");
    let mime = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    assert_eq!(one("noextension", mime, &file), "Fish & chips\t €5\n\nEnd\n\n");
}

#[test]
fn a_workbook_gives_its_cells_in_their_columns() {
    let shared = "<sst><si><t>Name</t></si><si><r><t>A</t></r><r><t>nn</t></r></si></sst>";
    let sheet = r#"<worksheet><sheetData>
        <row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1"><v>42</v></c></row>
        <row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2" t="inlineStr"><is><t>x</t></is></c></row>
        </sheetData></worksheet>"#;
    let file = archive(&[
        ("xl/sharedStrings.xml", shared.as_bytes()),
        ("xl/worksheets/sheet2.xml", b"<worksheet/>"),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);
    assert_eq!(text_of("a.xlsx", "", &file).unwrap(), ["Name\t\t42\nAnn\tx\n", ""]);
}

#[test]
fn a_cell_far_to_the_right_stands_in_its_own_column() {
    let sheet = r#"<worksheet><row><c r="A1" t="str"><v>name</v></c><c r="CX1" t="str"><v>near</v>
        </c><c r="KN1" t="str"><v>far</v></c></row><row><c r="A2" t="str"><v>Ann</v></c>
        <c r="KN2"><v>7</v></c><c r="XFD2" s="1"/><c r="ZZZZ2"><v>8</v></c></row></worksheet>"#;
    let file = archive(&[("xl/worksheets/sheet1.xml", sheet.as_bytes())]);

    let sheets = super::sheets(&file).unwrap();

    let [header, row] = sheets[0].rows.as_slice() else { panic!("{sheets:?}") };
    assert_eq!((header.len(), row.len()), (300, 300));
    assert_eq!((header[299].as_str(), row[299].as_str(), row[101].as_str()), ("far", "7", ""));
}

#[test]
fn how_a_word_of_a_workbook_is_spoken_is_no_part_of_it() {
    let word = "<t>東京</t><rPh sb='0' eb='2'><t>トウキョウ</t></rPh>";
    let shared = format!("<sst><si>{word}<phoneticPr fontId='1'/></si></sst>");
    let row = format!("<c t='s'><v>0</v></c><c t='inlineStr'><is>{word}</is></c>");
    let sheet = format!("<worksheet><row>{row}</row></worksheet>");
    let file = archive(&[
        ("xl/sharedStrings.xml", shared.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);

    assert_eq!(one("a.xlsx", "", &file), "東京\t東京\n");
}

#[test]
fn a_presentation_gives_its_slides_in_order() {
    let slide = |text: &str| format!("<p:sld><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>");
    let file = archive(&[
        ("ppt/slides/slide10.xml", slide("ten").as_bytes()),
        ("ppt/slides/slide2.xml", slide("two").as_bytes()),
    ]);
    assert_eq!(text_of("a.pptx", "", &file).unwrap(), ["two", "ten"]);
}

#[test]
fn a_pdf_gives_the_words_of_its_pages() {
    let content = b"BT /F1 12 Tf 72 700 Td (Hello) Tj [(wor) -20 (ld) -300 (again)] TJ \
        0 -14 Td (Second line) Tj T* (Third) Tj ET";
    for compress in [false, true] {
        let text = one("a.pdf", "application/pdf", &pdf(content, compress));
        assert_eq!(text, "Helloworld again\nSecond line\nThird");
    }
}

#[test]
fn bombs_hit_a_cap() {
    let blank = vec![b' '; 80 << 20];
    let file = archive(&[("word/document.xml", &blank)]);
    assert!(file.len() < 200 << 10, "the bomb is small: {}", file.len());
    assert_eq!(text_of("a.docx", "", &file), Err(ExtractError::TooLarge));

    let bomb = pdf(&blank[..20 << 20], true);
    assert!(bomb.len() < 200 << 10, "the bomb is small: {}", bomb.len());
    assert_eq!(text_of("a.pdf", "", &bomb), Err(ExtractError::TooLarge));

    let shared = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(1 << 20));
    let cells = r#"<c t="s"><v>0</v></c>"#.repeat(100_000);
    let sheet = format!("<worksheet><row>{cells}</row></worksheet>");
    let file = archive(&[
        ("xl/sharedStrings.xml", shared.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);
    assert_eq!(text_of("a.xlsx", "", &file), Err(ExtractError::TooLarge));
}

/// A PDF of these objects, whose cross-references the reader finds by itself.
fn raw_pdf(objects: &[String]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.5\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(bytes.len());
        bytes.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", index + 1).as_bytes());
    }
    let xref = bytes.len();
    let mut tail = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        tail.push_str(&format!("{place:010} 00000 n \n"));
    }
    tail.push_str(&format!("trailer\n<</Size {} /Root 1 0 R>>\n", objects.len() + 1));
    tail.push_str(&format!("startxref\n{xref}\n%%EOF"));
    bytes.extend_from_slice(tail.as_bytes());
    bytes
}

/// A PDF whose page draws a form with this content, in letters of half the
/// font's width; the form knows itself as `Fm`.
fn pdf_with_form(content: &str) -> Vec<u8> {
    let stream = |head: &str, content: &str| {
        format!("<<{head}/Length {}>>\nstream\n{content}\nendstream", content.len())
    };
    let widths = "500 ".repeat(224);
    let font = format!(
        "<</Type/Font/Subtype/Type1/BaseFont/X/Encoding/WinAnsiEncoding/FirstChar 32/LastChar 255\
         /Widths[{widths}]>>"
    );
    let resources = "/Resources<</XObject<</Fm 4 0 R>>/Font<</F1 6 0 R>>>>";
    raw_pdf(&[
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Count 1/Kids[3 0 R]>>".to_owned(),
        format!("<</Type/Page/Parent 2 0 R/Contents 5 0 R{resources}>>"),
        stream(&format!("/Type/XObject/Subtype/Form/Matrix[2 0 0 2 9 9]{resources}"), content),
        stream("", "q /Fm Do Q"),
        font,
    ])
}

#[test]
fn places_and_widths_tell_letters_words_and_lines_apart_also_in_forms() {
    for (content, expected) in [
        ("1 0 0 1 0 0 Tm (Wo) Tj 1 0 0 1 11 0 Tm (rd) Tj 1 0 0 1 40 0 Tm (next) Tj", "Word next"),
        ("1 0 0 1 0 0 Tm (one) Tj 1 0 0 1 0 -12 Tm (two) Tj", "one\ntwo"),
        ("1 0 0 1 50 0 Tm (right) Tj 1 0 0 1 0 0 Tm (left) Tj", "right left"),
        ("(low) Tj 3 Ts 15 2 Td (er) Tj", "lower"),
        ("[(A) 60 (V) -250 (x)] TJ", "AV x"),
        ("5 Tc (a) Tj 10 0 Td (b) Tj 0 Tc 10 0 Td (c) Tj", "abc"),
        ("200 Tz (wi) Tj 20 0 Td (de) Tj", "wide"),
        ("12 TL (one) Tj T* (two) Tj (three) '", "one\ntwo\nthree"),
        ("q 1 0 0 1 0 50 cm (up) Tj Q 1 0 0 1 0 0 Tm (down) Tj", "up\ndown"),
    ] {
        let content = format!("BT /F1 10 Tf {content} ET");
        assert_eq!(one("a.pdf", "", &pdf_with_form(&content)), expected, "{content}");
    }
    let circle = pdf_with_form("BT /F1 10 Tf (again) Tj ET /Fm Do /Fm Do");
    assert!(one("a.pdf", "", &circle).starts_with("again"));
}

#[test]
fn what_a_word_document_shows_in_two_ways_comes_once() {
    let body = r#"<w:document><mc:AlternateContent>
        <mc:Choice><w:p><w:r><w:t>Box</w:t></w:r></w:p></mc:Choice>
        <mc:Fallback><w:p><w:r><w:t>Box</w:t></w:r></w:p></mc:Fallback>
        </mc:AlternateContent><w:p><w:r><w:t>End</w:t></w:r></w:p></w:document>"#;
    let file = archive(&[("word/document.xml", body.as_bytes())]);
    assert_eq!(one("a.docx", "", &file), "Box\n\nEnd\n\n");
}

#[test]
fn a_pdf_whose_objects_lead_in_circles_is_read_to_an_end() {
    let catalog = "<</Type/Catalog/Pages 2 0 R>>".to_owned();
    let page = |parent: &str, rest: &str| format!("<</Type/Page/Parent {parent} {rest}>>");
    let kids = |kids: &str| format!("<</Type/Pages/Count 1/Kids[{kids}]/Parent 2 0 R>>");
    let deep = |n: usize| {
        let tree = (0..n).map(|at| format!("<</Type/Pages/Count 1/Kids[{} 0 R]>>", at + 3));
        [catalog.clone()].into_iter().chain(tree).collect::<Vec<_>>()
    };
    let chain = |n: usize| {
        let refs = (0..n).map(|at| format!("{} 0 R", at + 5));
        let first =
            [catalog.clone(), kids("3 0 R"), page("2 0 R", "/Contents 4 0 R/Resources 4 0 R")];
        first.into_iter().chain(refs).collect::<Vec<_>>()
    };
    for objects in [
        vec![catalog.clone(), kids("2 0 R")],
        vec![catalog.clone(), kids("3 0 R 3 0 R"), page("3 0 R", "/Contents 3 0 R")],
        vec![catalog.clone(), kids("3 0 R"), page("2 0 R", "/Contents[4 0 R]"), "4 0 R".into()],
        vec![
            catalog.clone(),
            kids("3 0 R"),
            page("2 0 R", "/Resources 4 0 R"),
            "5 0 R".into(),
            "4 0 R".into(),
        ],
        vec!["1 0 R".to_owned()],
        deep(20_000),
        chain(20_000),
        vec![catalog.clone(), kids("3 0 R"), page("2 0 R", &"[".repeat(100_000))],
        vec![catalog.clone(), kids("3 0 R"), page("2 0 R", &"<</A".repeat(50_000))],
    ] {
        let _ = text_of("a.pdf", "", &raw_pdf(&objects));
    }
}

#[test]
fn entities_are_not_expanded() {
    let body = r#"<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY x SYSTEM "file:///etc/passwd">]>
        <w:document><w:p><w:r><w:t>[&a;&x;&unknown;]</w:t></w:r></w:p></w:document>"#;
    let file = archive(&[("word/document.xml", body.as_bytes())]);
    assert_eq!(one("a.docx", "", &file), "[]\n\n");
}

#[test]
fn damaged_and_locked_files_are_told_apart() {
    for name in ["a.docx", "a.xlsx", "a.pptx", "a.pdf"] {
        for bytes in [b"".as_slice(), b"PK\x03\x04 no archive", b"%PDF-1.4 nothing", b"<html>"] {
            assert_eq!(text_of(name, "", bytes), Err(ExtractError::Damaged), "{name} {bytes:?}");
        }
        let other = archive(&[("something/else.xml", b"<x/>")]);
        assert_eq!(text_of(name, "", &other), Err(ExtractError::Damaged), "{name}");
    }
    let locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest";
    assert_eq!(text_of("a.docx", "", locked), Err(ExtractError::Locked));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_of_text_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for name in ["a.csv", "a.json", "a.txt", "a.docx", "a.xlsx", "a.pptx"] {
            let _ = text_of(name, "", &bytes);
        }
    }

    #[test]
    fn no_xml_makes_a_reader_of_office_files_panic(xml in "[ -~<>/&;\"=]{0,200}") {
        let file = archive(&[
            ("word/document.xml", xml.as_bytes()),
            ("xl/worksheets/sheet1.xml", xml.as_bytes()),
            ("ppt/slides/slide1.xml", xml.as_bytes()),
        ]);
        for name in ["a.docx", "a.xlsx", "a.pptx"] {
            let _ = text_of(name, "", &file);
        }
    }

    #[test]
    fn no_content_makes_the_reader_of_pdf_pages_panic(content in "[ -~]{0,200}") {
        let _ = text_of("a.pdf", "", &pdf(content.as_bytes(), false));
    }
}
