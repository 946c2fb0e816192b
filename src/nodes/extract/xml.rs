//! XML as pieces, for Office files and for sitemaps. No entity is expanded but the
//! five of XML and those that are a character's number.

use std::ops::ControlFlow;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;

use super::ExtractError;

/// A piece of an XML file.
pub(crate) enum Piece<'a> {
    /// An element begins: its name without a prefix, and its attributes.
    Open(&'a str, &'a dyn Fn(&str) -> Option<String>),
    /// An element ends.
    Close(&'a str),
    /// Text.
    Text(&'a str),
}

/// Hands the pieces of an XML file to `each`, in order.
///
/// # Errors
/// [`ExtractError::Damaged`] for what is no XML.
pub(super) fn walk(xml: &str, mut each: impl FnMut(Piece<'_>)) -> Result<(), ExtractError> {
    walk_while(xml, |piece| {
        each(piece);
        ControlFlow::Continue(())
    })
}

/// The same until `each` breaks off.
///
/// # Errors
/// As of [`walk`].
pub(crate) fn walk_while(
    xml: &str,
    mut each: impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> Result<(), ExtractError> {
    let mut reader = Reader::from_str(xml);
    loop {
        let flow = match reader.read_event().map_err(|_| ExtractError::Damaged)? {
            Event::Eof => return Ok(()),
            Event::Start(tag) => open(&tag, &mut each),
            Event::Empty(tag) => match open(&tag, &mut each) {
                ControlFlow::Continue(()) => each(Piece::Close(tag.local_name().as_ref())),
                flow => flow,
            },
            Event::End(tag) => each(Piece::Close(tag.local_name().as_ref())),
            Event::Text(text) => each(Piece::Text(&text.xml10_content())),
            Event::CData(text) => each(Piece::Text(&text.xml10_content())),
            Event::GeneralRef(name) => match character(&name) {
                Some(ch) => each(Piece::Text(ch.encode_utf8(&mut [0; 4]))),
                None => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

fn open(
    tag: &quick_xml::events::BytesStart<'_>,
    each: &mut impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let attribute = |wanted: &str| {
        let found = tag.attributes().flatten();
        let mut found = found.filter(|attribute| attribute.key.local_name().as_ref() == wanted);
        found.next().map(|attribute| match unescape(&attribute.value) {
            Ok(value) => value.into_owned(),
            Err(_) => attribute.value.to_string(),
        })
    };
    each(Piece::Open(tag.local_name().as_ref(), &attribute))
}

fn character(name: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(ch)) = name.resolve_char_ref() {
        return Some(ch);
    }
    match name.as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}
