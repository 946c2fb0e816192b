//! All collections. A name is any text; its hash names the folder, so nothing
//! of it becomes a path.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_nodes::NodeError;
use parlor_nodes::retrieval::{EmbeddedIndex, IndexShelf};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex as AsyncMutex;

use super::collection::{Collection, remove_folder};
use super::manifest::Manifest;
use super::upsert::Handle;
use super::{FOLDER, pool};
use crate::store::archive::hex;
use crate::store::error::StoreError;

/// Collections that stay in memory when nobody uses them.
const MAX_OPEN: usize = 32;
/// About their bytes; one that is larger stays alone.
const MAX_OPEN_BYTES: usize = 1 << 30;
/// Names that are remembered before those that are not open are forgotten.
const MAX_SLOTS: usize = 1_024;

/// The collections of a data folder. Clones share them.
#[derive(Clone)]
pub struct Shelf(Arc<Inner>);

struct Inner {
    root: PathBuf,
    max_open: usize,
    max_bytes: usize,
    slots: Mutex<HashMap<String, Slot>>,
    /// The latest used last.
    recent: Mutex<VecDeque<Arc<Collection>>>,
}

/// One folder's place: who opens it holds the lock, so that it is read once
/// and never open twice.
type Slot = Arc<AsyncMutex<Weak<Collection>>>;

impl Shelf {
    /// The collections of a data folder; nothing is read yet.
    pub fn new(data_dir: &Path) -> Self {
        Self::bounded(data_dir, MAX_OPEN, MAX_OPEN_BYTES)
    }

    /// With at most `max_open` collections in memory that nobody uses, of about
    /// so many bytes together.
    pub(super) fn bounded(data_dir: &Path, max_open: usize, max_bytes: usize) -> Self {
        let (slots, recent) = (Mutex::default(), Mutex::default());
        let root = data_dir.join(FOLDER);
        Self(Arc::new(Inner { root, max_open, max_bytes, slots, recent }))
    }

    async fn collection(&self, name: &str) -> Result<Arc<Collection>, NodeError> {
        let hash = hash(name);
        let mut open = self.0.slot(&hash).lock_owned().await;
        if let Some(collection) = open.upgrade() {
            drop(open);
            self.0.used(&collection);
            return Ok(collection);
        }
        let (shelf, name) = (self.0.clone(), name.to_owned());
        let read = move || {
            let (folder, shown) = (shelf.root.join(&hash), format!("{FOLDER}/{hash}"));
            let collection = Arc::new(Collection::open(folder, shown, &name)?);
            *open = Arc::downgrade(&collection);
            shelf.used(&collection);
            // It came along with the work: who leaves lets no second reader in,
            // whose upserts this one would sweep away.
            drop(open);
            Ok(collection)
        };
        pool::blocking(read).await
    }

    /// Removes the collections whose names begin so; how many there were.
    ///
    /// # Errors
    /// [`StoreError::Io`]. Manifests that cannot be read are left alone.
    pub async fn remove_prefix(&self, prefix: &str) -> Result<usize, NodeError> {
        let (root, prefix) = (self.0.root.clone(), prefix.to_owned());
        let is_one = move |name: &str| name.starts_with(&prefix);
        let hashes = pool::blocking(move || Ok(hashes_of(&root, is_one))).await?;
        for hash in &hashes {
            let mut open = self.0.slot(hash).lock_owned().await;
            let held = std::mem::take(&mut *open).upgrade();
            if let Some(held) = &held {
                self.0.forget(held);
            }
            let folder = self.0.root.join(hash);
            let remove = move || {
                let _open = open;
                match held {
                    Some(collection) => Ok(collection.remove()?),
                    None => Ok(remove_folder(&folder)?),
                }
            };
            pool::blocking(remove).await?;
        }
        Ok(hashes.len())
    }

    /// Removes collections before anybody can open one: those of chatflows
    /// that were deleted while the server stopped, or while an upsert ran.
    pub(in crate::store) fn sweep(&self, is_gone: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let gone = hashes_of(&self.0.root, is_gone);
        gone.iter().try_for_each(|hash| remove_folder(&self.0.root.join(hash)))
    }
}

#[cfg(test)]
impl Shelf {
    /// Whether a collection is in memory, once nobody opens it any more.
    pub(super) async fn holds(&self, name: &str) -> bool {
        self.0.slot(&hash(name)).lock().await.strong_count() > 0
    }

    /// As long as this is held, nobody who opens a collection is done.
    pub(super) fn delay(&self) -> impl Drop {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a search would see now.
    pub(super) async fn snapshot(&self, name: &str) -> Arc<parlor_nodes::vector_index::Snapshot> {
        self.collection(name).await.unwrap().snapshot()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl IndexShelf for Shelf {
    fn open<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Arc<dyn EmbeddedIndex>, NodeError>> {
        async move {
            let handle: Arc<dyn EmbeddedIndex> = Arc::new(Handle(self.collection(name).await?));
            Ok(handle)
        }
        .boxed()
    }
}

impl Inner {
    fn slot(&self, hash: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_SLOTS {
            // Who holds a slot holds a second reference to it.
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1
                    || slot.try_lock().map_or(true, |open| open.strong_count() > 0)
            });
        }
        slots.entry(hash.to_owned()).or_default().clone()
    }

    /// Notes that a collection was used, and lets go of those that were not
    /// for the longest time.
    fn used(&self, collection: &Arc<Collection>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|other| !Arc::ptr_eq(other, collection));
        recent.push_back(collection.clone());
        let mut n_bytes: usize = recent.iter().map(|open| open.n_bytes()).sum();
        let mut left = Vec::new();
        while recent.len() > self.max_open || n_bytes > self.max_bytes && recent.len() > 1 {
            let Some(oldest) = recent.pop_front() else { break };
            n_bytes = n_bytes.saturating_sub(oldest.n_bytes());
            left.push(oldest);
        }
        drop(recent);
        // A large one takes a moment to free: not under the lock.
        drop(left);
    }

    fn forget(&self, collection: &Arc<Collection>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|other| !Arc::ptr_eq(other, collection));
    }
}

/// The folder of a collection.
pub(super) fn hash(name: &str) -> String {
    let mut hash = hex(&Sha256::digest(name.as_bytes()));
    hash.truncate(32);
    hash
}

fn hashes_of(root: &Path, is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = root.read_dir() else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_named = |hash: &String| {
        let manifest = Manifest::read(&root.join(hash)).ok().flatten();
        manifest
            .is_some_and(|manifest| is_one(&manifest.name) && self::hash(&manifest.name) == *hash)
    };
    names.filter(is_named).collect()
}
