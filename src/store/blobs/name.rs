//! Names under which uploaded files lie. A name is parsed before a file is
//! touched: what comes out of here has no separator and no leading dot.

use std::fmt;

use parlor_schemas::{ChatId, ChatflowId};
use sha2::{Digest, Sha256};

/// Longest file name in bytes; file systems take 255, and a note's mark goes before it.
pub const MAX_NAME_BYTES: usize = 200;

/// Characters that Flowise's sanitizer drops from a name.
const DROPPED: &[char] = &['/', '\\', '?', '<', '>', ':', '*', '|', '"'];

/// Goes before the name of a file's note; no file's own name begins with a dot.
const NOTE: &str = ".note.";

/// Why a text names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing is left of it.
    #[error("names no file")]
    Empty,
    /// Over 200 bytes.
    #[error("is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A control character or NUL.
    #[error("holds a control character")]
    ControlCharacter,
    /// It tries to lead somewhere else.
    #[error("is a path; a plain name is expected")]
    Path,
}

/// The name of a stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobName(String);

impl BlobName {
    /// The name that an upload gets. As in Flowise, what cannot stand in a
    /// file name is dropped and leading dots are removed: `../a/b?.png`
    /// becomes `ab.png`.
    ///
    /// # Errors
    /// [`BadName`] when nothing is left, or when the name is no text for people.
    pub fn of_upload(text: &str) -> Result<Self, BadName> {
        if text.len() > MAX_NAME_BYTES {
            return Err(BadName::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(BadName::ControlCharacter);
        }
        let kept: String = text.chars().filter(|ch| !DROPPED.contains(ch)).collect();
        let kept = kept.trim_start_matches('.').trim_end_matches(['.', ' ']);
        if kept.is_empty() { Err(BadName::Empty) } else { Ok(Self(kept.to_owned())) }
    }

    /// The name in a request for a file: one that tries to lead out of its
    /// folder is refused instead of being tidied.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn of_request(text: &str) -> Result<Self, BadName> {
        if text.contains(['/', '\\']) || text.starts_with("..") {
            return Err(BadName::Path);
        }
        Self::of_upload(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the note beside the file: the text that a model was shown of it.
    pub(super) fn note(&self) -> String {
        format!("{NOTE}{}", self.0)
    }
}

/// The folder of one chat: chatflows share none, and a chat's id is hashed, so
/// that it may hold any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobFolder {
    pub(super) chatflow: String,
    pub(super) chat: String,
}

/// Files of the chatflow itself lie here; no hash of a chat id is this word.
const OF_CHATFLOW: &str = "files";

impl BlobFolder {
    /// The folder of the files that a chatflow keeps for its loaders.
    pub fn of_chatflow(chatflow: ChatflowId) -> Self {
        Self { chatflow: chatflow.to_string(), chat: OF_CHATFLOW.to_owned() }
    }

    /// The folder of a chat.
    pub fn of(chatflow: ChatflowId, chat: &ChatId) -> Self {
        let hash = Sha256::digest(chat.as_str().as_bytes());
        let chat = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { chatflow: chatflow.to_string(), chat }
    }

    /// The same, for a chat that holds files: an id that is made like a path
    /// is no client's own.
    ///
    /// # Errors
    /// [`BadName::Path`].
    pub fn checked(chatflow: ChatflowId, chat: &ChatId) -> Result<Self, BadName> {
        let id = chat.as_str();
        let climbs = id.split(['/', '\\']).any(|part| part == "." || part == "..");
        if climbs || id.starts_with(['/', '\\']) {
            return Err(BadName::Path);
        }
        Ok(Self::of(chatflow, chat))
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_tidied_as_flowise_does() {
        for (given, expected) in [
            ("dot.png", "dot.png"),
            ("../a/b?.png", "ab.png"),
            ("..\\..\\etc\\passwd", "etcpasswd"),
            ("Übung für Ann.pdf", "Übung für Ann.pdf"),
            (".htaccess", "htaccess"),
            ("a..b.txt. ", "a..b.txt"),
            ("%2e%2e%2fx", "%2e%2e%2fx"),
        ] {
            assert_eq!(BlobName::of_upload(given).unwrap().as_str(), expected, "{given}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (given, expected) in [
            ("", BadName::Empty),
            ("..", BadName::Empty),
            ("/./", BadName::Empty),
            ("a\0.png", BadName::ControlCharacter),
            ("a\r\nSet-Cookie: x", BadName::ControlCharacter),
            (long.as_str(), BadName::TooLong),
        ] {
            assert_eq!(BlobName::of_upload(given), Err(expected), "{given:?}");
        }
        for path in ["../x", "a/b", "/etc/passwd", "..", "c:\\x", "..%2f"] {
            assert_eq!(BlobName::of_request(path), Err(BadName::Path), "{path}");
        }
    }

    #[test]
    fn a_chat_id_that_climbs_holds_no_files() {
        let flow = ChatflowId::random();
        let checked = |id: &str| BlobFolder::checked(flow, &ChatId::parse(id).unwrap());
        for id in ["../x", "a/../b", "/etc", "..", "a\\..", "."] {
            assert_eq!(checked(id), Err(BadName::Path), "{id}");
        }
        assert_ne!(checked("tenant/42"), checked("tenant/43"));
        assert!(checked("s_1:a@b.c..d").is_ok());
    }

    proptest! {
        #[test]
        fn no_name_ever_leads_anywhere(text in ".{0,220}") {
            if let Ok(name) = BlobName::of_upload(&text) {
                let name = name.as_str();
                prop_assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
                prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES);
            }
        }
    }
}
