//! Which chunks upserts wrote: the chunks of each origin in a vector store,
//! and the ids that an upsert was about to write when the server stopped.
//!
//! | key | value |
//! |---|---|
//! | `o` store(16) origin(16) [part(2)] | length(4) of the origin, it, and ids of its chunks |
//! | `a` store(16) announcement(16) [part(2)] | length(4) of nothing, and ids about to be written |
//!
//! Stores and origins are texts of any length, so their hashes stand in the
//! keys. The actor of a store alone writes its rows, so nothing is locked.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::disk::Disk;
use super::error::StoreError;
use super::parcel;
use super::queue::{Job, Queue};
use super::rows::Changes;
use super::verify::Verification;

/// The tree's name.
pub(super) const TREE: &str = "chunks";

const VERSION: u8 = 1;
const ORIGIN: u8 = b'o';
const ANNOUNCED: u8 = b'a';
/// Kind, store, and origin or announcement.
const KEY_BYTES: usize = 33;
const ID_BYTES: usize = 16;

type Key = [u8; KEY_BYTES];

/// The ledger. Clones share it. What it returns from is on the disk; all
/// methods need a tokio runtime.
#[derive(Debug, Clone)]
pub struct ChunkLedger {
    disk: Arc<Disk>,
    queue: Arc<Queue>,
}

impl ChunkLedger {
    pub(super) fn new(disk: Arc<Disk>, queue: Arc<Queue>) -> Self {
        Self { disk, queue }
    }

    /// The chunks of an origin.
    ///
    /// # Errors
    /// Those of reading a row.
    pub async fn chunks(&self, store: &str, origin: &str) -> Result<Vec<Uuid>, StoreError> {
        let (disk, key) = (self.disk.clone(), key(ORIGIN, store, hash(origin)));
        off_arbiter(move || {
            let tree = disk.tree(TREE)?;
            let head = tree.get(key).map_err(StoreError::read)?;
            let row = head.map(|head| row(&tree, &key, &head)).transpose()?;
            Ok(row.map(|(_, chunks)| chunks).unwrap_or_default())
        })
        .await
    }

    /// Every origin with its chunks.
    ///
    /// # Errors
    /// Those of reading a row.
    pub async fn entries(&self, store: &str) -> Result<Vec<(String, Vec<Uuid>)>, StoreError> {
        self.rows(prefix(ORIGIN, store)).await
    }

    /// Notes ids that are about to be written.
    ///
    /// # Errors
    /// Those of writing a row.
    pub async fn announce(&self, store: &str, chunks: &[Uuid]) -> Result<(), StoreError> {
        let key = key(ANNOUNCED, store, Uuid::new_v4().into_bytes());
        let mut changes = Changes::new();
        put(&mut changes, &key, "", chunks)?;
        self.write(changes).await
    }

    /// The ids that were announced and are not settled.
    ///
    /// # Errors
    /// Those of reading a row.
    pub async fn announced(&self, store: &str) -> Result<Vec<Uuid>, StoreError> {
        let rows = self.rows(prefix(ANNOUNCED, store)).await?;
        Ok(rows.into_iter().flat_map(|(_, chunks)| chunks).collect())
    }

    async fn rows(&self, prefix: Vec<u8>) -> Result<Vec<(String, Vec<Uuid>)>, StoreError> {
        let disk = self.disk.clone();
        off_arbiter(move || {
            let tree = disk.tree(TREE)?;
            let mut found = Vec::new();
            for met in tree.scan_prefix(prefix) {
                let (key, head) = met.map_err(StoreError::read)?;
                // Longer keys are the parts of long rows.
                if let Ok(key) = Key::try_from(key.as_ref()) {
                    found.push(row(&tree, &key, &head)?);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Forgets what was announced and replaces the chunks of these origins,
    /// all of it or nothing. An origin without chunks is forgotten.
    ///
    /// # Errors
    /// Those of reading and writing a row.
    pub async fn settle(
        &self,
        store: &str,
        origins: Vec<(String, Vec<Uuid>)>,
    ) -> Result<(), StoreError> {
        let (disk, store) = (self.disk.clone(), store.to_owned());
        let planned = off_arbiter(move || {
            let tree = disk.tree(TREE)?;
            let mut changes = removal(&tree, &prefix(ANNOUNCED, &store))?;
            for (origin, chunks) in origins {
                let key = key(ORIGIN, &store, hash(&origin));
                changes.extend(removal(&tree, &key)?);
                if !chunks.is_empty() {
                    put(&mut changes, &key, &origin, &chunks)?;
                }
            }
            Ok(changes)
        });
        self.write(planned.await?).await
    }

    /// Forgets the origins of all stores whose names begin with one of these;
    /// how many there were. A row that cannot be read is left alone.
    ///
    /// # Errors
    /// Those of reading and writing rows.
    pub async fn forget_origins(&self, prefixes: Vec<String>) -> Result<usize, StoreError> {
        let disk = self.disk.clone();
        let planned = off_arbiter(move || {
            let tree = disk.tree(TREE)?;
            let (mut changes, mut n_origins) = (Changes::new(), 0);
            for met in tree.scan_prefix([ORIGIN]) {
                let (key, head) = met.map_err(StoreError::read)?;
                let Ok(key) = Key::try_from(key.as_ref()) else { continue };
                let Ok((origin, _)) = row(&tree, &key, &head) else { continue };
                if prefixes.iter().any(|prefix| origin.starts_with(prefix)) {
                    changes.extend(removal(&tree, &key)?);
                    n_origins += 1;
                }
            }
            Ok((changes, n_origins))
        });
        let (changes, n_origins) = planned.await?;
        self.write(changes).await?;
        Ok(n_origins)
    }

    async fn write(&self, changes: Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.queue.ask(Job::ChangeRows { tree: TREE, changes }).await.map(|_| ())
    }
}

fn hash(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    short
}

fn prefix(kind: u8, store: &str) -> Vec<u8> {
    [&[kind], hash(store).as_slice()].concat()
}

fn key(kind: u8, store: &str, rest: [u8; 16]) -> Key {
    let mut key = [kind; KEY_BYTES];
    key[1..17].copy_from_slice(&hash(store));
    key[17..].copy_from_slice(&rest);
    key
}

fn part_key(key: &Key, number: u16) -> Vec<u8> {
    [key.as_slice(), &number.to_be_bytes()].concat()
}

fn put(changes: &mut Changes, key: &Key, origin: &str, chunks: &[Uuid]) -> Result<(), StoreError> {
    // A longer one is refused by the length of the whole.
    let length = u32::try_from(origin.len()).unwrap_or(u32::MAX);
    let mut payload = length.to_be_bytes().to_vec();
    payload.extend_from_slice(origin.as_bytes());
    payload.extend(chunks.iter().flat_map(|id| id.into_bytes()));
    let parcel = parcel::seal(VERSION, key, &payload)?;
    changes.push((key.to_vec(), Some(parcel.head)));
    let parts = (0..).zip(parcel.rest);
    changes.extend(parts.map(|(number, part)| (part_key(key, number), Some(part))));
    Ok(())
}

fn removal(tree: &sled::Tree, prefix: &[u8]) -> Result<Changes, StoreError> {
    let keys: Result<Vec<_>, _> = tree.scan_prefix(prefix).keys().collect();
    Ok(keys.map_err(StoreError::read)?.iter().map(|key| (key.to_vec(), None)).collect())
}

fn row(tree: &sled::Tree, key: &Key, head: &[u8]) -> Result<(String, Vec<Uuid>), StoreError> {
    let what = || "the record of a vector store's chunks".to_owned();
    let damaged = |why| StoreError::DamagedRecord { what: what(), why };
    let payload = open(tree, key, head)?.map_err(damaged)?;
    read(&payload).ok_or_else(|| damaged("it cannot be read"))
}

fn read(payload: &[u8]) -> Option<(String, Vec<Uuid>)> {
    let (length, rest) = payload.split_first_chunk()?;
    let (origin, ids) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let ids = ids.chunks(ID_BYTES).map(|id| Uuid::from_slice(id).ok()).collect::<Option<_>>()?;
    Some((String::from_utf8(origin.to_vec()).ok()?, ids))
}

fn open(
    tree: &sled::Tree,
    key: &Key,
    head: &[u8],
) -> Result<Result<Vec<u8>, &'static str>, StoreError> {
    parcel::open(VERSION, key, head, |number| tree.get(part_key(key, number)))
        .map_err(StoreError::read)
}

async fn off_arbiter<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // It fails only when the read panicked or the runtime shuts down.
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Panicked))
}

/// Looks at every row of the tree, which may be written meanwhile.
pub(super) fn verify(tree: &sled::Tree, found: &mut Verification) -> Result<(), StoreError> {
    for row in tree {
        let (key, head) = row.map_err(StoreError::read)?;
        let is_right = match Key::try_from(key.as_ref()) {
            Ok(key) => {
                found.count("rows", 1);
                // Written since it was met: it is read whole again.
                open(tree, &key, &head)?.is_ok()
                    || match tree.get(key).map_err(StoreError::read)? {
                        Some(head) => open(tree, &key, &head)?.is_ok(),
                        None => true,
                    }
            }
            Err(_) => is_part(tree, &key)? || !tree.contains_key(&key).map_err(StoreError::read)?,
        };
        if !is_right {
            let sentence = "records of chunks are damaged; fill the vector stores again";
            let shown: String = key.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
            found.problem("damagedChunks", sentence, format!("{shown} of {TREE}"));
        }
    }
    Ok(())
}

/// Whether a longer key is a part that its row announces.
fn is_part(tree: &sled::Tree, key: &[u8]) -> Result<bool, StoreError> {
    let Some((row, number)) = key.split_first_chunk::<KEY_BYTES>() else { return Ok(false) };
    let Ok(number) = number.try_into().map(u16::from_be_bytes) else { return Ok(false) };
    let head = tree.get(row).map_err(StoreError::read)?;
    Ok(head.is_some_and(|head| number < parcel::n_parts(&head)))
}
