//! Percent-encoding of what goes into a path, so that no name of a model can
//! lead a request elsewhere.

use std::fmt::Write;

/// The text as one segment of a path: all but RFC 3986's unreserved
/// characters is encoded, a slash too.
pub(crate) fn segment(text: &str) -> String {
    encode(text, b"")
}

/// Encodes each byte that is neither unreserved (RFC 3986, 2.3) nor kept.
pub(crate) fn encode(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_unreserved || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_holds_nothing_that_a_path_or_a_query_is_made_of() {
        for (text, expected) in [
            ("gemini-1.5_pro~x", "gemini-1.5_pro~x"),
            ("anthropic.claude-v1:0", "anthropic.claude-v1%3A0"),
            ("../a?b#c d%é", "..%2Fa%3Fb%23c%20d%25%C3%A9"),
        ] {
            assert_eq!(segment(text), expected);
        }
    }
}
