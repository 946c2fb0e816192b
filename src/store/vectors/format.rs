//! How a segment lies on disk: a file of vectors and a file of documents.
//!
//! Both begin with a head of 16 bytes: eight letters, the version, and the
//! dimension. Vectors follow as little-endian `f32`, row after row; documents
//! as id (16 bytes), two lengths (`u32`), content and metadata (JSON). Length
//! and CRC32 of both stand in the manifest.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parlor_nodes::retrieval::Chunk;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{need_room, sync_folder, write_error};
use crate::store::error::StoreError;

/// Bytes before the first row.
pub(super) const HEAD_BYTES: usize = 16;
/// Bytes before the content of a document.
pub(super) const DOCUMENT_HEAD_BYTES: usize = 24;
/// The version that this program writes and the newest that it reads.
pub(super) const VERSION: u32 = 1;
pub(super) const VECTORS: Kind = Kind { letters: *b"ParlorVe", ending: "vectors" };
pub(super) const DOCUMENTS: Kind = Kind { letters: *b"ParlorDo", ending: "documents" };

/// Documents in one write to the disk.
const BUFFER_BYTES: usize = 256 * 1024;

/// One of the two files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    letters: [u8; 8],
    pub(super) ending: &'static str,
}

impl Kind {
    pub(super) fn head(self, n_dimensions: usize) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.letters);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        // A collection's dimension is bounded far below 2^32.
        head[12..].copy_from_slice(&(n_dimensions as u32).to_le_bytes());
        head
    }

    pub(super) fn path(self, folder: &Path, segment: &str) -> PathBuf {
        folder.join(format!("{segment}.{}", self.ending))
    }
}

/// What the manifest knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileMark {
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

/// What the manifest knows of a segment, but for its dead rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentMark {
    pub(super) name: String,
    pub(super) rows: u32,
    pub(super) vectors: FileMark,
    pub(super) documents: FileMark,
}

/// A segment that is being written. Dropped before [`Self::keep`], its files are gone.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    folder: PathBuf,
    name: String,
    n_dimensions: usize,
    n_rows: u32,
    vectors: MarkedFile,
    documents: MarkedFile,
    /// A vector on its way to the file.
    bytes: Vec<u8>,
    is_kept: bool,
}

impl SegmentWriter {
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub(super) fn create(folder: &Path, n_dimensions: usize) -> Result<Self, StoreError> {
        let name = Uuid::new_v4().simple().to_string();
        let vectors = MarkedFile::create(&VECTORS.path(folder, &name))?;
        let documents = MarkedFile::create(&DOCUMENTS.path(folder, &name))?;
        let folder = folder.to_owned();
        let (n_rows, bytes, is_kept) = (0, Vec::new(), false);
        let mut made =
            Self { folder, name, n_dimensions, n_rows, vectors, documents, bytes, is_kept };
        made.vectors.write(&VECTORS.head(n_dimensions))?;
        made.documents.write(&DOCUMENTS.head(n_dimensions))?;
        Ok(made)
    }

    pub(super) fn n_dimensions(&self) -> usize {
        self.n_dimensions
    }

    /// # Errors
    /// As of [`Self::create`].
    pub(super) fn put(&mut self, chunks: &[Chunk]) -> Result<(), StoreError> {
        let size =
            |chunk: &Chunk| chunk.document.page_content.len() + chunk.vector.len() * 4 + 1024;
        need_room(&self.folder, chunks.iter().map(size).sum::<usize>() as u64)?;
        chunks.iter().try_for_each(|chunk| {
            let document = &chunk.document;
            let metadata = serde_json::to_string(&document.metadata).map_err(StoreError::Encode)?;
            self.put_row(chunk.id, &chunk.vector, &document.page_content, &metadata)
        })
    }

    /// # Errors
    /// As of [`Self::create`]; [`StoreError::TooLarge`].
    pub(super) fn put_row(
        &mut self,
        id: Uuid,
        vector: &[f32],
        content: &str,
        metadata: &str,
    ) -> Result<(), StoreError> {
        debug_assert_eq!(vector.len(), self.n_dimensions);
        let length = |text: &str| {
            u32::try_from(text.len()).map_err(|_| StoreError::TooLarge(u32::MAX as usize))
        };
        self.n_rows = self.n_rows.checked_add(1).ok_or(StoreError::TooLarge(u32::MAX as usize))?;
        let mut head = [0; DOCUMENT_HEAD_BYTES];
        head[..16].copy_from_slice(id.as_bytes());
        head[16..20].copy_from_slice(&length(content)?.to_le_bytes());
        head[20..].copy_from_slice(&length(metadata)?.to_le_bytes());
        [&head[..], content.as_bytes(), metadata.as_bytes()]
            .into_iter()
            .try_for_each(|bytes| self.documents.write(bytes))?;
        self.bytes.clear();
        self.bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        self.vectors.write(&self.bytes)
    }

    /// Makes the files lasting.
    ///
    /// # Errors
    /// As of [`Self::create`].
    pub(super) fn finish(&mut self) -> Result<SegmentMark, StoreError> {
        let (vectors, documents) = (self.vectors.finish()?, self.documents.finish()?);
        sync_folder(&self.folder)?;
        Ok(SegmentMark { name: self.name.clone(), rows: self.n_rows, vectors, documents })
    }

    /// From now on the manifest names the files.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.folder, &self.name);
        }
    }
}

/// Removes the files of a segment. What stays is removed at the next opening.
pub(super) fn remove(folder: &Path, segment: &str) {
    for kind in [VECTORS, DOCUMENTS] {
        if let Err(error) = std::fs::remove_file(kind.path(folder, segment)) {
            tracing::warn!("a file of vectors that is not needed stays for now: {error}");
        }
    }
}

/// A file whose length and checksum are known when it is done.
#[derive(Debug)]
struct MarkedFile {
    file: BufWriter<File>,
    crc: crc32fast::Hasher,
    n_bytes: u64,
}

impl MarkedFile {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = BufWriter::with_capacity(BUFFER_BYTES, file.map_err(write_error)?);
        Ok(Self { file, crc: crc32fast::Hasher::new(), n_bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.crc.update(bytes);
        self.n_bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(write_error)
    }

    fn finish(&mut self) -> Result<FileMark, StoreError> {
        self.file.flush().map_err(write_error)?;
        self.file.get_ref().sync_all().map_err(write_error)?;
        Ok(FileMark { bytes: self.n_bytes, crc32: self.crc.clone().finalize() })
    }
}
