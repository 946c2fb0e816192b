//! The moment that a backup is of: the store's rows, the files of the vector
//! indexes and the records of record managers, taken together, so that what
//! the ledger says of an index is true of the restored one.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use parlor_nodes::vector_stores::all_settled;
use tokio::time::timeout;

use crate::http::error::ApiError;
use crate::http::state::{AppState, off_arbiter};
use crate::store::{Backup, StoreError, capture_records, vectors};

/// How long a backup waits for upserts between their index and their ledger.
/// A server elsewhere may be slow to commit; its vectors are in no backup.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a backup is made of. Uploads are read later: they never change.
pub(super) struct Moment {
    /// The rows and the turns.
    pub(super) backup: Backup,
    /// The files of the vector indexes with their paths, open: they stay what
    /// they are when they are replaced.
    pub(super) vectors: Vec<(String, File)>,
    /// A copy of the record managers' file.
    pub(super) records: Option<File>,
}

impl Moment {
    /// Takes this moment.
    ///
    /// # Errors
    /// What the store says, also of a damaged collection: a backup without it
    /// would look whole.
    pub(super) async fn now(state: &AppState) -> Result<Self, ApiError> {
        let _settled = timeout(LONGEST_WAIT, all_settled()).await;
        let backup = state.store.history().begin_backup().await?;
        let folder = state.store.folder().to_owned();
        let (vectors, records) = off_arbiter(move || capture(&folder)).await??;
        Ok(Self { backup, vectors, records })
    }
}

type Captured = (Vec<(String, File)>, Option<File>);

fn capture(folder: &Path) -> Result<Captured, StoreError> {
    let mut files = Vec::new();
    for collection in vectors::collections(folder) {
        files.extend(vectors::capture(&collection)?);
    }
    Ok((files, capture_records(folder)?))
}
