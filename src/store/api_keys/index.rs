//! All keys in memory, found by what a caller brings.

use std::collections::HashMap;
use std::sync::Arc;

use parlor_schemas::{ApiKey, KeyDigest, Timestamp};
use subtle::ConstantTimeEq;

use super::super::table::RowId;

pub(super) type Rows = HashMap<RowId, Arc<ApiKey>>;

/// The keys by row and by digest.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub rows: Rows,
    by_sha256: HashMap<String, RowId>,
    /// Rows with a digest that only Flowise's slow hash can tell.
    slow: Vec<RowId>,
}

impl Index {
    pub fn of(rows: Rows) -> Self {
        let mut by_sha256 = HashMap::with_capacity(rows.len());
        let mut slow = Vec::new();
        // Replaced secrets first: where one is also somebody's present secret, that wins.
        let previous =
            rows.iter().filter_map(|(id, key)| Some((id, &key.previous.as_ref()?.digest)));
        let present = rows.iter().map(|(id, key)| (id, &key.digest));
        for (id, digest) in previous.chain(present) {
            match digest {
                KeyDigest::Sha256(hex) => drop(by_sha256.insert(hex.clone(), *id)),
                KeyDigest::Scrypt(_) => slow.push(*id),
            }
        }
        slow.dedup();
        Self { rows, by_sha256, slow }
    }

    /// The key with this SHA-256, if it opens anything at this instant.
    pub fn find(&self, sha256: &str, now: Timestamp) -> Option<Arc<ApiKey>> {
        let key = self.rows.get(self.by_sha256.get(sha256)?)?;
        // The look-up may tell by its time how far two digests agree, which
        // says nothing about a key; the last word is constant in time anyway.
        let same = |own: &KeyDigest| match own {
            KeyDigest::Sha256(hex) => hex.as_bytes().ct_eq(sha256.as_bytes()).into(),
            KeyDigest::Scrypt(_) => false,
        };
        key.digests(now).any(same).then(|| key.clone())
    }

    /// The imported hashes that are recognized at this instant, with their ids.
    pub fn unproven(&self, now: Timestamp) -> Vec<(String, String)> {
        let keys = self.slow.iter().filter_map(|id| self.rows.get(id));
        let hashes = keys.flat_map(|key| {
            key.digests(now).filter_map(|digest| match digest {
                KeyDigest::Scrypt(hash) => Some((key.id.clone(), hash.clone())),
                KeyDigest::Sha256(_) => None,
            })
        });
        hashes.collect()
    }
}
