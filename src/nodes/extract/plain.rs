//! Files that are text.

use super::ExtractError;

/// The text: UTF-8, or UTF-16 where a mark says so. What is no character
/// becomes the replacement character; NUL is in no text.
pub(super) fn lossy(bytes: &[u8]) -> Result<String, ExtractError> {
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    if text.contains('\0') { Err(ExtractError::Unsupported) } else { Ok(text) }
}

/// The same for a text that is kept for good, where a character that is
/// damaged silently would be found by nobody.
///
/// # Errors
/// [`ExtractError::Encoding`] where bytes are no characters,
/// [`ExtractError::Unsupported`] where they are no text at all.
pub fn text(bytes: &[u8]) -> Result<String, ExtractError> {
    if ["%PDF-", "PK\x03\x04"].iter().any(|start| bytes.starts_with(start.as_bytes())) {
        return Err(ExtractError::Unsupported);
    }
    let text = lossy(bytes)?;
    // The replacement character may stand in the file itself, as UTF-8.
    let is_damaged = text.contains(char::REPLACEMENT_CHARACTER)
        && (bytes.starts_with(&[0xff, 0xfe])
            || bytes.starts_with(&[0xfe, 0xff])
            || std::str::from_utf8(bytes).is_err());
    if is_damaged { Err(ExtractError::Encoding) } else { Ok(text) }
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
    char::decode_utf16(units).map(|ch| ch.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
