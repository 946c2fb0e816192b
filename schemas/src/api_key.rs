//! API keys: what is stored of one, and what it opens. The key itself is shown
//! once and never stored.

use serde::{Deserialize, Serialize};

use crate::access::Scope;
use crate::time::Timestamp;

/// A stored API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// 32 hex digits, or the id that an imported key had; what a chatflow's
    /// `apikeyid` names.
    pub id: String,
    /// Shown to people.
    pub key_name: String,
    /// What the key is recognized by.
    pub digest: KeyDigest,
    /// First characters, so that people can tell keys apart; empty where only
    /// a hash was imported.
    pub prefix: String,
    /// What the key opens.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_date: Timestamp,
    /// From when on it opens nothing.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How often it may be used.
    #[serde(default)]
    pub rate_limit: Option<KeyLimit>,
    /// The secret that the last rotation replaced, while both are valid.
    #[serde(default)]
    pub previous: Option<PreviousSecret>,
}

/// What a key is recognized by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum KeyDigest {
    /// SHA-256 of the key, hex: 256 random bits need no slow hash.
    Sha256(String),
    /// Flowise's `apiSecret`, `<scrypt, 128 hex>.<salt>`, of an imported key
    /// that has not been used here yet.
    Scrypt(String),
}

const SCRYPT: &str = "scrypt:";

impl From<String> for KeyDigest {
    fn from(text: String) -> Self {
        match text.strip_prefix(SCRYPT) {
            Some(hash) => Self::Scrypt(hash.to_owned()),
            None => Self::Sha256(text),
        }
    }
}

impl From<KeyDigest> for String {
    fn from(digest: KeyDigest) -> Self {
        match digest {
            KeyDigest::Sha256(hex) => hex,
            KeyDigest::Scrypt(hash) => format!("{SCRYPT}{hash}"),
        }
    }
}

/// How often a key may be used: `limitMax` requests in `limitDuration` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyLimit {
    /// Requests in one window, at least 1.
    #[schema(minimum = 1)]
    pub limit_max: u32,
    /// Seconds that a window lasts, at least 1.
    #[schema(minimum = 1)]
    pub limit_duration: u32,
}

/// The secret before the last rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecret {
    /// What it is recognized by.
    pub digest: KeyDigest,
    /// From when on it opens nothing.
    pub valid_until: Timestamp,
}

impl ApiKey {
    /// Whether the key opens anything at this instant.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// The digests that are recognized at this instant.
    pub fn digests(&self, now: Timestamp) -> impl Iterator<Item = &KeyDigest> {
        let previous = self.previous.as_ref().filter(move |old| now < old.valid_until);
        let all = std::iter::once(&self.digest).chain(previous.map(|old| &old.digest));
        all.filter(move |_| self.is_valid(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_from_before_expiry_and_rotation_is_still_a_key() {
        let row = r#"{"id":"0","keyName":"k","digest":"ab","prefix":"p","scopes":["predict"],
            "createdDate":"2026-11-23T07:57:02.037Z"}"#;
        let key: ApiKey = serde_json::from_str(row).unwrap();
        assert_eq!(key.digest, KeyDigest::Sha256("ab".into()));
        assert!(key.is_valid(Timestamp::from_millis(i64::MAX)));
        let scrypt = KeyDigest::Scrypt("ff.5a".into());
        let text = serde_json::to_string(&scrypt).unwrap();
        assert_eq!(text, "\"scrypt:ff.5a\"");
        assert_eq!(serde_json::from_str::<KeyDigest>(&text).unwrap(), scrypt);
    }
}
