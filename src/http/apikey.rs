//! `/api/v1/apikey`: keys, shown once when they are made.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ApiKey, ErrorCode, Scope, Timestamp};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::body;
use super::chatflows::{object, text};
use super::error::ApiError;
use super::state::AppState;

const BODY_LIMIT: usize = 16 * 1024;

/// A key to make.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiKeyBody {
    /// Shown to people.
    #[schema(min_length = 1, max_length = 200)]
    pub key_name: String,
    /// What the key opens; everything without it.
    pub scopes: Option<Vec<Scope>>,
}

/// The new name of a key.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiKeyName {
    /// Shown to people.
    #[schema(min_length = 1, max_length = 200)]
    pub key_name: String,
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

/// Makes a key: `{keyName, scopes?}`. Without scopes it opens everything, as a
/// key of Flowise does. The new key stands in clear in this answer only.
///
/// # Errors
/// 412 without a name; 400 for an unknown scope.
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
    let name = name(&mut fields)?;
    let scopes: Vec<Scope> = match fields.remove("scopes") {
        None | Some(Value::Null) => Scope::ALL.to_vec(),
        Some(value) => serde_json::from_value(value).map_err(|_| {
            ApiError::bad("scopes must be a list of predict, upsert, messages, operator")
        })?,
    };
    let created = state.write(move |store| store.api_keys().create(&name, &scopes));
    let (key, plain) = created.await?;
    all(&state, Some((&key.id, &plain)))
}

/// Renames a key.
///
/// # Errors
/// 404; 412 without a name.
#[utoipa::path(
    put, path = "/api/v1/apikey/{id}", tag = "API keys",
    params(("id" = String, Path, description = "The key's id")),
    request_body = ApiKeyName,
    responses((status = 200, description = "All keys", body = Vec<ApiKeyRow>))
)]
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let name = name(&mut fields)?;
    let renamed = state.write(move |store| store.api_keys().rename(&id, &name));
    renamed.await?.ok_or_else(unknown)?;
    all(&state, None)
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

fn name(fields: &mut Map<String, Value>) -> Result<String, ApiError> {
    let name = text(fields, "keyName")?.filter(|name| !name.is_empty() && name.len() <= 200);
    name.ok_or_else(|| ApiError::new(ErrorCode::PreconditionFailed, "keyName not provided!"))
}

fn unknown() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "API key not found")
}

fn all(state: &AppState, new: Option<(&str, &str)>) -> Result<HttpResponse, ApiError> {
    let flows = state.store.chatflows().list()?;
    let row = |key: &ApiKey| {
        let plain = new.filter(|(id, _)| *id == key.id).map(|(_, plain)| plain.to_owned());
        let bound = flows.iter().filter(|flow| flow.guarding_key() == Some(&key.id));
        json!({
            "id": key.id,
            "keyName": key.key_name,
            "apiKey": plain.unwrap_or_else(|| format!("{}...", key.prefix)),
            "createdAt": key.created_date,
            "scopes": key.scopes,
            "chatFlows": bound.map(|flow| json!({
                "flowName": flow.name,
                "category": flow.category,
                "updatedDate": flow.updated_date,
            })).collect::<Vec<_>>(),
        })
    };
    let rows: Vec<Value> = state.store.api_keys().list().iter().map(|key| row(key)).collect();
    Ok(HttpResponse::Ok().json(rows))
}
