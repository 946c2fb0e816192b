//! The data folder: made private, and held by one server at a time.
//!
//! `parlor.lock` also remembers that a store was made here. When the database
//! is gone but the note is there, somebody lost data, and an empty store must
//! not quietly take its place.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::StoreError;

const FILE_NAME: &str = "parlor.lock";
const STORE_MADE: &str = "store made\n";

/// The lock on a data folder; given back when dropped or when the process ends.
#[derive(Debug)]
pub(super) struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Makes the folder (0700) where it is missing and takes the lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process or store holds it.
    pub fn take(folder: &Path) -> Result<Self, StoreError> {
        make_private_folder(folder)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = private(&mut options)
            .open(folder.join(FILE_NAME))
            .map_err(StoreError::io("opening parlor.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(source)) => {
                Err(StoreError::Io { doing: "locking parlor.lock", source })
            }
        }
    }

    /// Whether a store was once made in this folder.
    pub fn store_was_made(&mut self) -> Result<bool, StoreError> {
        let doing = StoreError::io("reading parlor.lock");
        self.file.seek(SeekFrom::Start(0)).map_err(&doing)?;
        let mut note = Vec::new();
        (&mut self.file).take(64).read_to_end(&mut note).map_err(doing)?;
        Ok(note == STORE_MADE.as_bytes())
    }

    /// Notes that a store was made in this folder.
    pub fn note_store_made(&mut self) -> Result<(), StoreError> {
        let doing = StoreError::io("writing parlor.lock");
        self.file.set_len(0).map_err(&doing)?;
        self.file.seek(SeekFrom::Start(0)).map_err(&doing)?;
        self.file.write_all(STORE_MADE.as_bytes()).map_err(&doing)?;
        self.file.sync_all().map_err(doing)
    }
}

/// Makes a folder that only this user may enter; one that exists stays as it is.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(StoreError::io("making the data folder"))
}

/// Makes lasting what was made or renamed in a folder.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Files that are made with these options are readable by this user only.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_on_one_folder_is_refused_until_the_first_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(StoreError::InUse)));
        drop(first);
        assert!(FolderLock::take(folder.path()).is_ok());
    }

    #[test]
    fn the_note_that_a_store_was_made_outlives_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = FolderLock::take(folder.path()).unwrap();
        assert!(!lock.store_was_made().unwrap());
        lock.note_store_made().unwrap();
        drop(lock);
        assert!(FolderLock::take(folder.path()).unwrap().store_was_made().unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_and_the_file_belong_to_their_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let _lock = FolderLock::take(&folder).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(FILE_NAME)), 0o600);
    }
}
