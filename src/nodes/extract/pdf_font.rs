//! The fonts of a PDF page: which letters its codes are, and how wide they
//! are, which tells where a word ends.

use std::collections::BTreeMap;
use std::rc::Rc;

use lopdf::{Dictionary, Document, Encoding, Object, ObjectId};

use super::pdf::MAX_STREAM_BYTES;

/// Codes whose width one font may name.
const MAX_WIDTHS: usize = 1 << 16;

/// The fonts of a page by their names.
pub(super) type Fonts<'a> = BTreeMap<Vec<u8>, Rc<Font<'a>>>;

/// A font.
pub(super) struct Font<'a> {
    encoding: Encoding<'a>,
    /// `None` where the file leaves the widths to its reader.
    widths: Option<Widths>,
}

struct Widths {
    /// In thousandths of the font's size, by code.
    by_code: Vec<f32>,
    default: f32,
    /// Bytes of one code.
    n_bytes: usize,
}

/// Fonts of a page's or a form's resources. Those that cannot be read are left out.
pub(super) fn fonts_of<'a>(
    document: &'a Document,
    found: impl IntoIterator<Item = (Vec<u8>, &'a Dictionary)>,
) -> Fonts<'a> {
    let font = |(name, font): (Vec<u8>, &'a Dictionary)| {
        let encoding = font.get_font_encoding_with_limit(document, MAX_STREAM_BYTES).ok()?;
        Some((name, Rc::new(Font { encoding, widths: Widths::of(document, font) })))
    };
    found.into_iter().filter_map(font).collect()
}

impl Font<'_> {
    /// The letters of a string; those of a ligature one by one, as people
    /// search for them.
    pub(super) fn text(&self, bytes: &[u8]) -> String {
        let text = Document::decode_text(&self.encoding, bytes).unwrap_or_default();
        if !text.contains(|ch| ('\u{fb00}'..='\u{fb06}').contains(&ch)) {
            return text;
        }
        let ligatures = ["ff", "fi", "fl", "ffi", "ffl", "st", "st"];
        text.chars().fold(String::new(), |mut text, ch| {
            match (ch as usize).checked_sub(0xfb00).and_then(|at| ligatures.get(at)) {
                Some(letters) => text.push_str(letters),
                None => text.push(ch),
            }
            text
        })
    }

    /// The widths of a string's letters, one by one, and whether each is a
    /// space of one byte, to which word spacing applies.
    pub(super) fn advances(&self, bytes: &[u8]) -> Option<Vec<(f32, bool)>> {
        let widths = self.widths.as_ref()?;
        let codes = bytes.chunks(widths.n_bytes);
        let advance = |code: &[u8]| {
            let at = code.iter().fold(0, |code, byte| (code << 8) | usize::from(*byte));
            let width = widths.by_code.get(at).copied().filter(|width| width.is_finite());
            (width.unwrap_or(widths.default), code == b" ")
        };
        Some(codes.map(advance).collect())
    }
}

impl Widths {
    fn of(document: &Document, font: &Dictionary) -> Option<Self> {
        match font.get(b"Subtype").and_then(Object::as_name).ok()? {
            b"Type0" => Self::composite(document, font),
            _ => Self::simple(document, font),
        }
    }

    /// ISO 32000-1, section 9.2.4; the matrix is that of Type 3 fonts.
    fn simple(document: &Document, font: &Dictionary) -> Option<Self> {
        let widths = resolved(document, font.get(b"Widths").ok()?)?.as_array().ok()?;
        let first = font.get(b"FirstChar").and_then(Object::as_i64).ok()?;
        let first = usize::try_from(first).ok().filter(|first| *first < 256)?;
        let matrix = font.get(b"FontMatrix").and_then(Object::as_array).ok();
        let scale = matrix.and_then(|matrix| matrix.first()?.as_float().ok()).unwrap_or(0.001);
        let mut by_code = vec![f32::NAN; first];
        let width = |width: &Object| number(document, width).unwrap_or_default() * scale * 1000.0;
        by_code.extend(widths.iter().take(256 - first).map(width));
        Some(Self { by_code, default: 0.0, n_bytes: 1 })
    }

    /// ISO 32000-1, section 9.7.4.3, where codes are the font's own numbers.
    fn composite(document: &Document, font: &Dictionary) -> Option<Self> {
        let encoding = font.get(b"Encoding").and_then(Object::as_name).ok()?;
        if !matches!(encoding, b"Identity-H" | b"Identity-V") {
            return None;
        }
        let inner = resolved(document, font.get(b"DescendantFonts").ok()?)?.as_array().ok()?;
        let inner = resolved(document, inner.first()?)?.as_dict().ok()?;
        let default = inner.get(b"DW").and_then(Object::as_float).unwrap_or(1000.0);
        let mut widths = Self { by_code: Vec::new(), default, n_bytes: 2 };
        if let Some(list) = inner.get(b"W").ok().and_then(|list| resolved(document, list)) {
            widths.read(document, list.as_array().ok()?);
        }
        Some(widths)
    }

    /// Entries are `first [w w w]` and `first last w`.
    fn read(&mut self, document: &Document, list: &[Object]) {
        let code = |object: &Object| usize::try_from(object.as_i64().ok()?).ok();
        let mut left = MAX_WIDTHS;
        let mut rest = list;
        while let [first, second, tail @ ..] = rest {
            let Some(first) = code(first) else { return };
            if let Some(Object::Array(widths)) = resolved(document, second) {
                for (at, width) in widths.iter().enumerate().take(left) {
                    self.set(first + at, number(document, width).unwrap_or_default());
                }
                left = left.saturating_sub(widths.len());
                rest = tail;
                continue;
            }
            let (Some(last), [width, tail @ ..]) = (code(second), tail) else { return };
            let width = number(document, width).unwrap_or_default();
            let n_codes = (last + 1).saturating_sub(first).min(left);
            (first..first + n_codes).for_each(|code| self.set(code, width));
            left -= n_codes;
            rest = tail;
        }
    }

    fn set(&mut self, code: usize, width: f32) {
        if code >= MAX_WIDTHS {
            return;
        }
        if self.by_code.len() <= code {
            self.by_code.resize(code + 1, f32::NAN);
        }
        self.by_code[code] = width;
    }
}

fn resolved<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object): (Option<ObjectId>, &Object)| object)
}

fn number(document: &Document, object: &Object) -> Option<f32> {
    resolved(document, object)?.as_float().ok()
}
