//! What a PDF says of itself, in the words of pdf.js, which Flowise puts into
//! the metadata of every page.

use lopdf::{Dictionary, Document, Object, decode_text_string};
use serde_json::{Map, Value, json};

/// Characters of one value: it comes again with every page.
const MAX_CHARS: usize = 200;
/// Texts of the information dictionary (ISO 32000-1, section 14.3.3).
const TEXTS: [&str; 8] =
    ["Title", "Author", "Subject", "Keywords", "Creator", "Producer", "CreationDate", "ModDate"];

/// `info` of pdf.js.
pub(super) fn info(document: &Document) -> Map<String, Value> {
    let form = document.catalog().ok().and_then(|root| resolved(document, root, b"AcroForm"));
    let form = form.and_then(|form| form.as_dict().ok());
    let mut info = Map::new();
    info.insert("PDFFormatVersion".to_owned(), short(&document.version).into());
    info.insert("IsAcroFormPresent".to_owned(), form.is_some().into());
    info.insert("IsXFAPresent".to_owned(), form.is_some_and(|form| form.has(b"XFA")).into());
    let Some(told) = resolved(document, &document.trailer, b"Info") else { return info };
    let Ok(told) = told.as_dict() else { return info };
    for name in TEXTS {
        let text = resolved(document, told, name.as_bytes());
        if let Some(text) = text.and_then(|text| decode_text_string(text).ok()) {
            info.insert(name.to_owned(), short(&text).into());
        }
    }
    if let Some(Object::Name(name)) = resolved(document, told, b"Trapped") {
        let name = short(&String::from_utf8_lossy(name));
        info.insert("Trapped".to_owned(), json!({ "name": name }));
    }
    info
}

fn resolved<'a>(document: &'a Document, of: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    let found = of.get(key).ok()?;
    document.dereference(found).ok().map(|(_, object)| object)
}

fn short(text: &str) -> String {
    text.chars().filter(|ch| *ch != '\0').take(MAX_CHARS).collect()
}
