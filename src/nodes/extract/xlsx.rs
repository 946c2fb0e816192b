//! Workbooks: sheets of rows of cells.

use std::collections::HashMap;

use super::office::Archive;
use super::xlsx_dates::Dates;
use super::xml::{Piece, walk};
use super::{ExtractError, MAX_TEXT_BYTES};

/// Columns that a sheet can have: the last one is XFD.
const MAX_COLUMNS: usize = 16_384;
/// Empty cells that are kept before one that is empty, too.
const MAX_BLANKS: usize = 100;
/// Cells of a workbook.
const MAX_CELLS: usize = 1 << 20;

/// One sheet of a workbook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sheet {
    /// Its name, as people see it on its tab; empty where the file names none.
    pub name: String,
    /// Its rows. Numbers are as the file has them, without their format.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// One line a row, tabs between the cells.
    pub fn page(&self) -> String {
        let mut page = String::new();
        for row in &self.rows {
            page.push_str(&row.join("\t"));
            page.push('\n');
        }
        page
    }
}

/// The sheets in their numbers' order.
///
/// # Errors
/// [`ExtractError::Damaged`], [`ExtractError::Locked`] and [`ExtractError::TooLarge`].
pub fn sheets(bytes: &[u8]) -> Result<Vec<Sheet>, ExtractError> {
    let mut archive = Archive::open(bytes)?;
    let shared = match archive.read("xl/sharedStrings.xml")? {
        Some(xml) => shared_strings(&xml)?,
        None => Vec::new(),
    };
    let files = archive.numbered("xl/worksheets/sheet", ".xml");
    if files.is_empty() {
        return Err(ExtractError::Damaged);
    }
    let mut names = names(&mut archive)?;
    let dates = Dates::of(&mut archive)?;
    let mut sheets = Vec::with_capacity(files.len());
    // One long shared text in every cell is a bomb too.
    let (mut left, mut n_cells) = (MAX_TEXT_BYTES, 0);
    for file in files {
        let xml = archive.read(&file)?.ok_or(ExtractError::Damaged)?;
        let mut reader = Reader::new(&shared, &dates);
        (reader.left, reader.n_cells) = (left, n_cells);
        walk(&xml, |piece| reader.take(piece))?;
        if reader.is_full() {
            return Err(ExtractError::TooLarge);
        }
        (left, n_cells) = (reader.left, reader.n_cells);
        sheets.push(Sheet { name: names.remove(&file).unwrap_or_default(), rows: reader.rows });
    }
    Ok(sheets)
}

/// The sheets' names by the files that hold them.
fn names(archive: &mut Archive<'_>) -> Result<HashMap<String, String>, ExtractError> {
    let mut files = HashMap::new();
    let relations = archive.read("xl/_rels/workbook.xml.rels")?.unwrap_or_default();
    walk(&relations, |piece| {
        if let Piece::Open("Relationship", attribute) = piece
            && let (Some(id), Some(target)) = (attribute("Id"), attribute("Target"))
        {
            let target = target.trim_start_matches('/');
            files.insert(id, format!("xl/{}", target.strip_prefix("xl/").unwrap_or(target)));
        }
    })?;
    let mut names = HashMap::new();
    let workbook = archive.read("xl/workbook.xml")?.unwrap_or_default();
    walk(&workbook, |piece| {
        // `r:id`: prefixes are left out here.
        if let Piece::Open("sheet", attribute) = piece
            && let (Some(name), Some(id)) = (attribute("name"), attribute("id"))
            && let Some(file) = files.get(&id)
        {
            names.insert(file.clone(), name);
        }
    })?;
    Ok(names)
}

fn shared_strings(xml: &str) -> Result<Vec<String>, ExtractError> {
    let mut strings = Vec::new();
    let (mut is_word, mut is_phonetic) = (false, false);
    walk(xml, |piece| match piece {
        // How a word is spoken stands beside it, in letters of another script.
        Piece::Open("rPh", _) => is_phonetic = true,
        Piece::Close("rPh") => is_phonetic = false,
        _ if is_phonetic => {}
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

struct Reader<'a> {
    shared: &'a [String],
    dates: &'a Dates,
    rows: Vec<Vec<String>>,
    /// Bytes of text that may still come.
    left: usize,
    /// Cells so far, of all sheets.
    n_cells: usize,
    /// How the cell's value is written: `s` for a shared text, `b` for a boolean.
    kind: String,
    /// The number of its format.
    format: usize,
    is_value: bool,
    /// Within how a word is spoken.
    is_phonetic: bool,
    value: String,
    column: Option<usize>,
    /// Column of the next cell, unless it says another.
    next: usize,
}

impl<'a> Reader<'a> {
    fn new(shared: &'a [String], dates: &'a Dates) -> Self {
        Self {
            shared,
            dates,
            rows: Vec::new(),
            left: 0,
            n_cells: 0,
            kind: String::new(),
            format: 0,
            is_value: false,
            is_phonetic: false,
            value: String::new(),
            column: None,
            next: 0,
        }
    }

    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Open("rPh", _) => self.is_phonetic = true,
            Piece::Close("rPh") => self.is_phonetic = false,
            _ if self.is_phonetic => {}
            Piece::Open("row", _) => self.open_row(),
            Piece::Open("c", attribute) => {
                self.kind = attribute("t").unwrap_or_default();
                self.format = attribute("s").and_then(|at| at.parse().ok()).unwrap_or_default();
                self.column = attribute("r").as_deref().and_then(column);
                self.value.clear();
            }
            Piece::Open("v" | "t", _) => self.is_value = true,
            Piece::Close("v" | "t") => self.is_value = false,
            Piece::Text(words) if self.is_value => self.value.push_str(words),
            Piece::Close("c") => self.end_cell(),
            _ => {}
        }
    }

    /// Beyond the limits nothing more is kept; the workbook is refused at its end.
    fn is_full(&self) -> bool {
        self.left == 0 || self.n_cells > MAX_CELLS
    }

    fn open_row(&mut self) {
        if !self.is_full() {
            self.rows.push(Vec::new());
            self.n_cells += 1;
            self.next = 0;
        }
    }

    fn end_cell(&mut self) {
        if self.is_full() {
            return;
        }
        let Some(row) = self.rows.last_mut() else { return };
        let column = self.column.unwrap_or(self.next);
        let gap = column.saturating_sub(row.len());
        self.next = column + 1;
        // Cells far to the right may have a format only, in every row.
        if column >= MAX_COLUMNS || self.value.is_empty() && gap > MAX_BLANKS {
            return;
        }
        row.extend(std::iter::repeat_n(String::new(), gap));
        let shared = || self.shared.get(self.value.trim().parse::<usize>().ok()?);
        let value = match (self.kind.as_str(), self.value.as_str()) {
            ("s", _) => shared().cloned().unwrap_or_default(),
            ("b", "1") => "TRUE".to_owned(),
            ("b", _) => "FALSE".to_owned(),
            ("" | "n", number) => {
                self.dates.shown(number, self.format).unwrap_or_else(|| number.to_owned())
            }
            (_, text) => text.to_owned(),
        };
        self.left = self.left.saturating_sub(value.len() + gap + 1);
        row.push(value);
        self.n_cells += gap + 1;
    }
}

/// The column of a cell's address, `B7` is 1.
fn column(address: &str) -> Option<usize> {
    let letters = address.bytes().take_while(u8::is_ascii_uppercase).take(4);
    let place = letters.fold(0, |place, byte| place * 26 + usize::from(byte - b'A') + 1);
    place.checked_sub(1)
}
