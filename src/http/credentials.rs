//! `/api/v1/credentials`: secrets of nodes. They go in and never come out.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{Credential, ErrorCode, Timestamp, access::CredentialInfo};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::body;
use super::chatflows::{object, text};
use super::error::ApiError;
use super::openapi::Deleted;
use super::state::AppState;

/// Largest body of this route in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// A credential to store.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewCredential {
    /// Shown to people.
    #[schema(min_length = 1)]
    pub name: String,
    /// The kind, `openAIApi` say.
    #[schema(min_length = 1)]
    pub credential_name: String,
    /// The secret values by field.
    pub plain_data_obj: Map<String, Value>,
}

/// What changes of a credential.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CredentialChange {
    /// Shown to people.
    pub name: Option<String>,
    /// All secret values by field; none of the old ones stays.
    pub plain_data_obj: Option<Map<String, Value>>,
}

/// All credentials, or those of the kinds in the query, without their secrets.
///
/// # Errors
/// What the store says.
#[utoipa::path(
    get, path = "/api/v1/credentials", tag = "Credentials",
    params(("credentialName" = Option<String>, Query, description = "Only this kind; may be given several times")),
    responses((status = 200, description = "Credentials", body = Vec<CredentialInfo>))
)]
pub async fn list(
    query: web::Query<Vec<(String, String)>>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let is_kind = |name: &str| matches!(name, "credentialName" | "credentialName[]");
    let kinds: Vec<&str> =
        query.iter().filter(|(name, _)| is_kind(name)).map(|(_, kind)| kind.as_str()).collect();
    let mut listed = state.store.credentials().list()?;
    listed.retain(|info| kinds.is_empty() || kinds.contains(&info.credential_name.as_str()));
    Ok(HttpResponse::Ok().json(listed))
}

/// Stores a credential: `{name, credentialName, plainDataObj}`.
///
/// # Errors
/// 400 naming the field.
#[utoipa::path(
    post, path = "/api/v1/credentials", tag = "Credentials",
    request_body = NewCredential,
    responses((status = 200, description = "Without its secrets", body = CredentialInfo))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let now = Timestamp::now();
    let mut required = |key: &str| {
        let found = text(&mut fields, key)?.filter(|text| !text.is_empty());
        found.ok_or_else(|| ApiError::bad(format!("{key} is missing")))
    };
    let (name, credential_name) = (required("name")?, required("credentialName")?);
    let plain_data =
        secrets(&mut fields)?.ok_or_else(|| ApiError::bad("plainDataObj is missing"))?;
    let credential = Credential {
        id: Uuid::new_v4(),
        name,
        credential_name,
        plain_data,
        created_date: now,
        updated_date: now,
    };
    store(state, credential).await
}

/// Changes a credential.
///
/// # Errors
/// 400 naming the field; 404.
#[utoipa::path(
    put, path = "/api/v1/credentials/{id}", tag = "Credentials",
    params(("id" = Uuid, Path, description = "The credential")),
    request_body = Option<CredentialChange>,
    responses((status = 200, description = "Without its secrets", body = CredentialInfo))
)]
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut credential = find(&id, &state)?;
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    if let Some(name) = text(&mut fields, "name")? {
        credential.name = name;
    }
    if let Some(plain_data) = secrets(&mut fields)? {
        credential.plain_data = plain_data;
    }
    credential.updated_date = Timestamp::now();
    store(state, credential).await
}

/// Deletes a credential.
///
/// # Errors
/// 404.
#[utoipa::path(
    delete, path = "/api/v1/credentials/{id}", tag = "Credentials",
    params(("id" = Uuid, Path, description = "The credential")),
    responses((status = 200, description = "It is gone", body = Deleted))
)]
pub async fn delete(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = find(&id, &state)?.id;
    state.write(move |store| store.credentials().delete(id)).await?;
    Ok(Deleted::answer(1))
}

fn find(id: &str, state: &AppState) -> Result<Credential, ApiError> {
    let unknown = || ApiError::new(ErrorCode::NotFound, "Credential not found");
    let id = Uuid::try_parse(id).map_err(|_| unknown())?;
    state.store.credentials().get(id)?.ok_or_else(unknown)
}

fn secrets(fields: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, ApiError> {
    match fields.remove("plainDataObj") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(ApiError::bad("plainDataObj must be an object")),
    }
}

async fn store(
    state: web::Data<AppState>,
    credential: Credential,
) -> Result<HttpResponse, ApiError> {
    let info = CredentialInfo {
        id: credential.id,
        name: credential.name.clone(),
        credential_name: credential.credential_name.clone(),
        created_date: credential.created_date,
        updated_date: credential.updated_date,
    };
    state.write(move |store| store.credentials().put(&credential)).await?;
    Ok(HttpResponse::Ok().json(info))
}
