//! Who may call what, decided from the request's head alone.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_schemas::{Chatflow, ChatflowId, ErrorCode, Scope};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::state::AppState;
use crate::flow::cache::{ReadyFlow, not_found};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Anyone, from any page.
    Public,
    /// Anyone, unless the chatflow has a key: then its bearer, from the pages
    /// that the chatflow allows.
    FlowKey,
    /// The same, but the chatflow stands in the body or in a stored row: the
    /// handler calls [`check_flow`] as soon as it knows which it is.
    FlowKeyInHandler,
    /// The operator, or a key with this scope.
    Operator(Scope),
}

/// Marks a connection that came through the socket in the data folder: only
/// the owner of the folder can open it.
#[derive(Debug, Clone, Copy)]
pub struct ThroughOwnSocket;

/// Lets a request pass or answers it.
///
/// # Errors
/// 401, 403 or 404, before anything of the body is read.
pub async fn guard(
    policy: Policy,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    match policy {
        Policy::Public | Policy::FlowKeyInHandler => {}
        Policy::FlowKey => {
            let id = flow_of_path(request.request())?;
            check_flow(request.request(), id)?;
        }
        Policy::Operator(scope) => check_operator(request.request(), scope)?,
    }
    let mut response = next.call(request).await?;
    if !matches!(policy, Policy::Operator(_)) {
        allow_origin(response.headers_mut(), origin);
    }
    Ok(response)
}

fn allow_origin(headers: &mut header::HeaderMap, origin: Option<HeaderValue>) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

fn state(request: &HttpRequest) -> Result<&web::Data<AppState>, ApiError> {
    let missing = || ApiError::new(ErrorCode::Internal, "the server is not ready");
    request.app_data::<web::Data<AppState>>().ok_or_else(missing)
}

fn flow_of_path(request: &HttpRequest) -> Result<ChatflowId, ApiError> {
    let text = request.match_info().get("id").unwrap_or_default();
    ChatflowId::parse(text)
        .map_err(|_| ApiError(not_found(text.chars().take(60).collect::<String>().escape_debug())))
}

/// The policy of a chatflow: its own key, and the pages that it allows.
///
/// # Errors
/// 401, 403 or 404.
pub fn check_flow(request: &HttpRequest, id: ChatflowId) -> Result<Arc<ReadyFlow>, ApiError> {
    let state = state(request)?;
    let flow = state.flows.get(id)?;
    if let Some(wanted) = flow.chatflow.guarding_key() {
        let found = bearer(request).and_then(|key| state.store.api_keys().find(&key));
        if found.is_none_or(|key| key.id != wanted) {
            return Err(unauthorized("Unauthorized"));
        }
    }
    check_origin(request, &flow.chatflow)?;
    Ok(flow)
}

/// `chatbotConfig.allowedOrigins`: hosts (with port) of pages that may embed
/// the chatflow. A request without an Origin comes from no page.
fn check_origin(request: &HttpRequest, chatflow: &Chatflow) -> Result<(), ApiError> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let config = Chatflow::settings(chatflow.chatbot_config.as_deref());
    let allowed = config.get("allowedOrigins").and_then(Value::as_array);
    let allowed: Vec<&str> = allowed.into_iter().flatten().filter_map(Value::as_str).collect();
    if allowed.first().is_none_or(|first| first.is_empty()) {
        return Ok(());
    }
    let host = |url: &str| {
        let url = reqwest::Url::parse(url).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()))
    };
    let own = origin.to_str().ok().and_then(host);
    if own.is_some() && allowed.iter().any(|url| host(url) == own) {
        return Ok(());
    }
    let text = config.get("allowedOriginsError").and_then(Value::as_str);
    let text = text.filter(|text| !text.is_empty());
    let message = text.unwrap_or("This site is not allowed to access this chatbot");
    Err(ApiError::new(ErrorCode::Forbidden, message))
}

fn check_operator(request: &HttpRequest, scope: Scope) -> Result<(), ApiError> {
    if request.conn_data::<ThroughOwnSocket>().is_some() {
        return Ok(());
    }
    let state = state(request)?;
    let allowed = match basic(request) {
        Some((user, password)) => state.basic.as_ref().is_some_and(|(own_user, own_password)| {
            // Both are compared, so that the time does not tell which was wrong.
            let user = own_user.as_bytes().ct_eq(user.as_bytes());
            let password = own_password.as_bytes().ct_eq(password.as_bytes());
            (user & password).into()
        }),
        None => {
            bearer(request).and_then(|key| state.store.api_keys().find(&key)).is_some_and(|key| {
                key.scopes.contains(&Scope::Operator) || key.scopes.contains(&scope)
            })
        }
    };
    if allowed { Ok(()) } else { Err(unauthorized("Unauthorized Access")) }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, message)
}

/// The only Authorization header; two of them are as good as none.
fn authorization(request: &HttpRequest) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The key of the header: what follows `Bearer `, or the header as it is.
fn bearer(request: &HttpRequest) -> Option<String> {
    let value = authorization(request)?;
    let key = value.rsplit_once("Bearer ").map_or(value, |(_, key)| key);
    (!key.is_empty() && key.len() <= 512).then(|| key.to_owned())
}

fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let encoded = authorization(request)?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
