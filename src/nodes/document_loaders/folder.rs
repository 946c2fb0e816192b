//! A folder below one that the operator allows. Every step goes through a
//! descriptor and refuses symbolic links, so nothing outside is ever opened.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, Dir, FileType, Mode, OFlags};

use crate::extract::Format;
use crate::files::MAX_FILES;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Not blocking, because opening a pipe that lies there would wait for ever.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Entries that are looked at, of whatever kind.
const MAX_ENTRIES: usize = 100_000;
/// Folders inside of each other.
const MAX_DEPTH: usize = 32;

/// Endings of files that are read as text, beside those that [`Format`] knows:
/// the list of Flowise 2.2.8.
const TEXT_ENDINGS: [&str; 31] = [
    "aspx", "asp", "cpp", "c", "cs", "css", "go", "h", "kt", "java", "js", "less", "ts", "php",
    "proto", "python", "py", "rst", "ruby", "rb", "rs", "scala", "sc", "scss", "sol", "sql",
    "swift", "markdown", "tex", "ltx", "vb",
];

/// An open folder.
pub(super) struct Folder(OwnedFd);

/// Why a file of it is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadError {
    TooLarge,
    Unreadable,
}

impl Folder {
    /// Opens a folder that is one of the roots or below one; a path that is
    /// not absolute is looked for in each of them.
    ///
    /// # Errors
    /// What is wrong, starting with a verb. Whether a folder outside exists
    /// makes no difference.
    pub(super) fn open(path: &Path, roots: &[PathBuf]) -> Result<Self, &'static str> {
        if roots.is_empty() {
            return Err("names a folder, but this server reads none; start it with --loader-root");
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err("must not contain ..");
        }
        let below = |root: &PathBuf| {
            let inner = if path.is_absolute() { path.strip_prefix(root).ok()? } else { path };
            // The root itself is the operator's choice and may be a link.
            let root = fs::open(root, FOLDER, Mode::empty()).ok()?;
            descend(root, inner)
        };
        let found = roots.iter().find_map(below);
        found.map(Self).ok_or("is no folder below those that this server may read")
    }

    /// The files that can be read, by their paths in the folder, in order.
    /// Hidden ones and those of unknown kinds are passed over.
    ///
    /// # Errors
    /// Where there are too many.
    pub(super) fn files(&self, is_recursive: bool) -> Result<Vec<PathBuf>, &'static str> {
        let mut files = Vec::new();
        let mut n_entries = 0;
        let mut folders = vec![PathBuf::new()];
        while let Some(at) = folders.pop() {
            let Some(folder) = self.below(&at) else { continue };
            for (name, kind) in entries(&folder) {
                let path = at.join(OsStr::from_bytes(&name));
                match kind {
                    FileType::Directory if is_recursive => {
                        let is_deep = path.components().count() > MAX_DEPTH;
                        folders.extend((!is_deep).then_some(path));
                    }
                    FileType::RegularFile if is_known(&path) => files.push(path),
                    _ => {}
                }
                n_entries += 1;
                if n_entries > MAX_ENTRIES || files.len() > MAX_FILES {
                    return Err("names a folder of too many files; choose a smaller one");
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// Where it is longer than `most`, gone, or no file.
    pub(super) fn read(&self, path: &Path, most: usize) -> Result<Vec<u8>, ReadError> {
        let unreadable = || ReadError::Unreadable;
        let name = path.file_name().ok_or_else(unreadable)?;
        let folder = path.parent().and_then(|at| self.below(at)).ok_or_else(unreadable)?;
        let file = fs::openat(&folder, name, FILE.union(OFlags::NOFOLLOW), Mode::empty());
        let file = File::from(file.map_err(|_| unreadable())?);
        let about = file.metadata().map_err(|_| unreadable())?;
        if !about.is_file() {
            return Err(ReadError::Unreadable);
        }
        if about.len() > most as u64 {
            return Err(ReadError::TooLarge);
        }
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes).map_err(|_| unreadable())?;
        Ok(bytes)
    }

    fn below(&self, path: &Path) -> Option<OwnedFd> {
        descend(self.0.try_clone().ok()?, path)
    }
}

/// One folder after the other, none of them through a link.
fn descend(mut at: OwnedFd, path: &Path) -> Option<OwnedFd> {
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                at = fs::openat(&at, name, FOLDER.union(OFlags::NOFOLLOW), Mode::empty()).ok()?;
            }
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(at)
}

/// Names and kinds of what is in a folder, hidden entries left out.
fn entries(folder: &OwnedFd) -> impl Iterator<Item = (Vec<u8>, FileType)> {
    let entries = Dir::read_from(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().to_bytes();
        (!name.starts_with(b".")).then(|| (name.to_owned(), entry.file_type()))
    })
}

fn is_known(path: &Path) -> bool {
    let Some(ending) = path.extension().and_then(OsStr::to_str) else { return false };
    let ending = ending.to_ascii_lowercase();
    Format::of_extension(&ending).is_some() || TEXT_ENDINGS.contains(&ending.as_str())
}
