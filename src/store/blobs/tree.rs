//! Files below one open folder. Every step goes through a descriptor and
//! refuses symbolic links, so nothing outside the folder is ever opened, not
//! even while somebody changes it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not blocking, because opening a pipe that lies there would wait for ever.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens the folder that all others hang on.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(fs::open(path, FOLDER, Mode::empty())?)
}

/// A folder below another, `None` where there is none.
pub(super) fn folder(at: impl AsFd, name: &str) -> io::Result<Option<OwnedFd>> {
    found(fs::openat(at, name, FOLDER, Mode::empty()))
}

/// A folder below another, made where there is none.
pub(super) fn make_folder(at: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match fs::mkdirat(&at, name, Mode::RWXU) {
        // The new entry must be on the disk before a file in it counts as stored.
        Ok(()) => fs::fsync(&at)?,
        Err(Errno::EXIST) => {}
        Err(other) => return Err(other.into()),
    }
    Ok(fs::openat(at, name, FOLDER, Mode::empty())?)
}

/// A regular file and its length, `None` where there is none.
pub(super) fn open_file(at: impl AsFd, name: &str) -> io::Result<Option<(File, u64)>> {
    let Some(descriptor) = found(fs::openat(at, name, READ, Mode::empty()))? else {
        return Ok(None);
    };
    let stat = fs::fstat(&descriptor)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    Ok(Some((File::from(descriptor), u64::try_from(stat.st_size).unwrap_or(0))))
}

/// A file's bytes; `None` where there is none or where it is longer than `most`.
pub(super) fn read_file(at: impl AsFd, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
    let Some((file, length)) = open_file(at, name)? else { return Ok(None) };
    if length > most as u64 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a new file and syncs it.
pub(super) fn write_new(at: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let descriptor = fs::openat(at, name, NEW, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    file.sync_all()
}

/// Moves a file over whatever has the new name, and syncs the folder.
pub(super) fn move_over(
    from: BorrowedFd<'_>,
    name: &str,
    to: impl AsFd,
    new: &str,
) -> io::Result<()> {
    fs::renameat(from, name, &to, new)?;
    Ok(fs::fsync(to)?)
}

/// Removes a file; that it is gone already is no error.
pub(super) fn remove_file(at: impl AsFd, name: &str) -> io::Result<()> {
    found(fs::unlinkat(at, name, AtFlags::empty())).map(drop)
}

/// Removes a folder with all that is in it, and tells how many bytes that were.
/// A link in it is removed, not followed.
pub(super) fn remove_folder(at: impl AsFd, name: &str) -> io::Result<u64> {
    let Some(inner) = folder(&at, name)? else { return Ok(0) };
    let mut n_bytes = 0;
    for (entry, kind, length) in entries(&inner)? {
        if kind == FileType::Directory {
            n_bytes += remove_folder(&inner, &entry)?;
        } else {
            remove_file(&inner, &entry)?;
            n_bytes += length;
        }
    }
    match fs::unlinkat(&at, name, AtFlags::REMOVEDIR) {
        // Somebody put a file there meanwhile; it belongs to a chat that goes on.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(n_bytes),
        Err(other) => Err(other.into()),
    }
}

/// The bytes of all files below a folder.
pub(super) fn n_bytes_below(at: impl AsFd) -> io::Result<u64> {
    let mut n_bytes = 0;
    for (entry, kind, length) in entries(&at)? {
        n_bytes += match kind {
            FileType::Directory => match folder(&at, &entry)? {
                Some(inner) => n_bytes_below(inner)?,
                None => 0,
            },
            _ => length,
        };
    }
    Ok(n_bytes)
}

/// The names of the folders in a folder.
pub(super) fn folders(at: impl AsFd) -> io::Result<Vec<String>> {
    let folders = entries(at)?.into_iter().filter(|(_, kind, _)| *kind == FileType::Directory);
    Ok(folders.map(|(name, _, _)| name).collect())
}

/// What is in a folder: name, kind and length.
fn entries(at: impl AsFd) -> io::Result<Vec<(String, FileType, u64)>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(&at)? {
        let entry = entry?;
        // Nothing that is made here has a name that is no text.
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        let Some(stat) = found(fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW))? else { continue };
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        all.push((name.to_owned(), FileType::from_raw_mode(stat.st_mode), length));
    }
    Ok(all)
}

/// Absent things are no errors here, and a symbolic link counts as absent.
fn found<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
