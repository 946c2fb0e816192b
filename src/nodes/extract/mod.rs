//! The text of files: attachments today, document loaders use the same.
//!
//! Pure and bounded: every format has a cap on what it unpacks and on the text
//! that it gives. It computes for up to seconds and a damaged file may make a
//! parser panic, so callers run it off the arbiters behind `catch_unwind`.

mod csv;
mod docx;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod fuzz;
mod json;
mod office;
mod pdf;
mod pdf_font;
mod pdf_info;
mod pdf_text;
mod plain;
mod pptx;
#[cfg(test)]
mod tests;
mod xlsx;
mod xlsx_dates;
pub(crate) mod xml;

pub use csv::{Columns, Rows, is_blank};
pub use docx::docx;
pub use json::{Pointer, strings};
pub use pdf::{Pdf, pdf};
pub use plain::text;
pub use pptx::slides;
pub use xlsx::{Sheet, sheets};

/// Largest file that is looked at.
pub const MAX_FILE_BYTES: usize = 20 << 20;
/// Longest text of one file.
pub const MAX_TEXT_BYTES: usize = 10 << 20;

/// Why a file gives no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// No format that is read here.
    #[error("is of a type whose text cannot be read")]
    Unsupported,
    /// Not what its name says.
    #[error("cannot be read: it is damaged or not of the type that its name says")]
    Damaged,
    /// Text, but in no encoding that is read.
    #[error("has letters that are no UTF-8; save it as UTF-8")]
    Encoding,
    /// Locked with a password.
    #[error("is protected by a password")]
    Locked,
    /// The file, or what it unpacks to, is over its limit.
    #[error("is too large, or unpacks to too much")]
    TooLarge,
}

/// The text of a file by its pages: pages of a PDF, slides, sheets, rows of a
/// CSV, strings of a JSON file, or all of it at once. The extension of the
/// name decides before the MIME type, as in Flowise.
///
/// # Errors
/// [`ExtractError`].
pub fn text_of(name: &str, mime: &str, bytes: &[u8]) -> Result<Vec<String>, ExtractError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ExtractError::TooLarge);
    }
    let pages = match Format::of(name, mime) {
        Format::Pdf => pdf(bytes)?.pages,
        Format::Docx => vec![docx(bytes)?],
        Format::Xlsx => sheets(bytes)?.iter().map(Sheet::page).collect(),
        Format::Pptx => slides(bytes)?,
        Format::Csv => csv::pages(&plain::lossy(bytes)?)?,
        Format::Json => json::pages(&plain::lossy(bytes)?),
        // Attachments of lines are shown as they are.
        Format::JsonLines | Format::Plain => vec![plain::lossy(bytes)?],
        Format::Unreadable => return Err(ExtractError::Unsupported),
    };
    if pages.iter().map(String::len).sum::<usize>() > MAX_TEXT_BYTES {
        return Err(ExtractError::TooLarge);
    }
    Ok(pages)
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PDF.
    Pdf,
    /// A Word document.
    Docx,
    /// A workbook.
    Xlsx,
    /// A presentation.
    Pptx,
    /// Comma-separated values.
    Csv,
    /// JSON.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// Text.
    Plain,
    /// Nothing that is read here.
    Unreadable,
}

impl Format {
    /// By the extension of the name, else by the MIME type, else text.
    pub fn of(name: &str, mime: &str) -> Self {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        Self::of_extension(&extension.to_ascii_lowercase())
            .unwrap_or_else(|| by_mime(mime.split(';').next().unwrap_or_default().trim()))
    }

    /// By an extension in lower case, `None` for one that is not known.
    pub fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "pdf" => Self::Pdf,
            "docx" => Self::Docx,
            "xlsx" => Self::Xlsx,
            "pptx" => Self::Pptx,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "jsonl" => Self::JsonLines,
            "doc" | "xls" | "ppt" => Self::Unreadable,
            "txt" | "md" | "html" | "htm" | "xml" | "yaml" | "yml" | "log" => Self::Plain,
            _ => return None,
        })
    }
}

fn by_mime(mime: &str) -> Format {
    const OFFICE: &str = "application/vnd.openxmlformats-officedocument.";
    match mime.strip_prefix(OFFICE) {
        Some("wordprocessingml.document") => return Format::Docx,
        Some("spreadsheetml.sheet") => return Format::Xlsx,
        Some("presentationml.presentation") => return Format::Pptx,
        _ => {}
    }
    match mime {
        "application/pdf" => Format::Pdf,
        "text/csv" => Format::Csv,
        "application/json" => Format::Json,
        "application/jsonl" | "application/json-lines" | "text/jsonl" => Format::JsonLines,
        "application/msword" | "application/vnd.ms-excel" => Format::Unreadable,
        _ => {
            let media = ["image/", "audio/", "video/", "font/"];
            let is_media = media.iter().any(|kind| mime.starts_with(kind));
            if is_media { Format::Unreadable } else { Format::Plain }
        }
    }
}
