//! PDF: the words of each page in the order in which the page draws them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lopdf::content::{Content, Operation};
use lopdf::{Document, Encoding, LoadOptions, Object, ObjectId};

use super::{ExtractError, MAX_TEXT_BYTES};

/// What one stream of the file may inflate to.
const MAX_STREAM_BYTES: usize = 16 << 20;
/// What all pages together may inflate to.
const MAX_CONTENT_BYTES: usize = 256 << 20;
/// How long the pages may take.
const MAX_TIME: Duration = Duration::from_secs(20);
/// From this shift on, in thousandths of the font's size, two letters belong to two words.
const WORD_GAP: f32 = -180.0;

type Encodings<'a> = BTreeMap<Vec<u8>, Encoding<'a>>;

/// The pages, empty ones too: a scanned page has no text.
pub(super) fn pages(bytes: &[u8]) -> Result<Vec<String>, ExtractError> {
    let until = Instant::now() + MAX_TIME;
    let options = LoadOptions::with_max_decompressed_size(MAX_STREAM_BYTES);
    let document = Document::load_mem_with_options(bytes, options).map_err(error)?;
    if document.is_encrypted() && document.encryption_state.is_none() {
        return Err(ExtractError::Locked);
    }
    let mut pages = Vec::new();
    let mut n_text = 0;
    let mut n_content = 0;
    for page in document.get_pages().into_values() {
        let content =
            document.get_page_content_with_limit(page, MAX_STREAM_BYTES).map_err(error)?;
        n_content += content.len();
        let text = page_text(&document, page, &content)?;
        n_text += text.len();
        let is_late = Instant::now() > until;
        if n_text > MAX_TEXT_BYTES || n_content > MAX_CONTENT_BYTES || is_late {
            return Err(ExtractError::TooLarge);
        }
        pages.push(text);
    }
    Ok(pages)
}

fn page_text(document: &Document, page: ObjectId, content: &[u8]) -> Result<String, ExtractError> {
    let fonts = document.get_page_fonts(page).map_err(error)?;
    let encodings = fonts.into_iter().filter_map(|(name, font)| {
        Some((name, font.get_font_encoding_with_limit(document, MAX_STREAM_BYTES).ok()?))
    });
    let encodings: Encodings<'_> = encodings.collect();
    let content = Content::decode(content).map_err(error)?;
    let mut writer = Writer { encodings: &encodings, font: None, text: String::new() };
    for operation in &content.operations {
        writer.draw(operation);
    }
    let lines = writer.text.lines().map(str::trim_end);
    Ok(lines.collect::<Vec<_>>().join("\n").trim().to_owned())
}

struct Writer<'a> {
    encodings: &'a Encodings<'a>,
    font: Option<&'a Encoding<'a>>,
    text: String,
}

impl Writer<'_> {
    /// Operators of ISO 32000-1, section 9.4.
    fn draw(&mut self, operation: &Operation) {
        let operands = &operation.operands;
        match operation.operator.as_str() {
            "Tf" => {
                let name = operands.first().and_then(|name| name.as_name().ok());
                self.font = name.and_then(|name| self.encodings.get(name));
            }
            "Td" | "TD" => match operands.get(1).and_then(|down| down.as_float().ok()) {
                // A move along the line is a gap between words.
                Some(0.0) => self.space(),
                _ => self.new_line(),
            },
            "T*" | "Tm" | "BT" | "ET" => self.new_line(),
            "Tj" | "TJ" => self.show(operands),
            "'" | "\"" => {
                self.new_line();
                self.show(operands);
            }
            _ => {}
        }
    }

    fn show(&mut self, operands: &[Object]) {
        for operand in operands {
            match operand {
                Object::String(bytes, _) => {
                    let words = self.font.and_then(|font| Document::decode_text(font, bytes).ok());
                    self.text.push_str(words.as_deref().unwrap_or_default());
                }
                Object::Array(items) => {
                    for item in items {
                        match item.as_float() {
                            Ok(shift) if shift < WORD_GAP => self.space(),
                            Ok(_) => {}
                            Err(_) => self.show(std::slice::from_ref(item)),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(char::is_whitespace) {
            self.text.push(' ');
        }
    }

    fn new_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

fn error(error: lopdf::Error) -> ExtractError {
    match error {
        lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. }) => {
            ExtractError::TooLarge
        }
        lopdf::Error::Decryption(_) | lopdf::Error::InvalidPassword => ExtractError::Locked,
        _ => ExtractError::Damaged,
    }
}
