//! Text as JavaScript sees it: its length and its blank characters.

/// The length of UTF-8 in UTF-16 units, which is JavaScript's `length`.
pub(super) fn length(text: &[u8]) -> usize {
    // One unit for each character, and a second one for those that take four bytes.
    let starts = text.iter().filter(|&&byte| byte & 0b1100_0000 != 0b1000_0000).count();
    starts + text.iter().filter(|&&byte| byte >= 0b1111_0000).count()
}

/// Whether JavaScript's `trim` and `\s` take this for blank: all that Unicode calls
/// white space, but a byte order mark in place of the control character "next line".
pub(super) fn is_blank(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && character != '\u{85}')
}

/// The text without blanks at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_what_javascript_counts() {
        for text in ["", "plain", "Grüße", "中文", "नमस्ते", "a😀b", "👩‍👩‍👧"]
        {
            assert_eq!(length(text.as_bytes()), text.encode_utf16().count(), "{text}");
        }
    }

    #[test]
    fn trim_takes_the_byte_order_mark_and_leaves_the_next_line_character() {
        assert_eq!(trim("\u{feff}\u{3000}\t a\u{85}\r\n\u{a0}"), "a\u{85}");
    }
}
