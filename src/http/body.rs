//! Request bodies within their limits, as JSON.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use bytes::Bytes;
use parlor_schemas::{ErrorCode, given_json, shown};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::arrival::{self, too_large};
use super::error::ApiError;
use super::state::{AppState, off_arbiter};

/// Longer bodies are parsed off the arbiter, where nobody waits for it.
const QUICKLY_READ: usize = 256 * 1024;

/// Reads a JSON or form-encoded body of at most `limit` bytes. An absent body
/// is an empty object, as in Flowise.
///
/// # Errors
/// 400, 408, 413, 415 or 503, naming what is wrong.
pub async fn read(request: &HttpRequest, body: Payload, limit: usize) -> Result<Value, ApiError> {
    let bytes = read_bytes(request, body, limit).await?;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if bytes.len() <= QUICKLY_READ {
        return parse(&kind, &bytes);
    }
    off_arbiter(move || parse(&kind, &bytes)).await?
}

fn parse(kind: &str, bytes: &[u8]) -> Result<Value, ApiError> {
    match kind {
        _ if bytes.is_empty() => Ok(Value::Object(Map::new())),
        "application/json" | "" => json(bytes),
        "application/x-www-form-urlencoded" => form(bytes),
        "text/plain" => Err(ApiError::bad("the body is text; send a JSON object with a question")),
        other => {
            let kind = shown(other, 60);
            Err(unsupported(&format!("a body of type {kind} is not taken; send application/json")))
        }
    }
}

/// Reads a body of at most `limit` bytes, whatever it holds.
///
/// # Errors
/// 400, 408, 413, 415 or 503, naming what is wrong.
pub async fn read_bytes(
    request: &HttpRequest,
    body: Payload,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported("compressed bodies are not taken"));
    }
    let arrivals = &request.app_data::<Data<AppState>>().ok_or_else(unwired)?.arrivals;
    let arrived = arrivals.collect(body, limit).await?;
    // What the body was made into lives about as long as its request.
    arrival::keep(request, arrived.room);
    Ok(arrived.bytes)
}

/// A list of UUIDs; `None` where one of them is none.
pub fn uuids(values: &[Value]) -> Option<Vec<Uuid>> {
    values.iter().map(|id| Uuid::try_parse(id.as_str()?).ok()).collect()
}

/// Some clients, .NET's among them, put a byte order mark first.
fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    given_json::parse(bytes).map_err(|error| ApiError::bad(format!("the body {error}")))
}

fn form(bytes: &[u8]) -> Result<Value, ApiError> {
    // Counted first: each pair takes many times its text in memory.
    super::form::check_count(bytes.split(|byte| *byte == b'&').count())?;
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|_| ApiError::bad("the body is no valid form"))?;
    Ok(Value::Object(super::form::body(pairs)?))
}

fn unsupported(message: &str) -> ApiError {
    ApiError::new(ErrorCode::UnsupportedMediaType, message)
}

fn unwired() -> ApiError {
    ApiError::new(ErrorCode::Internal, "the server has no state")
}
