//! How a backup lies in a folder: files of JSON lines, the uploaded files as
//! they are, and a manifest with the length and the checksum of each, written
//! last. The server sends the same lines over its API.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parlor_schemas::{ChatflowId, SessionId, SessionKey, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::backup::BackupItem;
use super::error::StoreError;

/// The format of a backup that this version writes and the newest that it reads.
pub const BACKUP_FORMAT: u32 = 1;

/// Name of the manifest: a folder without it holds no finished backup.
pub const MANIFEST: &str = "manifest.json";

/// Name of the SQLite file of record managers, in a data folder and in a backup.
pub const RECORDS_FILE: &str = "records.sqlite";

/// Longest line: a record of 32 MiB, or one with its answer, in base64, and room for its names.
const MAX_LINE_BYTES: u64 = 48 * 1024 * 1024;

/// One line of a backup. Bytes are base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Line {
    /// The first one.
    Begin {
        /// [`BACKUP_FORMAT`].
        format: u32,
        /// Version of the server.
        parlor: String,
        /// When the backup began.
        created_date: Timestamp,
    },
    /// A row of a small tree.
    Row {
        /// Name of the tree.
        tree: String,
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A turn.
    Turn {
        /// The chatflow.
        chatflow: ChatflowId,
        /// The session.
        session: SessionId,
        /// Place in the session.
        seq: u64,
        /// The record.
        record: String,
        /// The answer that is remembered for its `Idempotency-Key`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
    },
    /// An uploaded file begins; pieces follow.
    Blob {
        /// Path below `blobs`, parts divided by `/`.
        path: String,
    },
    /// A file of the vector indexes begins; pieces follow.
    Vectors {
        /// Path below `vectors`, parts divided by `/`.
        path: String,
    },
    /// The SQLite file of record managers begins; pieces follow.
    Records,
    /// The next bytes of the file.
    Piece {
        /// At most 64 KiB.
        data: String,
    },
    /// The last one: nothing is missing before it.
    End(Counts),
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the small trees.
    pub rows: u64,
    /// Turns.
    pub turns: u64,
    /// Uploaded files.
    pub blobs: u64,
    /// Files of the vector indexes.
    #[serde(default)]
    pub vectors: u64,
    /// Files of record managers: one or none.
    #[serde(default)]
    pub records: u64,
    /// Turns that could not be kept because they were damaged.
    pub damaged: u64,
}

/// The list of a backup's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`BACKUP_FORMAT`].
    pub format: u32,
    /// Version of the server that it was made by.
    pub parlor: String,
    /// When the backup began.
    pub created_date: Timestamp,
    /// What is in it.
    pub counts: Counts,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path in the backup's folder, parts divided by `/`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl From<BackupItem> for Line {
    fn from(item: BackupItem) -> Self {
        match item {
            BackupItem::Row { tree, key, value } => {
                Self::Row { tree, key: STANDARD.encode(key), value: STANDARD.encode(value) }
            }
            BackupItem::Turn { key, seq, record, answer } => Self::Turn {
                chatflow: key.chatflow,
                session: key.session,
                seq,
                record: STANDARD.encode(record),
                answer: answer.map(|bytes| STANDARD.encode(bytes)),
            },
        }
    }
}

impl Line {
    /// The item that the line holds; `None` for other lines and broken base64.
    pub fn into_item(self) -> Option<BackupItem> {
        match self {
            Self::Row { tree, key, value } => Some(BackupItem::Row {
                tree,
                key: STANDARD.decode(key).ok()?,
                value: STANDARD.decode(value).ok()?,
            }),
            Self::Turn { chatflow, session, seq, record, answer } => Some(BackupItem::Turn {
                key: SessionKey { chatflow, session },
                seq,
                record: STANDARD.decode(record).ok()?,
                answer: answer.map(|text| STANDARD.decode(text)).transpose().ok()?,
            }),
            _ => None,
        }
    }
}

impl Manifest {
    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// [`StoreError::NoBackup`], [`StoreError::NewerBackup`].
    pub fn read(backup: &Path) -> Result<Self, StoreError> {
        let text = std::fs::read(backup.join(MANIFEST)).map_err(|_| StoreError::NoBackup)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|_| StoreError::NoBackup)?;
        if manifest.format > BACKUP_FORMAT {
            return Err(StoreError::NewerBackup);
        }
        let is_safe = |file: &FileEntry| safe_path(&file.name).is_some();
        if manifest.files.iter().all(is_safe) { Ok(manifest) } else { Err(StoreError::NoBackup) }
    }

    /// The files of lines, in order.
    pub fn line_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().filter(|file| file.is_lines())
    }
}

impl FileEntry {
    /// Whether it holds lines, not bytes of its own.
    pub fn is_lines(&self) -> bool {
        !self.name.contains('/') && self.name.ends_with(".ndjson")
    }

    /// Whether the file is there as it was written; `None` where it is not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_whole(&self, backup: &Path) -> Result<Option<bool>, StoreError> {
        let Ok(mut file) = File::open(backup.join(&self.name)) else { return Ok(None) };
        let (mut hasher, mut n_bytes) = (Sha256::new(), 0);
        let mut piece = vec![0; 64 * 1024];
        loop {
            match file.read(&mut piece).map_err(StoreError::io("reading the backup"))? {
                0 => break,
                n => {
                    hasher.update(&piece[..n]);
                    n_bytes += n as u64;
                }
            }
        }
        Ok(Some(n_bytes == self.bytes && hex(&hasher.finalize()) == self.sha256))
    }

    /// Hands each line of the file on; `None` for one that is no line of a backup.
    ///
    /// # Errors
    /// When it cannot be read, and what `take` returns.
    pub fn for_each_line(
        &self,
        backup: &Path,
        mut take: impl FnMut(Option<Line>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let doing = StoreError::io("reading the backup");
        let mut file = BufReader::new(File::open(backup.join(&self.name)).map_err(&doing)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let bounded = &mut (&mut file).take(MAX_LINE_BYTES);
            if bounded.read_until(b'\n', &mut line).map_err(&doing)? == 0 {
                return Ok(());
            }
            take(serde_json::from_slice(&line).ok())?;
        }
    }
}

/// A path below some folder, or `None` where it would lead out of it.
pub fn safe_path(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (!text.is_empty() && is_plain && !text.contains(['\\', '\0'])).then(|| path.to_owned())
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_stay_below_their_folder() {
        for good in ["a", "a/b.txt", "blobs/x/..y"] {
            assert_eq!(safe_path(good).as_deref(), Some(Path::new(good)), "{good}");
        }
        for bad in ["", "/a", "../a", "a/../../b", "a\0b", "./a", "a\\b"] {
            assert_eq!(safe_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_item_is_the_same_after_its_way_through_a_line() {
        let key = SessionKey {
            chatflow: ChatflowId::random(),
            session: SessionId::parse("s\u{1f98a}/1").unwrap(),
        };
        let items = [
            BackupItem::Row { tree: "t".into(), key: vec![0, 255], value: vec![] },
            BackupItem::Turn { key: key.clone(), seq: 7, record: vec![1, 2, 3], answer: None },
            BackupItem::Turn { key, seq: 8, record: vec![], answer: Some(vec![0, 255]) },
        ];
        for item in items {
            let text = serde_json::to_string(&Line::from(item.clone())).unwrap();
            let line: Line = serde_json::from_str(&text).unwrap();
            assert_eq!(line.into_item(), Some(item), "{text}");
        }
    }
}
