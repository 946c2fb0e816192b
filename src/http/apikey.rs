//! `/api/v1/apikey`: keys, shown once when they are made or rotated.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ApiKey, Chatflow, ErrorCode, KeyLimit, Scope, Timestamp};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::chatflows::object;
use super::error::ApiError;
use super::state::AppState;
use super::{body, callers, key_fields};
use crate::store::NewKey;

const BODY_LIMIT: usize = 16 * 1024;

/// A key to make.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiKeyBody {
    /// Shown to people.
    #[schema(min_length = 1, max_length = 200)]
    pub key_name: String,
    /// Expiry, limit and scopes.
    #[serde(flatten)]
    pub terms: KeyTerms,
}

/// What changes of a key; something must.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiKeyChange {
    /// Shown to people.
    #[schema(max_length = 200)]
    pub key_name: Option<String>,
    /// Expiry, limit and scopes.
    #[serde(flatten)]
    pub terms: KeyTerms,
}

/// What a key opens, until when, how often.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct KeyTerms {
    /// What it opens; a new key opens everything without them.
    #[schema(min_items = 1)]
    pub scopes: Option<Vec<Scope>>,
    /// From when on it opens nothing; `null` is never.
    pub expires_at: Option<Timestamp>,
    /// The same as a number of days from now.
    #[schema(minimum = 0, maximum = 36500)]
    pub expires_in_days: Option<f64>,
    /// How often it may be used; `null` is as often as one likes.
    pub rate_limit: Option<KeyLimit>,
}

/// How to give a key a new secret.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Rotation {
    /// How long the old secret goes on to open as much; a day without it.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap_seconds: Option<i64>,
}

/// A key as the list shows it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiKeyRow {
    /// What a chatflow's `apikeyid` names.
    pub id: String,
    /// Shown to people.
    pub key_name: String,
    /// The key itself where it was just made, else its beginning.
    pub api_key: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What the key opens.
    pub scopes: Vec<Scope>,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// How often it may be used.
    pub rate_limit: Option<KeyLimit>,
    /// Until when the secret before the last rotation is valid too.
    pub previous_key_valid_until: Option<Timestamp>,
    /// The chatflows that want this key.
    #[schema(rename = "chatFlows")]
    pub chat_flows: Vec<GuardedFlow>,
}

/// A chatflow that wants a key.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GuardedFlow {
    /// Its name.
    pub flow_name: String,
    /// Its categories, separated by `;`.
    pub category: Option<String>,
    /// When it was last changed.
    pub updated_date: Timestamp,
}

/// All keys, masked.
///
/// # Errors
/// What the store says.
#[utoipa::path(
    get, path = "/api/v1/apikey", tag = "API keys",
    responses((status = 200, description = "All keys", body = Vec<ApiKeyRow>))
)]
pub async fn list(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    all(&state, None)
}

/// Makes a key: `{keyName, scopes?, expiresAt? | expiresInDays?, rateLimit?}`.
/// Without scopes it opens everything, as a key of Flowise does. The new key
/// stands in clear in this answer only.
///
/// # Errors
/// 412 without a name; 400 naming the field.
#[utoipa::path(
    post, path = "/api/v1/apikey", tag = "API keys",
    request_body = ApiKeyBody,
    responses((status = 200, description = "All keys", body = Vec<ApiKeyRow>))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let now = Timestamp::now();
    let new = NewKey {
        name: key_fields::name(&mut fields)?.ok_or_else(nameless)?,
        scopes: key_fields::scopes(&mut fields)?.unwrap_or_else(|| Scope::ALL.to_vec()),
        expires_at: key_fields::expiry(&mut fields, now)?.flatten(),
        rate_limit: key_fields::rate_limit(&mut fields)?.flatten(),
    };
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::bad("expiresAt lies in the past"));
    }
    let (key, plain) = state.write(move |store| store.api_keys().create(new)).await?;
    all(&state, Some((&key.id, &plain)))
}

/// Changes the given fields of a key: those of a new one. `null` takes an
/// expiry or a limit away.
///
/// # Errors
/// 404; 412 where nothing is given; 400 naming the field.
#[utoipa::path(
    put, path = "/api/v1/apikey/{id}", tag = "API keys",
    params(("id" = String, Path, description = "The key's id")),
    request_body = ApiKeyChange,
    responses((status = 200, description = "All keys", body = Vec<ApiKeyRow>))
)]
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let name = key_fields::name(&mut fields)?;
    let scopes = key_fields::scopes(&mut fields)?;
    let expiry = key_fields::expiry(&mut fields, Timestamp::now())?;
    let rate_limit = key_fields::rate_limit(&mut fields)?;
    if name.is_none() && scopes.is_none() && expiry.is_none() && rate_limit.is_none() {
        return Err(nameless());
    }
    let change = move |key: &mut ApiKey| {
        key.key_name = name.unwrap_or_else(|| key.key_name.clone());
        key.scopes = scopes.unwrap_or_else(|| key.scopes.clone());
        key.expires_at = expiry.unwrap_or(key.expires_at);
        key.rate_limit = rate_limit.unwrap_or(key.rate_limit);
    };
    let changed = state.write(move |store| store.api_keys().update(&id, change));
    changed.await?.ok_or_else(unknown)?;
    all(&state, None)
}

/// Gives a key a new secret: `{overlapSeconds?}`, a day unless it is given.
/// The old secret opens as much until then. The new one stands in clear in
/// this answer only.
///
/// # Errors
/// 404; 409 for an expired key; 400.
#[utoipa::path(
    post, path = "/api/v1/apikey/{id}/rotate", tag = "API keys",
    params(("id" = String, Path, description = "The id of the key")),
    request_body = Option<Rotation>,
    responses((status = 200, description = "All keys", body = Vec<ApiKeyRow>))
)]
pub async fn rotate(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let overlap_ms = key_fields::overlap_ms(&mut fields)?;
    let key = state.store.api_keys().get(&id).ok_or_else(unknown)?;
    if !key.is_valid(Timestamp::now()) {
        let message = "the key has expired; give it a later expiresAt before it is rotated";
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let rotated = state.write(move |store| store.api_keys().rotate(&key.id, overlap_ms));
    let plain = rotated.await?.ok_or_else(unknown)?;
    all(&state, Some((&id, &plain)))
}

/// Deletes a key; a chatflow that it guards is closed from then on.
///
/// # Errors
/// 404.
#[utoipa::path(
    delete, path = "/api/v1/apikey/{id}", tag = "API keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "All keys", body = Vec<ApiKeyRow>))
)]
pub async fn delete(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    if !state.write(move |store| store.api_keys().delete(&id)).await? {
        return Err(unknown());
    }
    all(&state, None)
}

/// Whether a key opens anything: `"OK"`.
///
/// # Errors
/// 401 where it does not; 429 where too many unknown keys are tried.
#[utoipa::path(
    get, path = "/api/v1/verify/apikey/{apikey}", tag = "API keys",
    params(("apikey" = String, Path, description = "The key itself")),
    responses((status = 200, description = "OK", body = String, content_type = "application/json"))
)]
pub async fn verify(
    request: HttpRequest,
    key: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    match callers::find(&key, &request, &state).await? {
        Some(_) => Ok(HttpResponse::Ok().json("OK")),
        None => Err(ApiError::new(ErrorCode::Unauthorized, "Unauthorized")),
    }
}

fn nameless() -> ApiError {
    ApiError::new(ErrorCode::PreconditionFailed, "keyName not provided!")
}

fn unknown() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "API key not found")
}

/// The answer of all these routes: every key with the chatflows it guards, and
/// one of them, by its id, in clear.
///
/// # Errors
/// What the store says.
pub fn all(state: &AppState, new: Option<(&str, &str)>) -> Result<HttpResponse, ApiError> {
    let flows = state.store.chatflows().list()?;
    let keys = state.store.api_keys().list();
    let rows: Vec<Value> = keys
        .iter()
        .map(|key| row(key, &flows, new.filter(|(id, _)| *id == key.id).map(|(_, plain)| plain)))
        .collect();
    Ok(HttpResponse::Ok().json(rows))
}

fn row(key: &ApiKey, flows: &[Chatflow], plain: Option<&str>) -> Value {
    let bound = flows.iter().filter(|flow| flow.guarding_key() == Some(&key.id));
    let previous = key.previous.as_ref().map(|old| old.valid_until);
    json!({
        "id": key.id,
        "keyName": key.key_name,
        "apiKey": plain.map_or_else(|| format!("{}...", key.prefix), str::to_owned),
        "createdAt": key.created_date,
        "scopes": key.scopes,
        "expiresAt": key.expires_at,
        "rateLimit": key.rate_limit,
        "previousKeyValidUntil": previous.filter(|end| Timestamp::now() < *end),
        "chatFlows": bound.map(|flow| json!({
            "flowName": flow.name,
            "category": flow.category,
            "updatedDate": flow.updated_date,
        })).collect::<Vec<_>>(),
    })
}
