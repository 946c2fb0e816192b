//! Who may call what, decided from the request's head alone, and what every
//! answer says about it: limits and the pages that may read it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use parlor_schemas::{ApiKey, ChatflowId, ErrorCode, PredictionRequest, Scope};
use serde_json::Value;

use super::error::ApiError;
use super::limits::{self, Standing};
use super::state::AppState;
use super::{body, callers};
use crate::flow::cache::{ReadyFlow, not_found};

/// What is read of a refused body to learn whether it asked for a stream.
const PEEK_BYTES: usize = 64 * 1024;

/// How long a refused body may take.
const PEEK_TIME: Duration = Duration::from_secs(1);

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Anyone, from any page.
    Public,
    /// Anyone, unless the chatflow has a key: then its bearer, from the pages
    /// that the chatflow allows.
    FlowKey,
    /// The same for a key with this scope, no oftener than the chatflow's rate
    /// limit says; all routes of a chatflow with this policy share its windows.
    LimitedFlowKey(Scope),
    /// As [`Self::FlowKey`], but the chatflow stands in the body or in a stored
    /// row: the handler calls [`check_flow`] as soon as it knows which it is.
    FlowKeyInHandler,
    /// The operator, or a key with this scope.
    Operator(Scope),
    /// The operator, unless its settings open the metrics to everybody.
    Metrics,
}

/// Marks a connection that came through the socket in the data folder: only
/// the owner of the folder can open it.
#[derive(Debug, Clone, Copy)]
pub struct ThroughOwnSocket;

/// The key that let a request in, for those who count by it.
struct OpenedBy(Arc<ApiKey>);

/// The id of the key that let a request in, if one did.
pub fn opened_by(request: &HttpRequest) -> Option<Arc<str>> {
    request.extensions().get::<OpenedBy>().map(|key| key.0.id.as_str().into())
}

/// Why a request is not let in.
enum Refusal {
    /// An error like any other.
    Error(ApiError),
    /// More often than the chatflow's limit; its message, which clients show.
    TooOften(String),
    /// From a page that the chatflow does not allow; its message.
    Origin(String),
}

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Lets a request pass or answers it.
///
/// # Errors
/// What the inner service fails with. Refusals (401, 403, 404, 429) are
/// answers, made before the handler reads anything of the body.
pub async fn guard(
    policy: Policy,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = state(request.request())?.clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut standing = None;
    let admitted = admit(policy, request.request(), &state, &mut standing).await;
    let mut response = match admitted {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(refusal) => {
            let answer = answer(refusal, &mut request).await;
            request.into_response(answer)
        }
    };
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    let origins = if matches!(policy, Policy::Operator(_) | Policy::Metrics) {
        &state.operator_origins
    } else {
        &state.public_origins
    };
    if !origins.is_none() {
        origins.write_for(origin.as_ref(), response.headers_mut());
    }
    Ok(response)
}

fn state(request: &HttpRequest) -> Result<&web::Data<AppState>, ApiError> {
    let missing = || ApiError::new(ErrorCode::Internal, "the server is not ready");
    request.app_data::<web::Data<AppState>>().ok_or_else(missing)
}

async fn admit(
    policy: Policy,
    request: &HttpRequest,
    state: &AppState,
    standing: &mut Option<Standing>,
) -> Result<(), Refusal> {
    match policy {
        Policy::Public | Policy::FlowKeyInHandler => Ok(()),
        Policy::FlowKey => {
            let flow = flow(request, state)?;
            admit_to_flow(&flow, Scope::Predict, request, state, standing).await
        }
        Policy::LimitedFlowKey(scope) => {
            let flow = flow(request, state)?;
            if let Some(limit) = &flow.door.limit {
                let now = state.limits.flow(flow.chatflow.id, limit, request);
                *standing = Some(now);
                if now.is_refused {
                    return Err(Refusal::TooOften(limit.message.clone()));
                }
            }
            admit_to_flow(&flow, scope, request, state, standing).await
        }
        Policy::Metrics if state.metrics_are_public => Ok(()),
        Policy::Metrics => admit_operator(Scope::Operator, request, state, standing).await,
        Policy::Operator(scope) => admit_operator(scope, request, state, standing).await,
    }
}

fn flow(request: &HttpRequest, state: &AppState) -> Result<Arc<ReadyFlow>, ApiError> {
    let text = request.match_info().get("id").unwrap_or_default();
    let id = ChatflowId::parse(text).map_err(|_| {
        ApiError(not_found(text.chars().take(60).collect::<String>().escape_debug()))
    })?;
    Ok(state.flows.get(id)?)
}

/// The policy of a chatflow for a handler that learns late which one is meant.
///
/// # Errors
/// 401, 403, 404 or 429.
pub async fn check_flow(request: &HttpRequest, id: ChatflowId) -> Result<(), ApiError> {
    let state = state(request)?;
    let flow = state.flows.get(id)?;
    let admitted = admit_to_flow(&flow, Scope::Predict, request, state, &mut None).await;
    admitted.map_err(as_error)
}

/// The policy of a chatflow's upserts for a handler that learns late which
/// chatflow is meant. The operator passes too.
///
/// # Errors
/// 401, 403, 404 or 429.
pub async fn check_upserts(request: &HttpRequest, id: ChatflowId) -> Result<(), ApiError> {
    let state = state(request)?;
    let flow = state.flows.get(id)?;
    if admit_operator(Scope::Operator, request, state, &mut None).await.is_ok() {
        return Ok(());
    }
    let admitted = admit_to_flow(&flow, Scope::Upsert, request, state, &mut None).await;
    admitted.map_err(as_error)
}

fn as_error(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Error(error) => error,
        Refusal::TooOften(message) => ApiError::new(ErrorCode::LimitExceeded, message),
        Refusal::Origin(message) => ApiError::new(ErrorCode::Forbidden, message),
    }
}

async fn admit_to_flow(
    flow: &ReadyFlow,
    scope: Scope,
    request: &HttpRequest,
    state: &AppState,
    standing: &mut Option<Standing>,
) -> Result<(), Refusal> {
    if let Some(wanted) = flow.chatflow.guarding_key() {
        let found = callers::key(request, state).await?;
        let key = found.filter(|key| key.id == wanted && opens(key, scope));
        let key = key.ok_or_else(|| unauthorized("Unauthorized"))?;
        count(key, request, state, standing)?;
    }
    check_origin(request, flow)
}

/// A request without an Origin comes from no page.
fn check_origin(request: &HttpRequest, flow: &ReadyFlow) -> Result<(), Refusal> {
    let Some(allowed) = &flow.door.origins else { return Ok(()) };
    let mut origins = request.headers().get_all(header::ORIGIN);
    let all_allowed =
        origins.all(|origin| origin.to_str().is_ok_and(|origin| allowed.allow(origin)));
    if all_allowed { Ok(()) } else { Err(Refusal::Origin(allowed.message.clone())) }
}

async fn admit_operator(
    scope: Scope,
    request: &HttpRequest,
    state: &AppState,
    standing: &mut Option<Standing>,
) -> Result<(), Refusal> {
    if request.conn_data::<ThroughOwnSocket>().is_some() {
        return Ok(());
    }
    let refused = || unauthorized("Unauthorized Access");
    if let Some(is_operator) = callers::is_operator_by_password(request, state) {
        return match is_operator {
            true if is_sent_by_a_stranger(request, state) => Err(foreign_page().into()),
            true => Ok(()),
            false => Err(refused().into()),
        };
    }
    let key = callers::key(request, state).await?.filter(|key| opens(key, scope));
    let key = key.ok_or_else(refused)?;
    count(key, request, state, standing)
}

/// Whether a page that the operator did not list made the operator's browser
/// write something: a browser adds a password that it knows by itself.
fn is_sent_by_a_stranger(request: &HttpRequest, state: &AppState) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    // Also behind a proxy that changes the host; no page can write this header.
    if request.method().is_safe() || text("sec-fetch-site") == Some("same-origin") {
        return false;
    }
    let Some(origin) = request.headers().get(header::ORIGIN) else { return false };
    let own = text("host").unwrap_or_default();
    let is_own = origin.to_str().is_ok_and(|origin| {
        origin.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(own))
    });
    !is_own && !state.operator_origins.allow(origin)
}

fn foreign_page() -> ApiError {
    let message = "this page may not act for the operator; list its origin in \
                   PARLOR_OPERATOR_ORIGINS, or send an API key";
    ApiError::new(ErrorCode::Forbidden, message)
}

/// Whether a key opens what asks for a scope; the operator's opens all.
fn opens(key: &ApiKey, scope: Scope) -> bool {
    key.scopes.contains(&scope) || key.scopes.contains(&Scope::Operator)
}

/// Counts a use of a key. Its headers give way to the chatflow's.
fn count(
    key: Arc<ApiKey>,
    request: &HttpRequest,
    state: &AppState,
    standing: &mut Option<Standing>,
) -> Result<(), Refusal> {
    let now = state.limits.key(&key);
    request.extensions_mut().insert(OpenedBy(key));
    let Some(now) = now else { return Ok(()) };
    if now.is_refused {
        *standing = Some(now);
        return Err(limits::too_often(now).into());
    }
    standing.get_or_insert(now);
    Ok(())
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, message)
}

/// The two texts go out as they are, because the chat widget shows them so.
async fn answer(refusal: Refusal, request: &mut ServiceRequest) -> HttpResponse {
    match refusal {
        Refusal::Error(error) => error.error_response(),
        Refusal::TooOften(message) => text(HttpResponse::TooManyRequests(), message),
        Refusal::Origin(message) if asks_for_a_stream(request).await => {
            text(HttpResponse::Forbidden(), message)
        }
        Refusal::Origin(message) => ApiError::new(ErrorCode::Forbidden, message).error_response(),
    }
}

fn text(mut response: actix_web::HttpResponseBuilder, message: String) -> HttpResponse {
    response.content_type("text/html; charset=utf-8").body(message)
}

/// Whether a request that is refused already asked for a stream, which settles
/// the form of the answer only: by its Accept header, as the widget says it,
/// else by its body. A body that is long, slow or unreadable did not ask.
async fn asks_for_a_stream(request: &mut ServiceRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|kinds| kinds.contains("text/event-stream")) {
        return true;
    }
    let Ok(payload) = request.extract::<web::Payload>().await else { return false };
    let reading = body::read(request.request(), payload, PEEK_BYTES);
    match tokio::time::timeout(PEEK_TIME, reading).await {
        Ok(Ok(Value::Object(body))) => PredictionRequest::asks_for_a_stream(&body),
        _ => false,
    }
}
