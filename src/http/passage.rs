//! What every request passes on its way in and every answer on its way out:
//! the request's id and span, the end of a connection whose request stays unread, the
//! charset of JSON, and the farewell of a server that stops.

use std::fmt;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use tracing::Instrument;
use uuid::Uuid;

use super::state::AppState;
use super::unread::Unread;
use crate::spans;

/// Where the id stands, in requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The type of JSON as Flowise writes it (contract 0.2). Some HTTP libraries read
/// a body that names no charset as Latin-1.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A longer id of a caller is replaced.
const MAX_ID_BYTES: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// A request's id: letters, digits, `-`, `_` and `.` only, so that it can stand
/// in a header and in a line of the log as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's, where it sends one plain and short token, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let mut sent = headers.get_all(&HEADER);
        match (sent.next(), sent.next()) {
            (Some(id), None) if is_plain(id.as_bytes()) => Self(id.clone()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::new_v4().simple().encode_lower(&mut buffer);
        // Hexadecimal digits are always a header's value.
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none")))
    }

    /// That of the request which is being handled, where one is.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.to_str().unwrap_or_default())
    }
}

fn is_plain(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(allowed)
}

/// Gives a request its id and the answer what every answer carries.
///
/// # Errors
/// What the inner service fails with.
pub async fn pass(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = RequestId::of(request.headers());
    let unread = Unread::watch(&mut request);
    let span = spans::request(&request);
    let mut response =
        CURRENT.scope(id.clone(), next.call(request)).instrument(span.clone()).await?;
    spans::answered(&span, response.status());
    response.headers_mut().insert(HEADER, id.0);
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    let state = response.request().app_data::<web::Data<AppState>>();
    if state.is_some_and(|state| state.drain.is_draining()) {
        // The next request of this client finds another server.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(unread.close_after(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(ids: &[&str]) -> HeaderMap {
        let values = ids.iter().map(|id| (HEADER, HeaderValue::from_str(id).unwrap()));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| headers.append(name, value));
        headers
    }

    #[test]
    fn a_plain_id_of_the_caller_is_kept_and_any_other_replaced() {
        let longest = "a".repeat(MAX_ID_BYTES);
        for id in ["req-1", "0af7651916cd43dd8448eb211c80319c", "a.b_C-9", &longest] {
            assert_eq!(RequestId::of(&headers(&[id])).to_string(), id);
        }
        let too_long = "a".repeat(MAX_ID_BYTES + 1);
        for ids in [&["a b"][..], &["a\"b"], &["h\u{fc}"], &[""], &[&too_long], &["a", "b"], &[]] {
            let new = RequestId::of(&headers(ids)).to_string();
            assert_eq!(new.len(), 32, "{ids:?}: {new}");
            assert!(is_plain(new.as_bytes()));
        }
    }

    #[test]
    fn new_ids_differ() {
        assert_ne!(RequestId::new(), RequestId::new());
    }
}
