//! Why the store could not do something: one enum for the whole room, with a
//! code for the one table that turns codes into statuses.

use parlor_schemas::{ErrorCode, Fault};

/// The format that this version writes and the newest that it reads.
pub const FORMAT: u32 = 2;

/// A failure of the store. The texts are for users and operators and hold no
/// path and no secret; the cause hangs on as `source` for the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A second server on one data folder.
    #[error(
        "this data folder is in use by another Parlor server; stop it or give this one a folder of its own"
    )]
    InUse,
    /// A restore into a folder that holds something.
    #[error("the folder to restore into is not empty; name a new one")]
    NotEmpty,
    /// A folder without a readable manifest.
    #[error("that folder holds no finished backup of Parlor")]
    NoBackup,
    /// A backup of a later version.
    #[error("this backup was made by a newer Parlor; restore it with that version")]
    NewerBackup,
    /// There is nothing to look at.
    #[error("that folder holds no data of Parlor; name the folder with --data-dir")]
    NoStore,
    /// The folder was written by a later version.
    #[error(
        "the data folder has format {found} and this version reads up to {FORMAT}; start the newer Parlor that wrote it"
    )]
    NewerFormat {
        /// The format of the folder.
        found: u32,
    },
    /// The database cannot be opened as it lies there.
    #[error(
        "the message store is damaged ({why}); move the data folder aside and restore the newest backup into a new one"
    )]
    Damaged {
        /// What was found, in a few words.
        why: &'static str,
        /// What sled said.
        #[source]
        source: Option<sled::Error>,
    },
    /// One record does not match its checksum or cannot be read.
    #[error("{what} is damaged ({why}); delete it or restore a backup")]
    DamagedRecord {
        /// Which record: `turn 3 of conversation 17`.
        what: String,
        /// What was found, in a few words.
        why: &'static str,
    },
    /// Vectors that do not match their checksums or cannot be read.
    #[error(
        "the vectors in {folder} of the data folder are damaged ({why}); restore a backup, or move that folder away and upsert the documents again"
    )]
    DamagedVectors {
        /// Their folder, below the data folder.
        folder: String,
        /// What was found, in a few words.
        why: &'static str,
    },
    /// Vectors of a later version.
    #[error(
        "the vectors in {folder} of the data folder were written by a newer Parlor; start that one"
    )]
    NewerVectors {
        /// Their folder, below the data folder.
        folder: String,
    },
    /// The credentials were encrypted with another key.
    #[error(
        "the credentials of this data folder were encrypted with another key; start with the encryption.key or the secret they were made with"
    )]
    WrongKey,
    /// There are credentials but no key.
    #[error(
        "encryption.key is missing from the data folder but credentials are stored; put the file back or start with the secret they were made with"
    )]
    MissingKey,
    /// `encryption.key` is no key.
    #[error("encryption.key does not hold exactly 32 bytes; put the original file back")]
    BadKeyFile,
    /// The operating system's random numbers or the cipher failed.
    #[error("a credential could not be encrypted")]
    Cipher,
    /// A file or folder operation failed.
    #[error("the data folder cannot be used: {doing} failed ({source})")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Reading failed.
    #[error("the store could not be read")]
    Read(#[source] sled::Error),
    /// Writing or syncing failed: nothing of it counts as stored.
    #[error("the store could not write to its disk; nothing was saved, try again later")]
    NotStored,
    /// The disk has no room for one more group of turns.
    #[error("the disk of the data folder is full; nothing was saved")]
    DiskFull,
    /// The uploaded files take all the space that the operator gave them.
    #[error("the server's space for uploaded files is used up; delete chats that hold files")]
    OverQuota,
    /// The database is closed after a failed write and not open again yet.
    #[error("the store is recovering from a failed write; try again in a few seconds")]
    Recovering,
    /// The server is shutting down.
    #[error("the store is closed because the server is shutting down")]
    Closed,
    /// An append that does not continue what is stored.
    #[error("{0}")]
    Conflict(&'static str),
    /// A record over the size that one write may have.
    #[error("the record is larger than {0} bytes")]
    TooLarge(usize),
    /// A row could not be turned into bytes.
    #[error("the record could not be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// A defect of the store, caught before it could take the writer along.
    #[error("the store met a defect of its own; nothing was saved")]
    Panicked,
}

impl StoreError {
    /// The kind of failure, for the table of statuses.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InUse | Self::Conflict(_) => ErrorCode::Conflict,
            Self::TooLarge(_) => ErrorCode::TooLarge,
            Self::Panicked | Self::Encode(_) => ErrorCode::Internal,
            _ => ErrorCode::StoreFailed,
        }
    }

    /// True for failures that may pass without anybody's help.
    fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::NotStored | Self::Recovering | Self::DiskFull | Self::OverQuota | Self::Closed
        )
    }

    /// The error of reading: a page that does not match its checksum is a
    /// damage that somebody must see to, anything else may pass.
    pub(super) fn read(error: sled::Error) -> Self {
        match error {
            sled::Error::Corruption { .. } => Self::Damaged {
                why: "a page of it does not match its checksum",
                source: Some(error),
            },
            other => Self::Read(other),
        }
    }

    pub(super) fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// A failed write or sync, which a full disk has a name of its own for.
    pub(super) fn write(doing: &'static str) -> impl Fn(std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        move |source| match source.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull,
            _ => Self::Io { doing, source },
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        // `Io` says what the system said, which is for the operator's terminal only.
        let message = match &error {
            StoreError::Io { .. } => "the data folder cannot be used".to_owned(),
            other => other.to_string(),
        };
        let fault = Self::new(error.code(), message);
        if error.is_passing() { fault.retry_after(5) } else { fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_tells_the_kind_and_when_to_retry_but_no_path() {
        let lock = std::io::Error::other("could not acquire lock on \"/srv/data/db\"");
        let fault = Fault::from(StoreError::Read(sled::Error::Io(lock)));
        assert_eq!(fault.code, ErrorCode::StoreFailed);
        assert!(!fault.message.contains("/srv"), "{fault}");
        assert_eq!(Fault::from(StoreError::NotStored).retry_after_s, Some(5));
        assert_eq!(Fault::from(StoreError::Conflict("no")).code, ErrorCode::Conflict);
    }
}
