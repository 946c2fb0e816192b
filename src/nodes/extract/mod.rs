//! The text of files: attachments today, document loaders use the same.
//!
//! Pure and bounded: every format has a cap on what it unpacks and on the text
//! that it gives. It computes for up to seconds and a damaged file may make a
//! parser panic, so callers run it off the arbiters behind `catch_unwind`.

mod csv;
mod docx;
mod json;
mod office;
mod pdf;
mod plain;
mod pptx;
#[cfg(test)]
mod tests;
mod xlsx;

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
    let pages = match format(name, mime) {
        Format::Pdf => pdf::pages(bytes)?,
        Format::Docx => docx::pages(bytes)?,
        Format::Xlsx => xlsx::pages(bytes)?,
        Format::Pptx => pptx::pages(bytes)?,
        Format::Csv => csv::pages(&plain::text(bytes)?),
        Format::Json => json::pages(&plain::text(bytes)?),
        Format::Plain => vec![plain::text(bytes)?],
        Format::Unreadable => return Err(ExtractError::Unsupported),
    };
    if pages.iter().map(String::len).sum::<usize>() > MAX_TEXT_BYTES {
        return Err(ExtractError::TooLarge);
    }
    Ok(pages)
}

enum Format {
    Pdf,
    Docx,
    Xlsx,
    Pptx,
    Csv,
    Json,
    Plain,
    Unreadable,
}

fn format(name: &str, mime: &str) -> Format {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => Format::Pdf,
        "docx" => Format::Docx,
        "xlsx" => Format::Xlsx,
        "pptx" => Format::Pptx,
        "csv" => Format::Csv,
        "json" => Format::Json,
        "doc" | "xls" | "ppt" => Format::Unreadable,
        "txt" | "md" | "html" | "htm" | "xml" | "yaml" | "yml" | "jsonl" | "log" => Format::Plain,
        _ => by_mime(mime.split(';').next().unwrap_or_default().trim()),
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
        _ => {
            let media = ["image/", "audio/", "video/", "font/"];
            let is_media = media.iter().any(|kind| mime.starts_with(kind));
            if is_media { Format::Unreadable } else { Format::Plain }
        }
    }
}
