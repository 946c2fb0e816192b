//! Presentations: one page a slide, one line a paragraph.

use super::ExtractError;
use super::office::Archive;
use super::xml::{Piece, walk};

/// The text of the slides in their numbers' order.
///
/// # Errors
/// [`ExtractError::Damaged`], [`ExtractError::Locked`] and [`ExtractError::TooLarge`].
pub fn slides(bytes: &[u8]) -> Result<Vec<String>, ExtractError> {
    let mut archive = Archive::open(bytes)?;
    let slides = archive.numbered("ppt/slides/slide", ".xml");
    if slides.is_empty() {
        return Err(ExtractError::Damaged);
    }
    let mut pages = Vec::with_capacity(slides.len());
    for slide in slides {
        let xml = archive.read(&slide)?.ok_or(ExtractError::Damaged)?;
        pages.push(slide_text(&xml)?);
    }
    Ok(pages)
}

fn slide_text(xml: &str) -> Result<String, ExtractError> {
    let mut text = String::new();
    let mut is_word = false;
    walk(xml, |piece| match piece {
        Piece::Open("t", _) => is_word = true,
        Piece::Close("t") => is_word = false,
        Piece::Open("br", _) => text.push('\n'),
        Piece::Close("p") if !text.is_empty() && !text.ends_with('\n') => text.push('\n'),
        Piece::Text(words) if is_word => text.push_str(words),
        _ => {}
    })?;
    Ok(text.trim_end().to_owned())
}
