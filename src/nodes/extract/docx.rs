//! Word documents: the words of the body, two line breaks after a paragraph,
//! as Flowise's loader gives them.

use super::ExtractError;
use super::office::Archive;
use super::xml::{Piece, walk};

/// The text of a whole document.
///
/// # Errors
/// [`ExtractError::Damaged`], [`ExtractError::Locked`] and [`ExtractError::TooLarge`].
pub fn docx(bytes: &[u8]) -> Result<String, ExtractError> {
    let mut archive = Archive::open(bytes)?;
    let body = archive.read("word/document.xml")?.ok_or(ExtractError::Damaged)?;
    let mut text = String::new();
    let (mut is_run, mut is_word) = (false, false);
    let mut n_fallbacks = 0_usize;
    walk(&body, |piece| match piece {
        // What new programs show in one way and old ones in another comes once.
        Piece::Open("Fallback", _) => n_fallbacks += 1,
        Piece::Close("Fallback") => n_fallbacks = n_fallbacks.saturating_sub(1),
        _ if n_fallbacks > 0 => {}
        // Outside of a run a tab is a setting of its paragraph.
        Piece::Open("r", _) => is_run = true,
        Piece::Close("r") => is_run = false,
        Piece::Open("t", _) => is_word = true,
        Piece::Close("t") => is_word = false,
        Piece::Open("tab", _) if is_run => text.push('\t'),
        Piece::Open("br" | "cr", _) if is_run => text.push('\n'),
        Piece::Close("p") => text.push_str("\n\n"),
        Piece::Text(words) if is_word => text.push_str(words),
        _ => {}
    })?;
    Ok(text)
}
