//! Characters that HTML writes as names and numbers.

use std::borrow::Cow;

use quick_xml::escape::resolve_html5_entity;

/// The longest name has 31 letters.
const MAX_NAME: usize = 32;

/// The text with its references, `&eacute;` and `&#233;`, replaced; what is none
/// stays as it stands.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = rest.bytes().take(MAX_NAME + 2).position(|byte| byte == b';');
        let taken = name.and_then(|end| push_reference(&mut result, &rest[1..end]).then_some(end));
        match taken {
            Some(end) => rest = &rest[end + 1..],
            None => {
                result.push('&');
                rest = &rest[1..];
            }
        }
    }
    result.push_str(rest);
    Cow::Owned(result)
}

fn push_reference(result: &mut String, name: &str) -> bool {
    let Some(number) = name.strip_prefix('#') else {
        let text = resolve_html5_entity(name);
        result.push_str(text.unwrap_or_default());
        return text.is_some();
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => number.parse(),
    };
    let Ok(code) = code else { return false };
    result.push(char::from_u32(code).filter(|&found| found != '\0').unwrap_or('\u{fffd}'));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_replaced_and_everything_else_stays() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a &amp; b &lt;&eacute;&#233;&#xE9;&nbsp;&#x1F600;", "a & b <ééé\u{a0}😀"),
            ("&amp;lt; & &; &nothing; &#; &#xzz; &", "&lt; & &; &nothing; &#; &#xzz; &"),
            ("&#0;&#xD800;&#99999999999;", "\u{fffd}\u{fffd}&#99999999999;"),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }
}
