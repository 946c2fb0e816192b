//! A folder below one that the operator allows. Every step goes through a
//! descriptor and refuses symbolic links, so nothing outside is ever opened.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};

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

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The files, by their paths in the folder.
    pub(super) files: Vec<PathBuf>,
    /// Folders of which not all is known; the problem starts with a verb.
    pub(super) failures: Vec<(PathBuf, &'static str)>,
}

impl Listed {
    fn len(&self) -> usize {
        self.files.len() + self.failures.len()
    }
}

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

    /// The files that can be read, by their paths in the folder, in order, and
    /// the folders that cannot be looked through. Hidden files and those of
    /// unknown kinds are passed over.
    ///
    /// # Errors
    /// Where there are too many.
    pub(super) fn files(&self, is_recursive: bool) -> Result<Listed, &'static str> {
        let mut listed = Listed::default();
        let mut n_entries = 0;
        let mut folders = vec![PathBuf::new()];
        while let Some(at) = folders.pop() {
            let entries = match self.entries(&at) {
                Ok(entries) => entries,
                Err(problem) => {
                    listed.failures.push((at, problem));
                    continue;
                }
            };
            for (name, kind) in entries {
                let path = at.join(OsStr::from_bytes(&name));
                match kind {
                    FileType::Directory if !is_recursive => {}
                    FileType::Directory if path.components().count() > MAX_DEPTH => {
                        listed.failures.push((path, "lies too deep inside of other folders"));
                    }
                    FileType::Directory => folders.push(path),
                    FileType::RegularFile if is_known(&path) => listed.files.push(path),
                    _ => {}
                }
                n_entries += 1;
                if n_entries > MAX_ENTRIES || listed.len() > MAX_FILES {
                    return Err("names a folder of too many files; choose a smaller one");
                }
            }
        }
        listed.files.sort();
        Ok(listed)
    }

    /// Names and kinds of what is in one of its folders, hidden entries left out.
    ///
    /// # Errors
    /// What is wrong, starting with a verb, also where only a part can be read:
    /// what is not seen must not be taken for gone.
    fn entries(&self, at: &Path) -> Result<Vec<(Vec<u8>, FileType)>, &'static str> {
        let folder = self.below(at).ok_or("cannot be opened")?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&folder).map_err(|_| "cannot be read")? {
            let entry = entry.map_err(|_| "cannot be read to its end")?;
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            if found.len() > MAX_ENTRIES {
                break;
            }
            let kind = kind(&folder, name, entry.file_type())?;
            found.push((name.to_bytes().to_owned(), kind));
        }
        Ok(found)
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

/// The kind of an entry. Some file systems do not say it while they list.
fn kind(folder: &OwnedFd, name: &CStr, said: FileType) -> Result<FileType, &'static str> {
    if said != FileType::Unknown {
        return Ok(said);
    }
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode)),
        Err(_) => Err("holds an entry that cannot be looked at"),
    }
}

fn is_known(path: &Path) -> bool {
    let Some(ending) = path.extension().and_then(OsStr::to_str) else { return false };
    let ending = ending.to_ascii_lowercase();
    Format::of_extension(&ending).is_some() || TEXT_ENDINGS.contains(&ending.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_listed_is_told() {
        let no_folder = tempfile::tempfile().unwrap();

        let listed = Folder(no_folder.into()).files(true).unwrap();

        assert_eq!(listed.failures, [(PathBuf::new(), "cannot be read")]);
    }

    #[test]
    fn a_kind_that_the_file_system_does_not_say_is_looked_up() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a.txt"), "x").unwrap();
        std::os::unix::fs::symlink("a.txt", place.path().join("link")).unwrap();
        let folder = fs::open(place.path(), FOLDER, Mode::empty()).unwrap();

        let unsaid = |name: &CStr| kind(&folder, name, FileType::Unknown);

        assert_eq!(unsaid(c"a.txt"), Ok(FileType::RegularFile));
        assert_eq!(unsaid(c"link"), Ok(FileType::Symlink));
        assert!(unsaid(c"gone").is_err());
    }
}
