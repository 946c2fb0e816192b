//! API keys. A key is 256 random bits, shown once and stored as its SHA-256:
//! nothing about it can be guessed, so no slow hash is needed, and a wrong key
//! costs microseconds. All rows are also held in memory, since every guarded
//! request asks for one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_schemas::{ApiKey, Scope, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::error::StoreError;
use super::table::Table;

/// Characters of a key that stay visible: enough to tell keys apart, and the
/// other 37 are still 222 random bits.
const PREFIX_CHARS: usize = 6;

/// The stored keys. Writes block until they are on the disk; their errors are
/// those of writing a row.
#[derive(Debug)]
pub struct ApiKeys {
    table: Table,
    by_digest: RwLock<HashMap<String, Arc<ApiKey>>>,
}

impl ApiKeys {
    pub(super) fn open(table: Table) -> Result<Self, StoreError> {
        let rows = table.list::<ApiKey>()?.into_iter();
        let by_digest = rows.map(|(_, key)| (key.digest.clone(), Arc::new(key))).collect();
        Ok(Self { table, by_digest: RwLock::new(by_digest) })
    }

    /// Makes a key: its row, and the key itself, 43 characters of base64url,
    /// which is not stored anywhere.
    pub fn create(&self, name: &str, scopes: &[Scope]) -> Result<(ApiKey, String), StoreError> {
        let plain = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let id = rand::random::<[u8; 16]>();
        let key = ApiKey {
            id: hex(&id),
            key_name: name.to_owned(),
            digest: digest(&plain),
            prefix: plain.chars().take(PREFIX_CHARS).collect(),
            scopes: scopes.to_vec(),
            created_date: Timestamp::now(),
        };
        self.put(&key)?;
        Ok((key, plain))
    }

    /// What is stored in place of a key: its SHA-256 in hex.
    pub fn digest(plain: &str) -> String {
        digest(plain)
    }

    /// Stores a key that was made elsewhere, by its digest; false where the
    /// same key has a row already.
    pub fn adopt(&self, key: &ApiKey) -> Result<bool, StoreError> {
        let all = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        let is_known = all.contains_key(&key.digest);
        drop(all);
        if !is_known {
            self.put(key)?;
        }
        Ok(!is_known)
    }

    /// The row of the key that a caller brought.
    pub fn find(&self, plain: &str) -> Option<Arc<ApiKey>> {
        let digest = digest(plain);
        let all = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        let key = all.get(&digest)?;
        // The look-up may tell by its time how far two digests agree, which
        // says nothing about a key; the last word is constant in time anyway.
        bool::from(key.digest.as_bytes().ct_eq(digest.as_bytes())).then(|| key.clone())
    }

    /// One key by its id.
    pub fn get(&self, id: &str) -> Option<Arc<ApiKey>> {
        let all = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        all.values().find(|key| key.id == id).cloned()
    }

    /// All keys, oldest first.
    pub fn list(&self) -> Vec<Arc<ApiKey>> {
        let all = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<_> = all.values().cloned().collect();
        keys.sort_by(|a, b| (a.created_date, &a.id).cmp(&(b.created_date, &b.id)));
        keys
    }

    /// Gives a key another name; `None` where there is none.
    pub fn rename(&self, id: &str, name: &str) -> Result<Option<Arc<ApiKey>>, StoreError> {
        let Some(key) = self.get(id) else { return Ok(None) };
        self.put(&ApiKey { key_name: name.to_owned(), ..(*key).clone() })?;
        Ok(self.get(id))
    }

    /// Deletes a key, which opens nothing from then on; false where there was none.
    pub fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let (Some(key), Some(row)) = (self.get(id), row_id(id)) else { return Ok(false) };
        // Out of memory first: a key whose deletion failed half-way must not open anything.
        self.write().remove(&key.digest);
        self.table.delete(&row)
    }

    fn put(&self, key: &ApiKey) -> Result<(), StoreError> {
        // Ids are made here alone, so that each one is a row's.
        let row = row_id(&key.id).ok_or(StoreError::Panicked)?;
        self.table.put(&row, key)?;
        self.write().insert(key.digest.clone(), Arc::new(key.clone()));
        Ok(())
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<ApiKey>>> {
        self.by_digest.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(plain: &str) -> String {
    hex(&Sha256::digest(plain.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn row_id(id: &str) -> Option<[u8; 16]> {
    (id.len() == 32).then(|| Uuid::try_parse(id).ok()).flatten().map(Uuid::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, open_in};
    use super::*;

    #[test]
    fn a_key_is_found_by_its_whole_text_only_also_after_a_restart() {
        let (folder, store) = open();
        let (row, plain) = store.api_keys().create("first", &[Scope::Predict]).unwrap();
        assert_eq!(plain.len(), 43);
        assert_eq!((row.id.len(), row.digest.len()), (32, 64));
        assert!(plain.starts_with(&row.prefix));
        drop(store);
        let store = open_in(&folder);
        assert_eq!(*store.api_keys().find(&plain).unwrap(), row);
        for wrong in ["", &row.prefix, &plain[..42], &format!("{plain} "), &row.digest] {
            assert!(store.api_keys().find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_key_itself_is_nowhere_in_the_data_folder() {
        let (folder, store) = open();
        let (_, plain) = store.api_keys().create("first", &Scope::ALL).unwrap();
        drop(store);
        let bytes = std::fs::read(folder.path().join("data/sled/db")).unwrap();
        assert!(!bytes.windows(plain.len()).any(|window| window == plain.as_bytes()));
    }

    #[test]
    fn a_renamed_key_still_opens_and_a_deleted_one_does_not() {
        let (_folder, store) = open();
        let keys = store.api_keys();
        let (row, plain) = keys.create("old", &Scope::ALL).unwrap();
        let (other, _) = keys.create("other", &[]).unwrap();
        assert_eq!(keys.rename(&row.id, "new").unwrap().unwrap().key_name, "new");
        assert_eq!(keys.find(&plain).unwrap().key_name, "new");
        assert!(keys.delete(&row.id).unwrap());
        assert!(!keys.delete(&row.id).unwrap());
        assert!(keys.find(&plain).is_none());
        assert_eq!(keys.list().iter().map(|key| &key.id).collect::<Vec<_>>(), [&other.id]);
        assert!(keys.rename("no such id", "x").unwrap().is_none());
    }
}
