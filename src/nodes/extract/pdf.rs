//! PDF: the words of each page in the order in which the page draws them.

use std::time::{Duration, Instant};

use lopdf::content::Content;
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId, Stream};
use memchr::memmem;
use serde_json::{Map, Value};

use super::pdf_font::{Fonts, fonts_of};
use super::pdf_text::Writer;
use super::{ExtractError, MAX_FILE_BYTES, MAX_TEXT_BYTES, pdf_info};

/// What one stream of the file may inflate to.
pub(super) const MAX_STREAM_BYTES: usize = 16 << 20;
/// What all pages together may inflate to.
const MAX_CONTENT_BYTES: usize = 256 << 20;
/// How long the pages may take.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Forms inside of each other.
const MAX_DEPTH: usize = 8;
/// Forms of one page.
const MAX_FORMS: usize = 1_000;

/// What a PDF says.
#[derive(Debug, Clone, PartialEq)]
pub struct Pdf {
    /// The text of its pages, empty ones too: a scanned page has no text.
    pub pages: Vec<String>,
    /// What it says of itself, in the words of pdf.js: `Title`, `Author`,
    /// `CreationDate`, ...
    pub info: Map<String, Value>,
}

/// The text of a PDF and what it says of itself.
///
/// # Errors
/// [`ExtractError::Damaged`], [`ExtractError::Locked`] and [`ExtractError::TooLarge`].
pub fn pdf(bytes: &[u8]) -> Result<Pdf, ExtractError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ExtractError::TooLarge);
    }
    let document = open(bytes)?;
    Ok(Pdf { pages: pages(&document)?, info: pdf_info::info(&document) })
}

fn open(bytes: &[u8]) -> Result<Document, ExtractError> {
    if !has_its_end(bytes) {
        return Err(ExtractError::Damaged);
    }
    let options = LoadOptions::with_max_decompressed_size(MAX_STREAM_BYTES);
    let document = Document::load_mem_with_options(bytes, options).map_err(error)?;
    if document.is_encrypted() && document.encryption_state.is_none() {
        return Err(ExtractError::Locked);
    }
    Ok(document)
}

/// A file that was cut off can be read up to there, with pages or letters
/// missing, which nobody would notice: what stands behind its last object says
/// where its table of objects begins.
fn has_its_end(bytes: &[u8]) -> bool {
    let behind = memmem::rfind(bytes, b"endobj").map_or(bytes, |at| &bytes[at..]);
    memmem::find(behind, b"startxref").is_some()
}

fn pages(document: &Document) -> Result<Vec<String>, ExtractError> {
    let mut limits = Limits { until: Instant::now() + MAX_TIME, n_content: MAX_CONTENT_BYTES };
    let mut pages = Vec::new();
    let mut left = MAX_TEXT_BYTES;
    for page in document.get_pages().into_values() {
        let text = page_text(document, page, &mut limits)?;
        left = left.checked_sub(text.len()).ok_or(ExtractError::TooLarge)?;
        limits.take(0)?;
        pages.push(text);
    }
    Ok(pages)
}

/// What is left of a file's limits.
struct Limits {
    until: Instant,
    n_content: usize,
}

impl Limits {
    fn take(&mut self, n_content: usize) -> Result<(), ExtractError> {
        let left = self.n_content.checked_sub(n_content).filter(|_| Instant::now() <= self.until);
        self.n_content = left.ok_or(ExtractError::TooLarge)?;
        Ok(())
    }
}

fn page_text(
    document: &Document,
    page: ObjectId,
    limits: &mut Limits,
) -> Result<String, ExtractError> {
    let content = document.get_page_content_with_limit(page, MAX_STREAM_BYTES).map_err(error)?;
    let fonts = fonts_of(document, document.get_page_fonts(page).map_err(error)?);
    let (own, others) = document.get_page_resources(page).map_err(error)?;
    let others = others.into_iter().filter_map(|id| document.get_dictionary(id).ok());
    let resources: Vec<&Dictionary> = own.into_iter().chain(others).collect();
    let writer = Writer::new();
    let mut drawing = Drawing { document, limits, writer, depth: 0, n_forms: 0, n_open: 0 };
    drawing.draw(&content, &fonts, &resources)?;
    Ok(drawing.writer.finish())
}

/// A page and the forms on it, which are pages inside of pages.
struct Drawing<'a, 'l> {
    document: &'a Document,
    limits: &'l mut Limits,
    writer: Writer<'a>,
    depth: usize,
    n_forms: usize,
    /// Bytes of content that are taken apart in memory, the page's and those
    /// of the forms that are inside of each other.
    n_open: usize,
}

impl<'a> Drawing<'a, '_> {
    fn draw(
        &mut self,
        content: &[u8],
        fonts: &Fonts<'a>,
        resources: &[&'a Dictionary],
    ) -> Result<(), ExtractError> {
        self.limits.take(content.len())?;
        self.n_open += content.len();
        let decoded = Content::decode(content).map_err(error)?;
        for operation in &decoded.operations {
            match (operation.operator.as_str(), operation.operands.as_slice()) {
                ("Do", [Object::Name(name)]) => self.draw_form(name, fonts, resources)?,
                _ => self.writer.draw(operation, fonts),
            }
        }
        Ok(())
    }

    /// A form that cannot be read is left out: the page has more to say.
    fn draw_form(
        &mut self,
        name: &[u8],
        fonts: &Fonts<'a>,
        resources: &[&'a Dictionary],
    ) -> Result<(), ExtractError> {
        let form = resources.iter().find_map(|resources| form(self.document, resources, name));
        let Some(form) = form else { return Ok(()) };
        if self.depth == MAX_DEPTH || self.n_forms == MAX_FORMS {
            return Ok(());
        }
        let left = MAX_STREAM_BYTES.saturating_sub(self.n_open);
        let Ok(content) = form.decompressed_content_with_limit(left) else {
            return Ok(());
        };
        let n_open = self.n_open;
        self.n_forms += 1;
        self.depth += 1;
        self.writer.save();
        if let Ok(matrix) = form.dict.get(b"Matrix").and_then(Object::as_array) {
            self.writer.transform(matrix);
        }
        let drawn = match dictionary(self.document, &form.dict, b"Resources") {
            Some(own) => {
                let own_fonts = fonts_of(self.document, fonts_in(self.document, own));
                self.draw(&content, &own_fonts, &[own])
            }
            None => self.draw(&content, fonts, resources),
        };
        self.writer.restore();
        self.depth -= 1;
        self.n_open = n_open;
        match drawn {
            Err(ExtractError::TooLarge) => drawn,
            _ => Ok(()),
        }
    }
}

fn form<'a>(document: &'a Document, resources: &'a Dictionary, name: &[u8]) -> Option<&'a Stream> {
    let found = dictionary(document, resources, b"XObject")?.get(name).ok()?;
    let (_, found) = document.dereference(found).ok()?;
    let stream = found.as_stream().ok()?;
    let is_form = stream.dict.get(b"Subtype").and_then(Object::as_name).ok()? == b"Form";
    is_form.then_some(stream)
}

fn fonts_in<'a>(
    document: &'a Document,
    resources: &'a Dictionary,
) -> impl Iterator<Item = (Vec<u8>, &'a Dictionary)> {
    let named = dictionary(document, resources, b"Font").into_iter().flat_map(Dictionary::iter);
    named.filter_map(|(name, font)| {
        let (_, font) = document.dereference(font).ok()?;
        Some((name.clone(), font.as_dict().ok()?))
    })
}

fn dictionary<'a>(
    document: &'a Document,
    of: &'a Dictionary,
    key: &[u8],
) -> Option<&'a Dictionary> {
    document.dereference(of.get(key).ok()?).ok()?.1.as_dict().ok()
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
