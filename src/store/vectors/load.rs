//! Reads a segment from its files, each byte of it checked.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use parlor_nodes::NodeError;
use parlor_nodes::vector_index::{Row, RowReader, Segment, SegmentParts};
use uuid::Uuid;

use super::format::{
    DOCUMENT_HEAD_BYTES, DOCUMENTS, FileMark, HEAD_BYTES, Kind, SegmentMark, VECTORS, VERSION,
};
use crate::store::error::StoreError;

const BUFFER_BYTES: usize = 256 * 1024;

/// Why a segment cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// What was found, in a few words.
    Damaged(&'static str),
    Newer,
    Io(io::Error),
}

impl Unreadable {
    /// The error of the collection in this folder.
    pub(super) fn of(self, shown: &str) -> StoreError {
        let folder = shown.to_owned();
        match self {
            Self::Damaged(why) => StoreError::DamagedVectors { folder, why },
            Self::Newer => StoreError::NewerVectors { folder },
            Self::Io(source) => StoreError::Io { doing: "reading vectors", source },
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("a file is cut short"),
            io::ErrorKind::NotFound => Self::Damaged("a file is missing"),
            _ => Self::Io(error),
        }
    }
}

/// Reads a segment.
pub(super) fn segment(
    folder: &Path,
    mark: &SegmentMark,
    n_dimensions: usize,
) -> Result<Segment, Unreadable> {
    let n_rows = mark.rows as usize;
    let expected = n_rows.checked_mul(n_dimensions * 4).and_then(|n| n.checked_add(HEAD_BYTES));
    if expected.map(|n| n as u64) != Some(mark.vectors.bytes) {
        return Err(Unreadable::Damaged("its manifest contradicts itself"));
    }
    let (vectors_file, mut vectors) = open(folder, mark, VECTORS, mark.vectors, n_dimensions)?;
    let (documents_file, mut documents) =
        open(folder, mark, DOCUMENTS, mark.documents, n_dimensions)?;
    let mut parts = SegmentParts::with_capacity(n_rows, n_dimensions);
    let mut contents = Vec::with_capacity(n_rows);
    let mut bytes = vec![0; n_dimensions * 4];
    let mut vector = vec![0.0; n_dimensions];
    let mut text = Vec::new();
    for _ in 0..n_rows {
        vectors.read_exact(&mut bytes)?;
        decode(&bytes, &mut vector);
        let row = document(&mut documents, &mut text)?;
        contents.push((row.content_at, row.content_bytes));
        let metadata = &text[row.content_bytes as usize..];
        let metadata = std::str::from_utf8(metadata)
            .map_err(|_| Unreadable::Damaged("its metadata are no text"))?;
        parts.push(&Row { id: row.id, vector: &vector, metadata });
    }
    vectors.finish()?;
    documents.finish()?;
    let (vectors, documents) = (vectors_file, documents_file);
    Ok(Segment::new(parts, Box::new(Files { vectors, documents, n_dimensions, contents })))
}

struct DocumentHead {
    id: Uuid,
    content_at: u64,
    content_bytes: u32,
}

/// Reads content and metadata of the next document into `text`.
fn document(file: &mut Checked, text: &mut Vec<u8>) -> Result<DocumentHead, Unreadable> {
    let mut head = [0; DOCUMENT_HEAD_BYTES];
    file.read_exact(&mut head)?;
    let length =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (content_bytes, metadata_bytes) = (length(16), length(20));
    let n_bytes = u64::from(content_bytes) + u64::from(metadata_bytes);
    // A garbled length must not become a huge allocation.
    if n_bytes > file.n_left {
        return Err(Unreadable::Damaged("a file is cut short or garbled"));
    }
    let content_at = file.mark.bytes - file.n_left;
    text.resize(n_bytes as usize, 0);
    file.read_exact(text)?;
    let mut id = [0; 16];
    id.copy_from_slice(&head[..16]);
    Ok(DocumentHead { id: Uuid::from_bytes(id), content_at, content_bytes })
}

fn decode(bytes: &[u8], vector: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<4>();
    for (x, number) in vector.iter_mut().zip(numbers) {
        *x = f32::from_le_bytes(*number);
    }
}

fn open(
    folder: &Path,
    mark: &SegmentMark,
    kind: Kind,
    file_mark: FileMark,
    n_dimensions: usize,
) -> Result<(File, Checked), Unreadable> {
    let file = File::open(kind.path(folder, &mark.name))?;
    if file.metadata()?.len() != file_mark.bytes {
        return Err(Unreadable::Damaged("a file has another length than its manifest says"));
    }
    let mut checked = Checked {
        file: BufReader::with_capacity(BUFFER_BYTES, file.try_clone()?),
        crc: crc32fast::Hasher::new(),
        mark: file_mark,
        n_left: file_mark.bytes,
    };
    let mut head = [0; HEAD_BYTES];
    checked.read_exact(&mut head)?;
    if u32::from_le_bytes([head[8], head[9], head[10], head[11]]) > VERSION {
        return Err(Unreadable::Newer);
    }
    if head != kind.head(n_dimensions) {
        return Err(Unreadable::Damaged("the head of a file is garbled"));
    }
    Ok((file, checked))
}

/// A file that is read to its end and has the length and the checksum that
/// its manifest says.
struct Checked {
    file: BufReader<File>,
    crc: crc32fast::Hasher,
    mark: FileMark,
    n_left: u64,
}

impl Checked {
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), Unreadable> {
        self.file.read_exact(bytes)?;
        self.crc.update(bytes);
        let left = self.n_left.checked_sub(bytes.len() as u64);
        self.n_left = left.ok_or(Unreadable::Damaged("a file is longer than it was"))?;
        Ok(())
    }

    fn finish(self) -> Result<(), Unreadable> {
        if self.n_left != 0 || self.crc.finalize() != self.mark.crc32 {
            return Err(Unreadable::Damaged("a checksum does not match"));
        }
        Ok(())
    }
}

/// What of a segment stays on disk. The files are held open, so a search goes
/// on in a segment that was merged or deleted meanwhile.
struct Files {
    vectors: File,
    documents: File,
    n_dimensions: usize,
    /// Place and length of the contents.
    contents: Vec<(u64, u32)>,
}

impl RowReader for Files {
    fn content(&self, row: usize) -> Result<String, NodeError> {
        let (at, n_bytes) = self.contents[row];
        let mut content = vec![0; n_bytes as usize];
        self.documents.read_exact_at(&mut content, at).map_err(read_error)?;
        String::from_utf8(content)
            .map_err(|_| read_error(io::Error::from(io::ErrorKind::InvalidData)))
    }

    fn vector(&self, row: usize) -> Result<Vec<f32>, NodeError> {
        let n_bytes = self.n_dimensions * 4;
        let mut bytes = vec![0; n_bytes];
        let at = HEAD_BYTES as u64 + row as u64 * n_bytes as u64;
        self.vectors.read_exact_at(&mut bytes, at).map_err(read_error)?;
        let mut vector = vec![0.0; self.n_dimensions];
        decode(&bytes, &mut vector);
        Ok(vector)
    }
}

fn read_error(source: io::Error) -> NodeError {
    StoreError::Io { doing: "reading vectors", source }.into()
}
