//! Uploaded files: `blobs/<chatflow>/<hash of the chat id>/<name>` in the data
//! folder.
//!
//! A file is written elsewhere, synced and then moved to its place, so there
//! is never half of one. All methods block on the disk; call them off the
//! arbiters. No symbolic link is followed.

mod name;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parlor_schemas::ChatflowId;
use uuid::Uuid;

pub use name::{BadName, BlobFolder, BlobName};

use super::error::StoreError;

/// Where files are written before they move to their place. No chatflow has this name.
pub const STAGING: &str = "staging";

/// The uploaded files. Clones share one folder.
#[derive(Debug, Clone)]
pub struct Blobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: OwnedFd,
    staging: OwnedFd,
    /// Bytes that all files together may take; 0 for no limit.
    quota: u64,
    /// Bytes that they take; kept only where there is a limit.
    used: AtomicU64,
}

/// A file that is on the disk but not in its place yet. Dropped, it is gone.
#[derive(Debug)]
pub struct StagedBlob {
    blobs: Blobs,
    temporary: String,
    folder: BlobFolder,
    name: String,
    n_bytes: u64,
    is_kept: bool,
}

impl Blobs {
    /// Opens the folder, makes it where it is missing, and removes what a
    /// crash left in staging.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn open(data_dir: &Path, quota: u64) -> Result<Self, StoreError> {
        let opened = || -> io::Result<Inner> {
            let data = tree::open_root(data_dir)?;
            let root = tree::make_folder(&data, "blobs")?;
            tree::remove_folder(&root, STAGING)?;
            let staging = tree::make_folder(&root, STAGING)?;
            let used = if quota == 0 { 0 } else { tree::n_bytes_below(&root)? };
            Ok(Inner { root, staging, quota, used: AtomicU64::new(used) })
        };
        let inner = opened().map_err(StoreError::io("opening the folder of uploads"))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Removes the files of chatflows that are no more: a turn that ended while
    /// its chatflow was deleted may have left some.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn sweep(&self, is_gone: impl Fn(ChatflowId) -> bool) -> Result<(), StoreError> {
        let folders = tree::folders(&self.0.root);
        let folders = folders.map_err(StoreError::io("listing the folder of uploads"))?;
        let chatflows = folders.iter().filter_map(|name| ChatflowId::parse(name).ok());
        chatflows.filter(|id| is_gone(*id)).try_for_each(|id| self.remove_chatflow(id))
    }

    /// Writes a file that [`StagedBlob::keep`] puts in its place.
    ///
    /// # Errors
    /// [`StoreError::OverQuota`], [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn stage(
        &self,
        folder: &BlobFolder,
        name: &BlobName,
        bytes: &[u8],
    ) -> Result<StagedBlob, StoreError> {
        self.stage_as(folder, name.as_str().to_owned(), bytes)
    }

    /// Stages the note of a file: the text that a model was shown of it.
    ///
    /// # Errors
    /// As of [`Self::stage`].
    pub fn stage_note(
        &self,
        folder: &BlobFolder,
        name: &BlobName,
        text: &str,
    ) -> Result<StagedBlob, StoreError> {
        self.stage_as(folder, name.note(), text.as_bytes())
    }

    fn stage_as(
        &self,
        folder: &BlobFolder,
        name: String,
        bytes: &[u8],
    ) -> Result<StagedBlob, StoreError> {
        let n_bytes = bytes.len() as u64;
        self.0.reserve(n_bytes)?;
        // From here on dropping gives the space back.
        let staged = StagedBlob {
            blobs: self.clone(),
            temporary: Uuid::new_v4().to_string(),
            folder: folder.clone(),
            name,
            n_bytes,
            is_kept: false,
        };
        tree::write_new(&self.0.staging, &staged.temporary, bytes).map_err(write_error)?;
        Ok(staged)
    }

    /// A file, open for reading, with its length; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn file(
        &self,
        folder: &BlobFolder,
        name: &BlobName,
    ) -> Result<Option<(File, u64)>, StoreError> {
        self.inside(folder, |chat| tree::open_file(chat, name.as_str()))
    }

    /// A file's bytes; `None` where there is none or where it is longer than `most`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn read(
        &self,
        folder: &BlobFolder,
        name: &BlobName,
        most: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inside(folder, |chat| tree::read_file(chat, name.as_str(), most))
    }

    /// The note of a file, as [`Self::read`].
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn read_note(
        &self,
        folder: &BlobFolder,
        name: &BlobName,
        most: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inside(folder, |chat| tree::read_file(chat, &name.note(), most))
    }

    /// Whether any chat of the chatflow has files.
    pub fn has_files(&self, chatflow: ChatflowId) -> bool {
        matches!(tree::folder(&self.0.root, &chatflow.to_string()), Ok(Some(_)))
    }

    /// Removes the files of one chat.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_chat(&self, folder: &BlobFolder) -> Result<(), StoreError> {
        let remove = || match tree::folder(&self.0.root, &folder.chatflow)? {
            Some(chatflow) => tree::remove_folder(chatflow, &folder.chat),
            None => Ok(0),
        };
        self.0.release(remove().map_err(StoreError::io("removing uploads"))?);
        Ok(())
    }

    /// Removes the files of all chats of a chatflow.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_chatflow(&self, chatflow: ChatflowId) -> Result<(), StoreError> {
        let n_bytes = tree::remove_folder(&self.0.root, &chatflow.to_string());
        self.0.release(n_bytes.map_err(StoreError::io("removing uploads"))?);
        Ok(())
    }

    fn inside<T>(
        &self,
        folder: &BlobFolder,
        work: impl FnOnce(&OwnedFd) -> io::Result<Option<T>>,
    ) -> Result<Option<T>, StoreError> {
        let found = || -> io::Result<Option<T>> {
            let Some(chatflow) = tree::folder(&self.0.root, &folder.chatflow)? else {
                return Ok(None);
            };
            match tree::folder(chatflow, &folder.chat)? {
                Some(chat) => work(&chat),
                None => Ok(None),
            }
        };
        found().map_err(StoreError::io("reading an upload"))
    }
}

impl Inner {
    fn reserve(&self, n_bytes: u64) -> Result<(), StoreError> {
        if self.quota == 0 {
            return Ok(());
        }
        let used = self.used.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
        if used > self.quota {
            self.release(n_bytes);
            return Err(StoreError::OverQuota);
        }
        Ok(())
    }

    fn release(&self, n_bytes: u64) {
        if self.quota != 0 {
            let less = |used: u64| Some(used.saturating_sub(n_bytes));
            // The closure always gives a value, so this cannot fail.
            let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
}

impl StagedBlob {
    /// Puts the file in its place, over an older one of the same name.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`]; the file is gone then.
    pub fn keep(mut self) -> Result<(), StoreError> {
        let inner = self.blobs.0.clone();
        let moved = || -> io::Result<u64> {
            let chatflow = tree::make_folder(&inner.root, &self.folder.chatflow)?;
            let chat = tree::make_folder(chatflow, &self.folder.chat)?;
            let replaced = tree::open_file(&chat, &self.name)?.map_or(0, |(_, length)| length);
            tree::move_over(inner.staging.as_fd(), &self.temporary, chat, &self.name)?;
            Ok(replaced)
        };
        inner.release(moved().map_err(write_error)?);
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for StagedBlob {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let inner = &self.blobs.0;
        inner.release(self.n_bytes);
        if let Err(error) = tree::remove_file(&inner.staging, &self.temporary) {
            tracing::warn!("an upload that is not needed stays until the next start: {error}");
        }
    }
}

fn write_error(error: io::Error) -> StoreError {
    StoreError::write("writing an upload")(error)
}
