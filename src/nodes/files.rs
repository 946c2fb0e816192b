//! Files as inputs of loaders: data URIs in the saved flow or in a request,
//! files of a multipart body, and names of stored files.

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use bytes::Bytes;
use parlor_schemas::given_json;
use serde_json::Value;

/// Most files in one input.
pub const MAX_FILES: usize = 1_000;

/// Browsers and clients leave padding out, and some use the alphabet of URLs.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A file of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputFile {
    /// A file with its bytes.
    Inline {
        /// Its name; empty where nobody gave one.
        name: String,
        /// Its MIME type, as its sender declares it.
        mime: String,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A file that the server keeps, by name (`FILE-STORAGE::name`).
    Stored(String),
}

/// The files that a text names: one data URI (`data:mime;base64,...,filename:name`),
/// `FILE-STORAGE::name`, `FILE-STORAGE::["a", "b"]`, or a JSON list of data
/// URIs (contract of Flowise 2.2.8, section 1.2; nodes, section 1.8).
///
/// # Errors
/// What is wrong, starting with a verb.
pub fn parse(text: &str) -> Result<Vec<InputFile>, String> {
    let text = text.trim();
    if let Some(stored) = text.strip_prefix("FILE-STORAGE::") {
        return Ok(list(stored)?.into_iter().map(InputFile::Stored).collect());
    }
    list(text)?.iter().map(|uri| data_uri(uri)).collect()
}

/// A JSON list of texts, or one text that is no list.
fn list(text: &str) -> Result<Vec<String>, String> {
    if !text.starts_with('[') {
        return Ok(vec![text.to_owned()]);
    }
    let Ok(Value::Array(items)) = given_json::parse(text.as_bytes()) else {
        return Err("must be a file, or a JSON list of files".to_owned());
    };
    if items.len() > MAX_FILES {
        return Err(format!("holds more than {MAX_FILES} files"));
    }
    let item = |item: &Value| item.as_str().map(str::to_owned);
    let items: Option<Vec<String>> = items.iter().map(item).collect();
    items.ok_or_else(|| "must be a list of texts, one for each file".to_owned())
}

fn data_uri(uri: &str) -> Result<InputFile, String> {
    let wrong = || "must be a data URI: data:<type>;base64,<data>,filename:<name>".to_owned();
    let (head, rest) =
        uri.strip_prefix("data:").and_then(|uri| uri.split_once(',')).ok_or_else(wrong)?;
    let mime = head.strip_suffix(";base64").ok_or_else(wrong)?;
    let (data, name) = match rest.split_once(",filename:") {
        Some((data, name)) => (data, name),
        None => (rest, ""),
    };
    let bytes =
        decode_base64(data).ok_or_else(|| "holds base64 that cannot be decoded".to_owned())?;
    Ok(InputFile::Inline { name: name.to_owned(), mime: mime.to_owned(), bytes: bytes.into() })
}

/// The bytes of base64 as people's tools write it, in files and in uploads.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(name: &str, mime: &str, bytes: &'static [u8]) -> InputFile {
        InputFile::Inline { name: name.into(), mime: mime.into(), bytes: Bytes::from_static(bytes) }
    }

    #[test]
    fn a_data_uri_a_list_of_them_and_stored_names_are_read() {
        let one = "data:text/plain;base64,aGk=,filename:a.txt";
        let two = format!("[\"{one}\", \"data:text/csv;charset=utf-8;base64,aGk\"]");
        let a = inline("a.txt", "text/plain", b"hi");
        assert_eq!(parse(one).unwrap(), std::slice::from_ref(&a));
        assert_eq!(parse(&two).unwrap(), [a, inline("", "text/csv;charset=utf-8", b"hi")]);
        let of_urls = parse("data:;base64,-_8,filename:a").unwrap();
        assert_eq!(of_urls, [inline("a", "", &[0xfb, 0xff])]);
        for (text, names) in [
            ("FILE-STORAGE::a.txt", vec!["a.txt"]),
            ("FILE-STORAGE::[\"a\",\"b\"]", vec!["a", "b"]),
        ] {
            let stored: Vec<_> =
                names.into_iter().map(|name| InputFile::Stored(name.into())).collect();
            assert_eq!(parse(text).unwrap(), stored);
        }
    }

    #[test]
    fn what_is_no_file_is_refused_with_what_is_wrong() {
        for (text, part) in [
            ("hello", "data URI"),
            ("data:text/plain,hello", "data URI"),
            ("data:text/plain;base64,a-b+", "base64"),
            ("[1]", "list of texts"),
            ("[\"x\"", "JSON list"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
