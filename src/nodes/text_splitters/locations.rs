//! Documents into chunks that know their lines, as LangChain's `createDocuments`
//! counts them: `metadata.loc.lines`, both ends counted from 1.

use memchr::memmem;
use serde_json::{Map, Value, json};

use super::room::{Room, TooMuch};
use super::units;
use crate::retrieval::{Budget, Document, TextSplitter};

/// How often the texts may be searched through for chunks that they do not hold word
/// for word.
const MAX_SEARCHES: usize = 16;
/// However short they are, this many bytes may be searched.
const LEAST_SEARCHED: usize = 256 << 20;

/// Cuts documents into chunks, which keep their metadata and their origin. Each chunk
/// will get `n_added_bytes` more of metadata.
///
/// # Errors
/// [`TooMuch`], as soon as the chunks come to it.
pub fn split_documents(
    splitter: &dyn TextSplitter,
    documents: Vec<Document>,
    n_added_bytes: usize,
) -> Result<Vec<Document>, TooMuch> {
    let n_bytes: usize = documents.iter().map(|document| document.page_content.len()).sum();
    let mut searchable = n_bytes.saturating_mul(MAX_SEARCHES).max(LEAST_SEARCHED);
    let mut room = Room::of_load();
    let mut chunks = Vec::new();
    for document in documents {
        room.expect(Budget::size_of(&document.metadata).saturating_add(n_added_bytes));
        let found = splitter.split(&document.page_content, &mut room);
        if room.is_full() {
            return Err(TooMuch);
        }
        let mut lines = Lines::of(&document.page_content, &mut searchable);
        chunks.extend(found.into_iter().map(|page_content| {
            let (from, to) = lines.next(&page_content);
            let metadata = with_lines(&document.metadata, from, to);
            Document { page_content, metadata, origin: document.origin.clone() }
        }));
    }
    Ok(chunks)
}

/// The lines are added to what `loc` holds already, a page number for instance.
fn with_lines(metadata: &Map<String, Value>, from: i64, to: i64) -> Map<String, Value> {
    let mut metadata = metadata.clone();
    let loc = metadata.entry("loc").or_insert(Value::Null);
    if !loc.is_object() {
        *loc = json!({});
    }
    loc["lines"] = json!({"from": from, "to": to});
    metadata
}

/// Counts lines from chunk to chunk. All places are in UTF-16 units, and -1 is the
/// place of a chunk that was not found.
struct Lines<'a> {
    text: &'a [u8],
    length: i64,
    /// Where line breaks are.
    breaks: Vec<i64>,
    /// The line that the last chunk ended on.
    line: i64,
    last: Option<Last>,
    /// Bytes that may still be searched, here and in the texts after this one.
    searchable: &'a mut usize,
}

/// The chunk before.
struct Last {
    /// Where it begins, in bytes and in units.
    place: Option<(usize, i64)>,
    length: i64,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str, searchable: &'a mut usize) -> Self {
        let mut breaks = Vec::new();
        let mut length = 0;
        for character in text.chars() {
            if character == '\n' {
                breaks.push(length);
            }
            length += character.len_utf16() as i64;
        }
        Self { text: text.as_bytes(), length, breaks, line: 1, last: None, searchable }
    }

    /// The first and the last line of the next chunk.
    fn next(&mut self, chunk: &str) -> (i64, i64) {
        if *self.searchable > 0 {
            let place = self.find(chunk.as_bytes());
            let at = place.map_or(-1, |(_, at)| at);
            self.line += match &self.last {
                None => self.breaks_between(0, at),
                Some(last) => {
                    let end = last.place.map_or(-1, |(_, at)| at) + last.length;
                    // Chunks that overlap have counted some line breaks twice.
                    self.breaks_between(end.min(at), end.max(at)) * (at - end).signum()
                }
            };
            let length = units::length(chunk.as_bytes()) as i64;
            self.last = Some(Last { place, length });
        }
        let from = self.line;
        self.line += chunk.bytes().filter(|&byte| byte == b'\n').count() as i64;
        (from, self.line)
    }

    /// The first place of the chunk that comes after the place of the one before:
    /// not the true one where the text repeats itself. What has been passed is not
    /// searched again, except after a chunk that was not found; such searches are
    /// counted, and when there were too many, chunks are taken to follow each other.
    fn find(&mut self, chunk: &[u8]) -> Option<(usize, i64)> {
        let passed = self.last.as_ref().and_then(|last| last.place);
        let from = passed.map_or(0, |(byte, _)| byte + 1).min(self.text.len());
        let found = memmem::find(&self.text[from..], chunk).map(|offset| from + offset);
        let searched = found.unwrap_or(self.text.len()) - from + chunk.len();
        *self.searchable = self.searchable.saturating_sub(searched);
        let (byte, at) = passed.unwrap_or((0, 0));
        found.map(|place| (place, at + units::length(&self.text[byte..place]) as i64))
    }

    /// Line breaks from `start` to before `end`, with the bounds of JavaScript's
    /// `slice`: a negative one counts from the end of the text.
    fn breaks_between(&self, start: i64, end: i64) -> i64 {
        let bound = |at: i64| if at < 0 { (self.length + at).max(0) } else { at };
        let before = |at: i64| self.breaks.partition_point(|&place| place < bound(at)) as i64;
        (before(end) - before(start)).max(0)
    }
}
