//! The text of a page's bytes: by its byte order mark, what the server
//! declares, what the page declares, else by what the bytes can be.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

/// Where a page may declare its charset; browsers look no further.
const PRESCAN_BYTES: usize = 1024;

/// The text; what no character is becomes U+FFFD.
pub(crate) fn decode(bytes: &[u8], declared: Option<&str>) -> String {
    let encoding = declared
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| in_page(bytes))
        .unwrap_or_else(|| likely(bytes));
    // A byte order mark speaks louder than any declaration.
    encoding.decode(bytes).0.into_owned()
}

fn likely(bytes: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(bytes) {
        Ok(_) => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

/// What `<meta charset>`, `<meta http-equiv>` or an XML declaration says.
fn in_page(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(PRESCAN_BYTES)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let xml = head.trim_start().strip_prefix("<?xml").and_then(|rest| {
        let (declaration, _) = rest.split_once("?>")?;
        value_of(declaration, "encoding")
    });
    let mut metas = head.split("<meta").skip(1).filter_map(|rest| {
        let tag = rest.split('>').next()?;
        value_of(tag, "charset")
    });
    let encoding = Encoding::for_label(xml.or_else(|| metas.next())?.as_bytes())?;
    // Whoever could read the declaration was not reading UTF-16.
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return Some(UTF_8);
    }
    Some(if encoding == X_USER_DEFINED { WINDOWS_1252 } else { encoding })
}

/// The value behind `name =`, quoted or not.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(name)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let rest = rest.trim_start_matches(['"', '\'']);
    let end = |ch: char| ch.is_whitespace() || matches!(ch, '"' | '\'' | ';' | '>' | '/');
    rest.split(end).next().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_the_charset_that_it_or_its_server_declares() {
        for (bytes, declared, expected) in [
            (&b"caf\xc3\xa9"[..], None, "café"),
            (b"caf\xe9", None, "café"),
            (b"caf\xe9", Some("iso-8859-1"), "café"),
            (b"caf\xe9", Some("UTF-8"), "caf\u{fffd}"),
            (b"\xef\xbb\xbfcaf\xc3\xa9", Some("iso-8859-1"), "café"),
            (b"\xff\xfeh\0i\0", None, "hi"),
            (b"\x83\x65\x83\x58\x83\x67", Some("Shift_JIS"), "テスト"),
            (b"\xcf\xf0", Some("windows-1251"), "Пр"),
            (b"caf\xc3\xa9", Some("no such charset"), "café"),
        ] {
            assert_eq!(decode(bytes, declared), expected, "{declared:?}");
        }
    }

    #[test]
    fn the_page_declares_its_charset_in_many_ways() {
        for head in [
            "<meta charset=windows-1251>",
            "<META CHARSET='Windows-1251' />",
            "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\">",
            "<?xml version=\"1.0\" encoding=\"windows-1251\"?>",
            "<meta name=x content=y><meta charset = \"windows-1251\">",
        ] {
            let page = [head.as_bytes(), b"\xcf\xf0"].concat();
            assert!(decode(&page, None).ends_with("Пр"), "{head}");
        }
        let page = "<meta charset=utf-16>é".as_bytes();
        assert!(decode(page, None).ends_with('é'));
    }
}
