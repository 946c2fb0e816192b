//! Keys of another installation, merged with those that are here. Pure: what
//! comes out is what is to be written.

use std::collections::HashSet;
use std::sync::Arc;

use parlor_schemas::{ApiKey, KeyDigest, Scope, Timestamp};

use super::super::table::RowId;
use super::{digest_of, flowise_hash, new_id, prefix_of, row_id};

/// What becomes of a key that exists already: by its id, its secret, or else
/// its name, as in Flowise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// The imported keys take the place of all.
    ReplaceAll,
    /// The imported one takes its place.
    OverwriteIfExist,
    /// It stays.
    IgnoreIfExist,
    /// Nothing is imported.
    ErrorIfExist,
}

/// How an import ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// As asked.
    Done,
    /// Not at all, since a key exists; its name.
    Exists(String),
    /// Not at all, since two imported keys have one id or one secret; the name
    /// of the second.
    Twice(String),
}

/// A key to be imported. It never expires and has no limit.
#[derive(Debug, Clone)]
pub struct ImportedKey {
    /// The id that it had.
    pub id: Option<String>,
    /// Shown to people.
    pub name: String,
    /// What it is recognized by.
    pub secret: ImportedSecret,
    /// What it opens.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_date: Timestamp,
}

/// What a key is recognized by. Made by parsing only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedSecret {
    digest: KeyDigest,
    prefix: String,
}

impl ImportedSecret {
    /// Of a key in clear, which goes on working.
    pub fn plain(key: &str) -> Self {
        Self { digest: digest_of(key), prefix: prefix_of(key) }
    }

    /// Of Flowise's hash of a key; `None` for a text that is none.
    pub fn flowise_hash(hash: &str) -> Option<Self> {
        let digest = KeyDigest::Scrypt(hash.to_owned());
        flowise_hash::is_hash(hash).then_some(Self { digest, prefix: String::new() })
    }
}

/// What an import writes.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub puts: Vec<(RowId, Arc<ApiKey>)>,
    pub deletes: Vec<RowId>,
}

/// Merges imported keys with the stored ones.
///
/// # Errors
/// The outcome, where it is not [`ImportOutcome::Done`].
pub(super) fn merge(
    stored: &[Arc<ApiKey>],
    imported: Vec<ImportedKey>,
    mode: ImportMode,
) -> Result<Merged, ImportOutcome> {
    let mut merged = Merged::default();
    if mode == ImportMode::ReplaceAll {
        merged.deletes.extend(stored.iter().filter_map(|key| row_id(&key.id)));
    }
    let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
    for key in imported {
        let existing = match mode {
            ImportMode::ReplaceAll => Vec::new(),
            _ => existing(stored, &key, &merged.deletes),
        };
        match (existing.first(), mode) {
            (Some(_), ImportMode::IgnoreIfExist) => continue,
            (Some(_), ImportMode::ErrorIfExist) => return Err(ImportOutcome::Exists(key.name)),
            _ => {}
        }
        merged.deletes.extend(existing.iter().filter_map(|key| row_id(&key.id)));
        let row = row(key, existing.first());
        let id = row_id(&row.id).ok_or_else(|| ImportOutcome::Twice(row.key_name.clone()))?;
        if !ids.insert(id) || !digests.insert(row.digest.clone()) {
            return Err(ImportOutcome::Twice(row.key_name));
        }
        merged.puts.push((id, Arc::new(row)));
    }
    Ok(merged)
}

/// The stored keys whose place an imported one would take.
fn existing<'k>(
    stored: &'k [Arc<ApiKey>],
    key: &ImportedKey,
    taken: &[RowId],
) -> Vec<&'k Arc<ApiKey>> {
    let row = key.id.as_deref().and_then(row_id);
    let now = Timestamp::now();
    let clashes = |own: &&Arc<ApiKey>| {
        (row.is_some() && row_id(&own.id) == row)
            || own.digests(now).chain([&own.digest]).any(|digest| *digest == key.secret.digest)
    };
    let found: Vec<_> = stored.iter().filter(clashes).collect();
    if !found.is_empty() {
        return found;
    }
    // Names are not unique: each imported key takes the place of one, the oldest.
    let is_free = |own: &Arc<ApiKey>| row_id(&own.id).is_some_and(|id| !taken.contains(&id));
    let named = stored.iter().find(|own| own.key_name == key.name && is_free(own));
    named.into_iter().collect()
}

fn row(key: ImportedKey, replaced: Option<&&Arc<ApiKey>>) -> ApiKey {
    // Chatflows name the id: a key that comes without one keeps that of its place.
    let id = key.id.or_else(|| replaced.map(|old| old.id.clone())).unwrap_or_else(new_id);
    ApiKey {
        id,
        key_name: key.name,
        digest: key.secret.digest,
        prefix: key.secret.prefix,
        scopes: key.scopes,
        created_date: key.created_date,
        expires_at: None,
        rate_limit: None,
        previous: None,
    }
}
