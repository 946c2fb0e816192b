//! The embedded vector index on disk: `vectors/<hash of the collection's
//! name>/` with segments that never change and one manifest that names them.
//!
//! A segment is written whole and synced before the manifest is replaced, in
//! one rename: until then nothing of it is seen, and a crash leaves only files
//! that nobody names, which are removed when the collection is opened.
//!
//! # Layout
//! - `format`: how a segment lies in files; `load`: how it is read again
//! - `manifest`: what a collection consists of
//! - `collection`: its moments, and how one follows the other; `merge`: fewer segments
//! - `upsert`: the writer of one upsert; `pool`: searches off the arbiters
//! - [`Shelf`]: all collections; `verify`: whether they are whole, and a backup's files

mod collection;
mod format;
mod load;
mod manifest;
mod merge;
mod pool;
mod shelf;
#[cfg(test)]
mod tests;
mod upsert;
mod verify;

use std::path::Path;

use parlor_nodes::NodeError;
use parlor_schemas::Fault;

use super::error::StoreError;

pub use shelf::Shelf;
pub(super) use verify::verify;
pub use verify::{capture, collections};

/// The folder of all collections in the data folder.
pub const FOLDER: &str = "vectors";

/// Space that is left to the message store, which must never meet a full disk.
const MIN_FREE_BYTES: u64 = 32 * 1024 * 1024;

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        tracing::error!("{error}");
        Self::Store(Fault::from(error))
    }
}

/// Refuses to write `n_bytes` more where the disk would be full after them.
/// Not knowing is no reason to refuse: a failed write is noticed, too.
pub(super) fn need_room(folder: &Path, n_bytes: u64) -> Result<(), StoreError> {
    match fs2::available_space(folder) {
        Ok(free) if free < n_bytes.saturating_add(MIN_FREE_BYTES) => Err(StoreError::DiskFull),
        _ => Ok(()),
    }
}

/// A failed write or sync.
fn write_error(source: std::io::Error) -> StoreError {
    StoreError::write("writing vectors")(source)
}

/// Makes lasting what was made or renamed in a folder.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    super::lock::sync_folder(folder).map_err(write_error)
}
