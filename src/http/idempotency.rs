//! `Idempotency-Key`: which requests are repetitions of each other. After the
//! draft `httpapi-idempotency-key-header`.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use parlor_schemas::Repetition;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::ApiError;
use crate::flow::uploads::FormFile;

/// The header that marks repetitions.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key in bytes.
const MAX_KEY_BYTES: usize = 255;

/// The key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// What a request says; a repetition says the same. A form's boundary says
/// nothing, so what the form holds is compared.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What headers say, as one byte.
    pub wish: u8,
    /// The body as JSON text.
    pub body: &'a str,
    /// The files that came along.
    pub files: &'a [FormFile],
}

impl IdempotencyKey {
    /// Reads the header.
    ///
    /// # Errors
    /// 400 for a key that is empty, long, doubled or no plain text.
    pub fn of(request: &HttpRequest) -> Result<Option<Self>, ApiError> {
        let mut values = request.headers().get_all(IDEMPOTENCY_KEY);
        let Some(first) = values.next() else { return Ok(None) };
        let text = first.to_str().ok().map(str::trim);
        let text = text.filter(|text| (1..=MAX_KEY_BYTES).contains(&text.len()));
        let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        match (text, values.next()) {
            (Some(text), None) => Ok(Some(Self(text.to_owned()))),
            _ => Err(ApiError::bad(format!(
                "Idempotency-Key must be one text of 1 to {MAX_KEY_BYTES} visible ASCII characters"
            ))),
        }
    }

    /// What repetitions are recognized by. A key is one key within its scope,
    /// a chatflow say, and means nothing to another.
    pub fn repetition(&self, scope: &[u8], said: Said<'_>) -> Repetition {
        let key = Sha256::new().chain_update(scope).chain_update(&self.0).finalize();
        let mut short = [0; 16];
        short.copy_from_slice(&key[..16]);
        let mut hash = Sha256::new();
        hash.update([said.wish]);
        let mut add = |piece: &[u8]| {
            hash.update((piece.len() as u64).to_be_bytes());
            hash.update(piece);
        };
        add(said.body.as_bytes());
        for file in said.files {
            add(file.name.as_bytes());
            add(file.mime.as_bytes());
            add(&file.bytes);
        }
        let body = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Repetition { key: Uuid::from_bytes(short), body }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn key(values: &[&str]) -> Result<Option<IdempotencyKey>, ApiError> {
        let request = values.iter().fold(TestRequest::default(), |request, value| {
            request.append_header((IDEMPOTENCY_KEY, *value))
        });
        IdempotencyKey::of(&request.to_http_request())
    }

    fn said<'a>(body: &'a str, files: &'a [FormFile]) -> Said<'a> {
        Said { wish: 0, body, files }
    }

    fn file(name: &str, bytes: &'static str) -> FormFile {
        FormFile { name: name.into(), mime: "text/plain".into(), bytes: bytes.into() }
    }

    #[test]
    fn a_key_is_one_short_visible_text() {
        let (longest, long) = ("x".repeat(255), "x".repeat(256));
        for good in ["k", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", &longest] {
            assert_eq!(key(&[good]).unwrap(), Some(IdempotencyKey(good.to_owned())));
        }
        assert_eq!(key(&[]).unwrap(), None);
        for bad in [&[""][..], &[" "], &["a b"], &["a\tb"], &[&long], &["a", "b"]] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_repetition_is_of_one_scope_and_says_the_same() {
        let key = key(&["k"]).unwrap().unwrap();
        let files = [file("a", "bc")];
        let first = key.repetition(b"flow", said("{}", &files));
        assert_eq!(key.repetition(b"flow", said("{}", &[file("a", "bc")])), first);
        assert_ne!(key.repetition(b"other", said("{}", &files)).key, first.key);
        let wished = Said { wish: 1, ..said("{}", &files) };
        for other in [said("[]", &files), said("{}", &[file("ab", "c")]), said("{}", &[]), wished] {
            let changed = key.repetition(b"flow", other);
            assert_eq!(changed.key, first.key);
            assert_ne!(changed.body, first.body);
        }
    }
}
