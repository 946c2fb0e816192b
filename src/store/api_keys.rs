//! API keys. A key is 256 random bits, shown once and stored as its SHA-256:
//! nothing about it can be guessed, so no slow hash is needed, and a wrong key
//! costs microseconds. All rows are also held in memory, since every guarded
//! request asks for one. Only the hashes that Flowise made are slow to check;
//! each is checked once, when its key is first used, and replaced.

mod flowise_hash;
mod import;
mod index;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_schemas::{ApiKey, KeyDigest, KeyLimit, PreviousSecret, Scope, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use import::{ImportMode, ImportOutcome, ImportedKey, ImportedSecret};

use super::error::StoreError;
use super::table::{RowId, Table};
use index::Index;

/// Characters of a key that stay visible: enough to tell keys apart, and the
/// other 37 are still 222 random bits.
const PREFIX_CHARS: usize = 6;

/// What a new key is made of.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Shown to people.
    pub name: String,
    /// What it opens.
    pub scopes: Vec<Scope>,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// How often it may be used.
    pub rate_limit: Option<KeyLimit>,
}

impl NewKey {
    /// A key that never expires and has no limit.
    pub fn named(name: &str, scopes: &[Scope]) -> Self {
        Self { name: name.to_owned(), scopes: scopes.to_vec(), expires_at: None, rate_limit: None }
    }
}

/// The stored keys. Writes block until they are on the disk; their errors are
/// those of writing a row.
#[derive(Debug)]
pub struct ApiKeys {
    table: Table,
    index: RwLock<Index>,
    /// Held while a row is read, changed and written back.
    changing: Mutex<()>,
}

impl ApiKeys {
    pub(super) fn open(table: Table) -> Result<Self, StoreError> {
        let rows = table.list::<ApiKey>()?.into_iter();
        let index = Index::of(rows.map(|(id, key)| (id, Arc::new(key))).collect());
        Ok(Self { table, index: RwLock::new(index), changing: Mutex::default() })
    }

    /// Makes a key: its row, and the key itself, 43 characters of base64url,
    /// which is not stored anywhere.
    pub fn create(&self, new: NewKey) -> Result<(ApiKey, String), StoreError> {
        let plain = new_secret();
        let key = ApiKey {
            id: new_id(),
            key_name: new.name,
            digest: digest_of(&plain),
            prefix: prefix_of(&plain),
            scopes: new.scopes,
            created_date: Timestamp::now(),
            expires_at: new.expires_at,
            rate_limit: new.rate_limit,
            previous: None,
        };
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&key)?;
        Ok((key, plain))
    }

    /// The row of the key that a caller brought, if it opens anything now.
    pub fn find(&self, plain: &str) -> Option<Arc<ApiKey>> {
        self.read().find(&sha256(plain), Timestamp::now())
    }

    /// Whether a key that [`Self::find`] does not know may be one of which only
    /// Flowise's hash was imported: how many hashes [`Self::prove`] would check.
    pub fn n_unproven(&self, plain: &str) -> usize {
        if !flowise_hash::may_be_a_key(plain) {
            return 0;
        }
        self.read().unproven(Timestamp::now()).len()
    }

    /// Looks for a key among the imported hashes, and replaces the one that it
    /// belongs to. Takes 70 ms of CPU and 16 MiB for each hash: call it off the
    /// arbiters and behind a limit.
    pub fn prove(&self, plain: &str) -> Result<Option<Arc<ApiKey>>, StoreError> {
        let unproven = self.read().unproven(Timestamp::now());
        let proven = unproven.into_iter().find(|(_, hash)| flowise_hash::matches(hash, plain));
        let Some((id, hash)) = proven else { return Ok(None) };
        let old = KeyDigest::Scrypt(hash);
        self.update(&id, |key| {
            if key.digest == old {
                key.digest = digest_of(plain);
                key.prefix = prefix_of(plain);
            } else if let Some(previous) = &mut key.previous
                && previous.digest == old
            {
                previous.digest = digest_of(plain);
            }
        })?;
        Ok(self.find(plain))
    }

    /// One key by its id.
    pub fn get(&self, id: &str) -> Option<Arc<ApiKey>> {
        let row = row_id(id)?;
        self.read().rows.get(&row).filter(|key| key.id == id).cloned()
    }

    /// All keys, oldest first.
    pub fn list(&self) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = self.read().rows.values().cloned().collect();
        keys.sort_by(|a, b| (a.created_date, &a.id).cmp(&(b.created_date, &b.id)));
        keys
    }

    /// Changes a key; `None` where there is none.
    pub fn update(
        &self,
        id: &str,
        change: impl FnOnce(&mut ApiKey),
    ) -> Result<Option<Arc<ApiKey>>, StoreError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut key) = self.get(id).map(|key| (*key).clone()) else { return Ok(None) };
        change(&mut key);
        key.previous = key.previous.filter(|old| Timestamp::now() < old.valid_until);
        self.put(&key)?;
        Ok(Some(Arc::new(key)))
    }

    /// Gives a key a new secret, which is returned; the old one opens as much
    /// until `overlap_ms` have passed. `None` where there is no such key.
    pub fn rotate(&self, id: &str, overlap_ms: i64) -> Result<Option<String>, StoreError> {
        let plain = new_secret();
        let rotated = self.update(id, |key| {
            let old = std::mem::replace(&mut key.digest, digest_of(&plain));
            let valid_until = Timestamp::now().plus_millis(overlap_ms);
            key.previous = Some(PreviousSecret { digest: old, valid_until });
            key.prefix = prefix_of(&plain);
        })?;
        Ok(rotated.map(|_| plain))
    }

    /// Deletes a key, which opens nothing from then on; false where there was none.
    pub fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(_), Some(row)) = (self.get(id), row_id(id)) else { return Ok(false) };
        // Out of memory first: a key whose deletion failed half-way must not open anything.
        self.reindex(|rows| {
            rows.remove(&row);
        });
        self.table.delete(&row)
    }

    /// What is stored in place of a key: its SHA-256 in hex.
    pub fn digest(plain: &str) -> String {
        sha256(plain)
    }

    /// Stores a key that was made elsewhere, by its digest; false where the
    /// same key has a row already.
    pub fn adopt(&self, key: &ApiKey) -> Result<bool, StoreError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.list().iter().any(|known| known.digest == key.digest) {
            return Ok(false);
        }
        self.put(key)?;
        Ok(true)
    }

    /// Takes keys of another installation, all of them or none.
    pub fn import(
        &self,
        keys: Vec<ImportedKey>,
        mode: ImportMode,
    ) -> Result<ImportOutcome, StoreError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let merged = match import::merge(&self.list(), keys, mode) {
            Ok(merged) => merged,
            Err(refused) => return Ok(refused),
        };
        let puts: Vec<_> = merged.puts.iter().map(|(id, key)| (*id, &**key)).collect();
        self.table.change(&puts, &merged.deletes)?;
        self.reindex(|rows| {
            for id in &merged.deletes {
                rows.remove(id);
            }
            rows.extend(merged.puts.iter().map(|(id, key)| (*id, key.clone())));
        });
        Ok(ImportOutcome::Done)
    }

    fn put(&self, key: &ApiKey) -> Result<(), StoreError> {
        // No row is made with an id that is none.
        let id = row_id(&key.id).ok_or(StoreError::Panicked)?;
        self.table.put(&id, key)?;
        self.reindex(|rows| {
            rows.insert(id, Arc::new(key.clone()));
        });
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the rows in memory. Keys change rarely, so all is indexed anew.
    fn reindex(&self, change: impl FnOnce(&mut index::Rows)) {
        let mut rows = self.read().rows.clone();
        change(&mut rows);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Index::of(rows);
    }
}

fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn new_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

fn prefix_of(plain: &str) -> String {
    plain.chars().take(PREFIX_CHARS).collect()
}

fn digest_of(plain: &str) -> KeyDigest {
    KeyDigest::Sha256(sha256(plain))
}

fn sha256(plain: &str) -> String {
    hex(&Sha256::digest(plain.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

/// The row of an id: 32 hex digits as Flowise's file has them, or a UUID as its
/// database has.
fn row_id(id: &str) -> Option<RowId> {
    matches!(id.len(), 32 | 36).then(|| Uuid::try_parse(id).ok()).flatten().map(Uuid::into_bytes)
}
