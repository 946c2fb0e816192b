//! Workbooks: one page a sheet, one line a row, tabs between the cells.

use super::ExtractError;
use super::MAX_TEXT_BYTES;
use super::office::{Archive, Piece, walk};

/// Empty cells that are kept before one that is not.
const MAX_GAP: usize = 100;

/// The sheets in their numbers' order.
pub(super) fn pages(bytes: &[u8]) -> Result<Vec<String>, ExtractError> {
    let mut archive = Archive::open(bytes)?;
    let shared = match archive.read("xl/sharedStrings.xml")? {
        Some(xml) => shared_strings(&xml)?,
        None => Vec::new(),
    };
    let sheets = archive.numbered("xl/worksheets/sheet", ".xml");
    if sheets.is_empty() {
        return Err(ExtractError::Damaged);
    }
    let mut pages = Vec::with_capacity(sheets.len());
    // One long shared text in every cell is a bomb too.
    let mut left = MAX_TEXT_BYTES;
    for sheet in sheets {
        let xml = archive.read(&sheet)?.ok_or(ExtractError::Damaged)?;
        let page = Sheet::read(&xml, &shared, left)?;
        left -= page.len().min(left);
        pages.push(page);
    }
    Ok(pages)
}

fn shared_strings(xml: &str) -> Result<Vec<String>, ExtractError> {
    let mut strings = Vec::new();
    let mut is_word = false;
    walk(xml, |piece| match piece {
        Piece::Open("si", _) => strings.push(String::new()),
        Piece::Open("t", _) => is_word = true,
        Piece::Close("t") => is_word = false,
        Piece::Text(words) if is_word => {
            if let Some(last) = strings.last_mut() {
                last.push_str(words);
            }
        }
        _ => {}
    })?;
    Ok(strings)
}

struct Sheet<'a> {
    shared: &'a [String],
    text: String,
    left: usize,
    /// Cells of the row so far.
    n_cells: usize,
    is_shared: bool,
    is_value: bool,
    value: String,
    column: Option<usize>,
}

impl<'a> Sheet<'a> {
    fn read(xml: &str, shared: &'a [String], left: usize) -> Result<String, ExtractError> {
        let mut sheet = Sheet {
            shared,
            text: String::new(),
            left,
            n_cells: 0,
            is_shared: false,
            is_value: false,
            value: String::new(),
            column: None,
        };
        walk(xml, |piece| sheet.take(piece))?;
        if sheet.text.len() > left { Err(ExtractError::TooLarge) } else { Ok(sheet.text) }
    }

    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Open("row", _) => self.n_cells = 0,
            Piece::Open("c", attribute) => {
                self.is_shared = attribute("t").as_deref() == Some("s");
                self.column = attribute("r").as_deref().and_then(column);
                self.value.clear();
            }
            Piece::Open("v" | "t", _) => self.is_value = true,
            Piece::Close("v" | "t") => self.is_value = false,
            Piece::Text(words) if self.is_value => self.value.push_str(words),
            Piece::Close("c") => self.end_cell(),
            Piece::Close("row") => self.text.push('\n'),
            _ => {}
        }
    }

    fn end_cell(&mut self) {
        // Beyond the limit nothing more is kept; the sheet is refused at its end.
        if self.text.len() > self.left {
            return;
        }
        let gap = self.column.map_or(0, |column| column.saturating_sub(self.n_cells));
        let n_tabs = gap.min(MAX_GAP) + usize::from(self.n_cells > 0);
        self.text.extend(std::iter::repeat_n('\t', n_tabs));
        let shared = || self.shared.get(self.value.trim().parse::<usize>().ok()?);
        match (self.is_shared, shared()) {
            (true, Some(text)) => self.text.push_str(text),
            (true, None) => {}
            (false, _) => self.text.push_str(&self.value),
        }
        self.n_cells = self.column.unwrap_or(self.n_cells) + 1;
    }
}

/// The column of a cell's address, `B7` is 1.
fn column(address: &str) -> Option<usize> {
    let letters = address.bytes().take_while(u8::is_ascii_uppercase).take(4);
    let place = letters.fold(0, |place, byte| place * 26 + usize::from(byte - b'A') + 1);
    place.checked_sub(1)
}
