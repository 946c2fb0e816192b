//! How a caller wants an upsert to be done and answered, from its headers.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};
use parlor_schemas::{ChatflowId, Repetition};
use serde_json::{Map, Value};

use crate::flow::uploads::FormFile;
use crate::http::error::ApiError;
use crate::http::idempotency::{IdempotencyKey, Said};

/// The header of preferences (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What a caller wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// The job's address at once (`respond-async`).
    pub(super) is_async: bool,
    /// Files that cannot be read are left out (`handling=lenient`).
    pub(super) is_lenient: bool,
    /// The progress as a stream.
    pub(super) streams: bool,
    /// The `Idempotency-Key`.
    key: Option<IdempotencyKey>,
}

impl Wish {
    /// Reads the headers; unknown preferences are left alone, as RFC 7240 says.
    ///
    /// # Errors
    /// 400 for an `Idempotency-Key` that is empty, long, doubled or no plain text.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut wish = Self::default();
        let texts = |name: HeaderName| {
            request.headers().get_all(name).filter_map(|value| value.to_str().ok())
        };
        for preference in texts(PREFER).flat_map(|value| value.split([',', ';'])) {
            let preference: String = preference.chars().filter(|ch| *ch != '"').collect();
            match preference.trim().to_ascii_lowercase().as_str() {
                "respond-async" => wish.is_async = true,
                "handling=lenient" => wish.is_lenient = true,
                _ => {}
            }
        }
        wish.streams = texts(header::ACCEPT).any(|kinds| kinds.contains("text/event-stream"));
        wish.key = IdempotencyKey::of(request)?;
        Ok(wish)
    }

    /// Whether the caller marks repetitions.
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What a repetition is recognized by: the chatflow with the key, and all
    /// that the body says.
    pub(super) fn repetition(
        &self,
        chatflow: ChatflowId,
        body: &Map<String, Value>,
        files: &[FormFile],
    ) -> Option<Repetition> {
        let key = self.key.as_ref()?;
        // A map of JSON values has no way to fail.
        let body = serde_json::to_string(body).unwrap_or_default();
        let said = Said { wish: u8::from(self.is_lenient), body: &body, files };
        Some(key.repetition(chatflow.as_bytes(), said))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn wish(headers: &[(&'static str, &'static str)]) -> Result<Wish, ApiError> {
        let request = headers
            .iter()
            .fold(TestRequest::default(), |request, header| request.append_header(*header));
        Wish::of(&request.to_http_request())
    }

    #[test]
    fn preferences_may_come_together_or_apart_and_unknown_ones_are_left_alone() {
        for headers in [
            &[("prefer", "respond-async, wait=5, handling=lenient")][..],
            &[("prefer", "Respond-Async"), ("prefer", "handling=\"lenient\"; x")][..],
        ] {
            let found = wish(headers).unwrap();
            assert!(found.is_async && found.is_lenient && !found.streams, "{headers:?}");
        }
        assert_eq!(wish(&[("prefer", "handling=strict")]).unwrap(), Wish::default());
        assert!(wish(&[("accept", "text/event-stream, */*")]).unwrap().streams);
    }

    #[test]
    fn a_repetition_is_of_one_chatflow_and_says_the_same() {
        let wish = wish(&[("idempotency-key", "k")]).unwrap();
        let [flow, other] = [[1; 16], [2; 16]].map(ChatflowId::from_bytes);
        let body = |n: u64| Map::from_iter([("a".to_owned(), json!(n))]);
        let file = |name: &str, bytes: &'static str| FormFile {
            name: name.into(),
            mime: "text/plain".into(),
            bytes: bytes.into(),
        };
        let first = wish.repetition(flow, &body(1), &[file("a", "bc")]).unwrap();
        assert_eq!(wish.repetition(flow, &body(1), &[file("a", "bc")]).unwrap(), first);
        assert_ne!(wish.repetition(other, &body(1), &[]).unwrap().key, first.key);
        for (body, file) in [(body(2), file("a", "bc")), (body(1), file("ab", "c"))] {
            let changed = wish.repetition(flow, &body, &[file]).unwrap();
            assert_eq!(changed.key, first.key);
            assert_ne!(changed.body, first.body);
        }
        assert!(Wish::default().repetition(flow, &body(1), &[]).is_none());
    }
}
