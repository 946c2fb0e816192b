//! Rows of a small tree: JSON under a 16-byte id, checked and cut like a turn.
//! Written rarely, so each write waits for its own sync; read in place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::Disk;
use super::error::StoreError;
use super::parcel;
use super::queue::{Job, Queue};
use super::rows::Changes;
use super::verify::Verification;

const VERSION: u8 = 1;

/// A row's key.
pub(super) type RowId = [u8; 16];

/// One small tree.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    disk: Arc<Disk>,
    queue: Arc<Queue>,
    revision: AtomicU64,
    /// Held while a row's old parts are looked up and replaced.
    writing: Mutex<()>,
}

impl Table {
    pub fn new(name: &'static str, disk: Arc<Disk>, queue: Arc<Queue>) -> Self {
        Self { name, disk, queue, revision: AtomicU64::new(0), writing: Mutex::new(()) }
    }

    /// Grows with each write since the start.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn get<T: DeserializeOwned>(&self, id: &RowId) -> Result<Option<T>, StoreError> {
        let tree = self.disk.tree(self.name)?;
        let head = tree.get(id).map_err(StoreError::read)?;
        head.map(|head| self.row(&tree, id, &head)).transpose()
    }

    /// Whether there is such a row, which is not read.
    pub fn contains(&self, id: &RowId) -> Result<bool, StoreError> {
        self.disk.tree(self.name)?.contains_key(id).map_err(StoreError::read)
    }

    /// All rows in order of their ids.
    pub fn list<T: DeserializeOwned>(&self) -> Result<Vec<(RowId, T)>, StoreError> {
        let tree = self.disk.tree(self.name)?;
        let mut rows = Vec::new();
        for row in &tree {
            let (key, head) = row.map_err(StoreError::read)?;
            // Longer keys are the parts of long rows.
            let Ok(id) = RowId::try_from(key.as_ref()) else { continue };
            rows.push((id, self.row(&tree, &id, &head)?));
        }
        Ok(rows)
    }

    /// Writes a row over what was there. Blocks until it is on the disk.
    pub fn put<T: Serialize>(&self, id: &RowId, row: &T) -> Result<(), StoreError> {
        self.change(&[(*id, row)], &[])
    }

    /// Deletes rows and writes others, all of it or nothing. Blocks until it
    /// is on the disk.
    pub fn change<T: Serialize>(
        &self,
        puts: &[(RowId, &T)],
        deletes: &[RowId],
    ) -> Result<(), StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = Changes::new();
        for id in deletes {
            changes.extend(self.removal(id)?);
        }
        for (id, row) in puts {
            let payload = serde_json::to_vec(row).map_err(StoreError::Encode)?;
            let parcel = parcel::seal(VERSION, id, &payload)?;
            changes.extend(self.removal(id)?);
            changes.push((id.to_vec(), Some(parcel.head)));
            for (number, part) in (0..).zip(parcel.rest) {
                changes.push((part_key(id, number), Some(part)));
            }
        }
        self.write(changes)
    }

    /// Deletes a row; false where there was none. Blocks until that is on the disk.
    pub fn delete(&self, id: &RowId) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.removal(id)?;
        let existed = !changes.is_empty();
        if existed {
            self.write(changes)?;
        }
        Ok(existed)
    }

    fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let written = self.queue.ask_blocking(Job::ChangeRows { tree: self.name, changes });
        // Also after a failure: whether it reached the disk is unknown.
        self.revision.fetch_add(1, Ordering::Release);
        written.map(|_| ())
    }

    fn removal(&self, id: &RowId) -> Result<Changes, StoreError> {
        let tree = self.disk.tree(self.name)?;
        let keys: Result<Vec<_>, _> = tree.scan_prefix(id).keys().collect();
        let keys = keys.map_err(StoreError::read)?;
        Ok(keys.into_iter().map(|key| (key.to_vec(), None)).collect())
    }

    fn row<T: DeserializeOwned>(
        &self,
        tree: &sled::Tree,
        id: &RowId,
        head: &[u8],
    ) -> Result<T, StoreError> {
        let damaged = |why| StoreError::DamagedRecord {
            what: format!("row {} of {}", uuid::Uuid::from_bytes(*id), self.name),
            why,
        };
        let part = |number| tree.get(part_key(id, number));
        let payload =
            parcel::open(VERSION, id, head, part).map_err(StoreError::read)?.map_err(damaged)?;
        serde_json::from_slice(&payload).map_err(|_| damaged("its fields cannot be read"))
    }
}

/// Looks at every row of a small tree.
pub(super) fn verify(
    tree: &sled::Tree,
    name: &str,
    found: &mut Verification,
) -> Result<(), StoreError> {
    for row in tree {
        let (key, head) = row.map_err(StoreError::read)?;
        found.count("rows", 1);
        let is_right = match RowId::try_from(key.as_ref()) {
            // Written since it was met: it is read whole again.
            Ok(id) => {
                is_whole(tree, &id, &head)?
                    || match tree.get(id).map_err(StoreError::read)? {
                        Some(head) => is_whole(tree, &id, &head)?,
                        None => true,
                    }
            }
            Err(_) => is_part(tree, &key)? || !tree.contains_key(&key).map_err(StoreError::read)?,
        };
        if !is_right {
            let shown: String = key.iter().take(18).map(|byte| format!("{byte:02x}")).collect();
            found.problem(
                "damagedRow",
                "rows of the small tables are damaged; delete them or restore a backup",
                format!("{shown} of {name}"),
            );
        }
    }
    Ok(())
}

fn is_whole(tree: &sled::Tree, id: &RowId, head: &[u8]) -> Result<bool, StoreError> {
    let part = |number| tree.get(part_key(id, number));
    Ok(parcel::open(VERSION, id, head, part).map_err(StoreError::read)?.is_ok())
}

/// Whether a longer key is a part that its row announces.
fn is_part(tree: &sled::Tree, key: &[u8]) -> Result<bool, StoreError> {
    let Some((id, number)) = key.split_first_chunk::<16>() else { return Ok(false) };
    let Ok(number) = number.try_into().map(u16::from_be_bytes) else { return Ok(false) };
    let head = tree.get(id).map_err(StoreError::read)?;
    Ok(head.is_some_and(|head| number < parcel::n_parts(&head)))
}

fn part_key(id: &RowId, number: u16) -> Vec<u8> {
    [id.as_slice(), &number.to_be_bytes()].concat()
}
