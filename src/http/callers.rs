//! Whose request it is: the Authorization header, and the key in it.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_schemas::ApiKey;
use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::state::AppState;

/// Longer texts are no keys.
const LONGEST_KEY: usize = 512;

/// The key that a request brings, if it is one that opens anything.
///
/// # Errors
/// 429 where too many unknown keys are tried; what the store says.
pub async fn key(request: &HttpRequest, state: &AppState) -> Result<Option<Arc<ApiKey>>, ApiError> {
    match bearer(request) {
        Some(plain) => find(plain, request, state).await,
        None => Ok(None),
    }
}

/// The stored key of a text. It costs microseconds, except while there are
/// imported keys of which only Flowise's slow hash is known: then a text in
/// the form of one is checked against them, a few times a minute.
///
/// # Errors
/// 429 where too many unknown keys are tried; what the store says.
pub async fn find(
    plain: &str,
    request: &HttpRequest,
    state: &AppState,
) -> Result<Option<Arc<ApiKey>>, ApiError> {
    if plain.is_empty() || plain.len() > LONGEST_KEY {
        return Ok(None);
    }
    if let Some(key) = state.store.api_keys().find(plain) {
        return Ok(Some(key));
    }
    let n_hashes = state.store.api_keys().n_unproven(plain);
    if n_hashes == 0 {
        return Ok(None);
    }
    let turn = state.limits.slow_check(request, n_hashes).await?;
    let plain = plain.to_owned();
    let prove = move |store: &crate::store::Store| {
        // Held to the end of the work, also where its client has left.
        let _turn = turn;
        match store.api_keys().find(&plain) {
            Some(key) => Ok(Some(key)),
            None => store.api_keys().prove(&plain),
        }
    };
    state.write(prove).await
}

/// Whether a request brings the operator's user and password; `None` where it
/// brings none at all.
pub fn is_operator_by_password(request: &HttpRequest, state: &AppState) -> Option<bool> {
    let (user, password) = basic(request)?;
    let Some((own_user, own_password)) = &state.basic else { return Some(false) };
    // Both are compared, so that the time does not tell which was wrong.
    let user = own_user.as_bytes().ct_eq(user.as_bytes());
    let password = own_password.as_bytes().ct_eq(password.as_bytes());
    Some((user & password).into())
}

/// The only Authorization header; two of them are as good as none.
fn authorization(request: &HttpRequest) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The key of the header: what follows `Bearer `, or the header as it is.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = authorization(request)?;
    Some(value.rsplit_once("Bearer ").map_or(value, |(_, key)| key))
}

fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let encoded = authorization(request)?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
