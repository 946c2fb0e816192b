//! Credentials of nodes, encrypted at rest with AES-256-GCM: a random nonce
//! for each write, and the credential's id as associated data, so that a
//! ciphertext moved to another row does not open.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parlor_schemas::{Credential, CredentialInfo};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::StoreError;
use super::lock::{private, sync_folder};
use super::table::Table;

const KEY_FILE: &str = "encryption.key";

/// The stored credentials. Reads are done in place; writes block until they
/// are on the disk. The errors are those of reading and writing a row, and
/// [`StoreError::WrongKey`].
pub struct Credentials {
    table: Table,
    cipher: Aes256Gcm,
}

/// Names are readable without the key, values are not.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    info: CredentialInfo,
    /// Nonce (12 bytes) and ciphertext, base64.
    sealed: String,
}

impl Credentials {
    /// Takes the key from `secret`, or else from the key file, which is made
    /// at the first start.
    pub(super) fn open(
        table: Table,
        data_dir: &Path,
        secret: Option<String>,
    ) -> Result<Self, StoreError> {
        let rows: Vec<(_, Row)> = table.list()?;
        let key = match secret {
            Some(secret) => Sha256::digest(secret.as_bytes()).into(),
            None => key_of_file(&data_dir.join(KEY_FILE), rows.is_empty())?,
        };
        let credentials = Self { table, cipher: Aes256Gcm::new(&key.into()) };
        // Found out at the start, not when the first chat of the day needs it.
        if let Some((_, row)) = rows.into_iter().next() {
            credentials.unseal(row)?;
        }
        Ok(credentials)
    }

    /// Grows with each change since the start.
    pub fn revision(&self) -> u64 {
        self.table.revision()
    }

    /// One credential, decrypted.
    pub fn get(&self, id: Uuid) -> Result<Option<Credential>, StoreError> {
        self.table.get(id.as_bytes())?.map(|row| self.unseal(row)).transpose()
    }

    /// All credentials without their values, oldest first.
    pub fn list(&self) -> Result<Vec<CredentialInfo>, StoreError> {
        let rows: Vec<(_, Row)> = self.table.list()?;
        let mut infos: Vec<_> = rows.into_iter().map(|(_, row)| row.info).collect();
        infos.sort_by_key(|info| (info.created_date, info.id));
        Ok(infos)
    }

    /// Stores a credential over what had its id.
    pub fn put(&self, credential: &Credential) -> Result<(), StoreError> {
        self.table.put(credential.id.as_bytes(), &self.seal(credential)?)
    }

    /// Deletes a credential; false where there was none.
    pub fn delete(&self, id: Uuid) -> Result<bool, StoreError> {
        self.table.delete(id.as_bytes())
    }

    fn seal(&self, credential: &Credential) -> Result<Row, StoreError> {
        let Credential { id, name, credential_name, plain_data, created_date, updated_date } =
            credential;
        let plain = serde_json::to_vec(plain_data).map_err(StoreError::Encode)?;
        let nonce: [u8; 12] = rand::random();
        let payload = Payload { msg: &plain, aad: id.as_bytes() };
        let sealed = self.cipher.encrypt(Nonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| StoreError::Cipher)?;
        let info = CredentialInfo {
            id: *id,
            name: name.clone(),
            credential_name: credential_name.clone(),
            created_date: *created_date,
            updated_date: *updated_date,
        };
        Ok(Row { info, sealed: STANDARD.encode([nonce.as_slice(), &sealed].concat()) })
    }

    fn unseal(&self, row: Row) -> Result<Credential, StoreError> {
        let Row { info, sealed } = row;
        let damaged = || StoreError::DamagedRecord {
            what: format!("credential {}", info.id),
            why: "its values cannot be read",
        };
        let sealed = STANDARD.decode(sealed).map_err(|_| damaged())?;
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or_else(damaged)?;
        let payload = Payload { msg: sealed, aad: info.id.as_bytes() };
        // The row's own checksum was right, so it is the key that is wrong.
        let plain = self.cipher.decrypt(Nonce::from_slice(nonce), payload);
        let plain = plain.map_err(|_| StoreError::WrongKey)?;
        Ok(Credential {
            id: info.id,
            plain_data: serde_json::from_slice(&plain).map_err(|_| damaged())?,
            name: info.name,
            credential_name: info.credential_name,
            created_date: info.created_date,
            updated_date: info.updated_date,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The key in the file; a new one where there is none and none is needed yet.
fn key_of_file(path: &Path, may_be_made: bool) -> Result<[u8; 32], StoreError> {
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            let read = file.take(64).read_to_end(&mut bytes);
            read.map_err(StoreError::io("reading encryption.key"))?;
            bytes.try_into().map_err(|_| StoreError::BadKeyFile)
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::Io { doing: "opening encryption.key", source: error })
        }
        Err(_) if may_be_made => make_key(path),
        Err(_) => Err(StoreError::MissingKey),
    }
}

/// The file appears whole or not at all: a half-written key would be
/// [`StoreError::BadKeyFile`] for ever after.
fn make_key(path: &Path) -> Result<[u8; 32], StoreError> {
    let key: [u8; 32] = rand::random();
    let doing = StoreError::io("making encryption.key");
    let unfinished = path.with_extension("key.new");
    let _ = std::fs::remove_file(&unfinished);
    let mut options = OpenOptions::new();
    let mut file =
        private(options.write(true).create_new(true)).open(&unfinished).map_err(&doing)?;
    file.write_all(&key).map_err(&doing)?;
    file.sync_all().map_err(&doing)?;
    std::fs::rename(&unfinished, path).map_err(&doing)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    sync_folder(folder).map_err(doing)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use parlor_schemas::Timestamp;
    use serde_json::json;

    use super::super::tests::{open, open_in};
    use super::super::{Store, StoreOptions};
    use super::*;

    fn credential(secret: &str) -> Credential {
        Credential {
            id: Uuid::new_v4(),
            name: "my-openai".to_owned(),
            credential_name: "openAIApi".to_owned(),
            plain_data: [("openAIApiKey".to_owned(), json!(secret))].into_iter().collect(),
            created_date: Timestamp::from_millis(1),
            updated_date: Timestamp::from_millis(2),
        }
    }

    #[test]
    fn a_credential_survives_a_restart_and_its_secret_is_nowhere_in_the_folder() {
        let (folder, store) = open();
        let credential = credential("sk-very-secret-value");
        store.credentials().put(&credential).unwrap();
        drop(store);
        let bytes = std::fs::read(folder.path().join("data/sled/db")).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"sk-very-"));
        let store = open_in(&folder);
        assert_eq!(store.credentials().get(credential.id).unwrap(), Some(credential));
        assert_eq!(store.credentials().list().unwrap()[0].name, "my-openai");
    }

    #[test]
    fn another_key_is_refused_at_the_start_with_a_clear_error() {
        let (folder, store) = open();
        store.credentials().put(&credential("s")).unwrap();
        drop(store);
        let data = folder.path().join("data");
        let other = StoreOptions { secret: Some("other".to_owned()), ..Default::default() };
        assert!(matches!(Store::open(&data, other), Err(StoreError::WrongKey)));
        std::fs::remove_file(data.join(KEY_FILE)).unwrap();
        let error = Store::open(&data, StoreOptions::default()).unwrap_err();
        assert!(matches!(error, StoreError::MissingKey));
        assert!(!data.join(KEY_FILE).exists(), "no new key may hide that the old one is lost");
        std::fs::write(data.join(KEY_FILE), "short").unwrap();
        let error = Store::open(&data, StoreOptions::default()).unwrap_err();
        assert!(matches!(error, StoreError::BadKeyFile));
    }

    #[test]
    fn a_secret_in_place_of_the_file_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let options = || StoreOptions { secret: Some("pass".to_owned()), ..Default::default() };
        let credential = credential("s");
        Store::open(folder.path(), options()).unwrap().credentials().put(&credential).unwrap();
        assert!(!folder.path().join(KEY_FILE).exists());
        let store = Store::open(folder.path(), options()).unwrap();
        assert_eq!(store.credentials().get(credential.id).unwrap(), Some(credential));
    }

    #[test]
    fn a_ciphertext_under_another_id_does_not_open() {
        let (_folder, store) = open();
        let (first, second) = (credential("first"), credential("second"));
        let mut row = store.credentials().seal(&first).unwrap();
        row.info.id = second.id;
        assert!(matches!(store.credentials().unseal(row), Err(StoreError::WrongKey)));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, _store) = open();
        let path = folder.path().join("data").join(KEY_FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
