//! What the Office formats share: archives of XML files. Nothing unpacks without
//! a limit.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::ExtractError;

/// Files that an archive may hold.
const MAX_ENTRIES: usize = 10_000;
/// What all files that are read may unpack to.
const MAX_UNPACKED_BYTES: usize = 64 << 20;

/// An Office file.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: usize,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ExtractError> {
        // A locked Office file is no archive but a container of another kind.
        if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
            return Err(ExtractError::Locked);
        }
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|_| ExtractError::Damaged)?;
        if zip.len() > MAX_ENTRIES {
            return Err(ExtractError::TooLarge);
        }
        Ok(Self { zip, left: MAX_UNPACKED_BYTES })
    }

    /// Names of files like `ppt/slides/slide2.xml`, in the order of their numbers.
    pub(super) fn numbered(&self, before: &str, after: &str) -> Vec<String> {
        let number = |name: &str| {
            let digits = name.strip_prefix(before)?.strip_suffix(after)?;
            digits.parse::<u32>().ok()
        };
        let mut found: Vec<(u32, String)> = self
            .zip
            .file_names()
            .filter_map(|name| {
                let name = name.ok()?;
                Some((number(&name)?, name.into_owned()))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// A file's text; `None` where the archive has none of that name.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<String>, ExtractError> {
        let file = match self.zip.by_name(name) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(zip::result::ZipError::UnsupportedArchive(_)) => return Err(ExtractError::Locked),
            Err(_) => return Err(ExtractError::Damaged),
        };
        let mut bytes = Vec::new();
        // What the archive says of its sizes is not believed.
        let read = file.take(self.left as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|_| ExtractError::Damaged)?;
        self.left = self.left.checked_sub(bytes.len()).ok_or(ExtractError::TooLarge)?;
        String::from_utf8(bytes).map(Some).map_err(|_| ExtractError::Damaged)
    }
}
