//! What a collection consists of: one small file, replaced as a whole.
//!
//! Its first line is `parlor-vectors <CRC32 of the rest>`, the rest is JSON.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_nodes::vector_index::Bits;
use serde::{Deserialize, Serialize};

use super::format::SegmentMark;
use super::load::Unreadable;
use super::{need_room, sync_folder, write_error};
use crate::store::error::StoreError;

pub(super) const FILE: &str = "manifest";
const TEMPORARY: &str = "manifest.new";
const FIRST_WORD: &str = "parlor-vectors";
/// The format that this version writes and the newest that it reads.
const FORMAT: u32 = 1;

/// What a collection consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) n_dimensions: usize,
    pub(super) segments: Vec<Entry>,
}

/// A segment and its dead rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) mark: SegmentMark,
    /// One bit a row, in base64.
    pub(super) dead: String,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

impl Entry {
    pub(super) fn new(mark: SegmentMark, dead: &Bits) -> Self {
        Self { mark, dead: BASE64_STANDARD.encode(dead.to_bytes()) }
    }

    pub(super) fn dead(&self) -> Result<Bits, Unreadable> {
        let bytes = BASE64_STANDARD.decode(&self.dead).ok();
        let dead = bytes.and_then(|bytes| Bits::from_bytes(&bytes, self.mark.rows as usize));
        dead.ok_or(Unreadable::Damaged("its manifest is garbled"))
    }
}

impl Manifest {
    /// The manifest of a folder; `None` where none was written yet.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, Unreadable> {
        Ok(Self::open(folder)?.map(|(manifest, _)| manifest))
    }

    /// The same with its file, which stays what it is when it is replaced.
    pub(super) fn open(folder: &Path) -> Result<Option<(Self, File)>, Unreadable> {
        let mut file = match File::open(folder.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(Some((Self::parse(&text)?, file)))
    }

    fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        let garbled = || Unreadable::Damaged("its manifest is garbled");
        let end = text.iter().position(|byte| *byte == b'\n').ok_or_else(garbled)?;
        let (first, json) = (&text[..end], &text[end + 1..]);
        if first != first_line(json).as_bytes() {
            return Err(garbled());
        }
        let Format { format } = serde_json::from_slice(json).map_err(|_| garbled())?;
        if format > FORMAT {
            return Err(Unreadable::Newer);
        }
        let manifest: Self = serde_json::from_slice(json).map_err(|_| garbled())?;
        // A name becomes a path: nothing but what this program writes may do so.
        let is_ours = |entry: &Entry| {
            let name = &entry.mark.name;
            name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if manifest.segments.iter().all(is_ours) { Ok(manifest) } else { Err(garbled()) }
    }

    /// Puts the manifest in the place of the last one. After an error the last
    /// one still holds.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let json = serde_json::to_vec(&Written { format: FORMAT, manifest: self });
        let json = json.map_err(StoreError::Encode)?;
        need_room(folder, json.len() as u64)?;
        let temporary = folder.join(TEMPORARY);
        let written = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file: File = options.open(&temporary)?;
            writeln!(file, "{}", first_line(&json))?;
            file.write_all(&json)?;
            file.sync_all()?;
            std::fs::rename(&temporary, folder.join(FILE))
        };
        written().map_err(|error| {
            // It is overwritten next time, and swept at the next opening.
            let _ = std::fs::remove_file(&temporary);
            write_error(error)
        })
    }

    /// Makes the replacement lasting.
    pub(super) fn sync(folder: &Path) -> Result<(), StoreError> {
        sync_folder(folder)
    }
}

fn first_line(json: &[u8]) -> String {
    format!("{FIRST_WORD} {:08x}", crc32fast::hash(json))
}
