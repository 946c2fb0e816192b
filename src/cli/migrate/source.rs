//! Finds what belongs to an installation: its database or export, the key of
//! its credentials, its file of API keys, its uploads.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use super::database::{Database, Record};
use super::export;
use super::secret;

/// The environment variable that replaces Flowise's key file.
const OVERWRITE: &str = "FLOWISE_SECRETKEY_OVERWRITE";

/// A Flowise installation, open for reading.
pub(super) struct Source {
    pub database: Database,
    /// Rows of `api.json`.
    pub api_json: Vec<Record>,
    /// Whether the file itself was an export, which carries no secrets.
    pub is_export: bool,
    /// Where uploaded files lie; an export has none.
    pub storage: Option<PathBuf>,
    /// Whether the environment gives the key, which a server takes for its own too.
    pub secret_is_own: bool,
    passphrase: Option<String>,
}

/// Why a credential could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// No key was found.
    NoKey,
    /// The key is another one.
    WrongKey,
    /// The secret is not in the database at all.
    Elsewhere,
}

impl Source {
    /// Opens a folder, a database file or an export.
    ///
    /// # Errors
    /// One sentence.
    pub fn open(path: &Path, secret: Option<&Path>) -> anyhow::Result<Self> {
        let file = if path.is_dir() { path.join("database.sqlite") } else { path.to_owned() };
        if !file.is_file() {
            bail!("{} is not there; name Flowise's folder or a file of it", file.display());
        }
        let passphrase = passphrase(&file, secret)?;
        let is_export = starts_with_brace(&file)?;
        let database = if is_export { export::open(&file) } else { Database::open(&file) };
        let database = database.with_context(|| format!("cannot read {}", file.display()))?;
        let beside = |name: &str| -> Option<PathBuf> { Some(file.parent()?.join(name)) };
        let (mut api_json, mut storage) = (Vec::new(), None);
        if !is_export {
            api_json = beside("api.json").map_or(Ok(Vec::new()), |path| keys(&path))?;
            storage = beside("storage");
        }
        let secret_is_own = secret.is_none() && overwrite().is_some();
        Ok(Self { database, api_json, is_export, storage, secret_is_own, passphrase })
    }

    /// The fields of an encrypted credential.
    pub fn unlock(&self, encrypted: &str) -> Result<Record, Locked> {
        // What AWS keeps stands in the column by its name.
        if encrypted.starts_with("FlowiseCredential_") {
            return Err(Locked::Elsewhere);
        }
        let passphrase = self.passphrase.as_deref().ok_or(Locked::NoKey)?;
        // An editor may have ended the file with a line break.
        let fields = secret::decrypt(encrypted, passphrase)
            .or_else(|| secret::decrypt(encrypted, passphrase.trim_end()));
        fields.ok_or(Locked::WrongKey)
    }
}

/// As Flowise looks for it, after what was named: the environment, the file.
fn passphrase(database: &Path, secret: Option<&Path>) -> anyhow::Result<Option<String>> {
    if let Some(path) = secret {
        let read = std::fs::read_to_string(path);
        return read.map(Some).with_context(|| format!("cannot read {}", path.display()));
    }
    if let Some(text) = overwrite() {
        return Ok(Some(text));
    }
    let beside = database.parent().map(|folder| folder.join("encryption.key"));
    Ok(beside.and_then(|path| std::fs::read_to_string(path).ok()))
}

fn overwrite() -> Option<String> {
    std::env::var(OVERWRITE).ok().filter(|text| !text.is_empty())
}

fn starts_with_brace(path: &Path) -> anyhow::Result<bool> {
    let mut head = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(64).read_to_end(&mut head)?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    Ok(head.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'[')))
}

fn keys(path: &Path) -> anyhow::Result<Vec<Record>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let rows: Vec<Value> =
        serde_json::from_str(&text).context("api.json is no list of API keys")?;
    let object = |row| if let Value::Object(row) = row { Some(row) } else { None };
    Ok(rows.into_iter().filter_map(object).collect())
}
