//! `/api/v1/variables`: what `{{$vars.name}}` means in flows, for the operator.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ErrorCode, Timestamp, Variable, VariableType, shown};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body;
use super::chatflows::{object, text};
use super::error::ApiError;
use super::openapi::Deleted;
use super::state::AppState;

const BODY_LIMIT: usize = 1024 * 1024;
const LONGEST_NAME: usize = 200;

/// A variable to store.
#[derive(utoipa::ToSchema)]
pub struct VariableFields {
    /// What `{{$vars.name}}` names.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Its value; for `runtime` the environment has it.
    pub value: Option<String>,
    /// `static` without it.
    pub r#type: Option<VariableType>,
}

/// What changes of a variable.
#[derive(utoipa::ToSchema)]
pub struct VariableChange {
    /// What `{{$vars.name}}` names.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Where the value comes from.
    pub r#type: Option<VariableType>,
}

/// All variables, oldest first.
///
/// # Errors
/// What the store says.
#[utoipa::path(
    get, path = "/api/v1/variables", tag = "Variables",
    responses((status = 200, description = "All variables", body = Vec<Variable>))
)]
pub async fn list(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(state.store.variables().list()?))
}

/// Stores a new variable: `{name, value, type}`. A name may be there already,
/// as in Flowise; the newest of one name is what flows read.
///
/// # Errors
/// 400 naming the field; 409 for an id that exists.
#[utoipa::path(
    post, path = "/api/v1/variables", tag = "Variables",
    request_body = VariableFields,
    responses((status = 200, description = "As it is stored", body = Variable))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let now = Timestamp::now();
    let mut variable = Variable {
        id: new_id(&mut fields, &state)?,
        name: String::new(),
        value: String::new(),
        kind: VariableType::Static,
        created_date: now,
        updated_date: now,
    };
    merge(&mut variable, &mut fields)?;
    if variable.name.is_empty() {
        return Err(ApiError::bad("name is missing"));
    }
    let variable = put(&state, variable).await?;
    // The given fields first, as Flowise shows a row that it has just made.
    Ok(HttpResponse::Ok().json(json!({
        "name": variable.name,
        "value": variable.value,
        "type": variable.kind,
        "id": variable.id,
        "createdDate": variable.created_date,
        "updatedDate": variable.updated_date,
    })))
}

/// Changes the given fields of a variable.
///
/// # Errors
/// 400 naming the field; 404.
#[utoipa::path(
    put, path = "/api/v1/variables/{id}", tag = "Variables",
    params(("id" = Uuid, Path, description = "The variable")),
    request_body = Option<VariableChange>,
    responses((status = 200, description = "As it is stored", body = Variable))
)]
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = parse(&id)?;
    let mut variable = state.store.variables().get(id)?.ok_or_else(|| unknown(&id.to_string()))?;
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    merge(&mut variable, &mut fields)?;
    variable.updated_date = Timestamp::now();
    Ok(HttpResponse::Ok().json(put(&state, variable).await?))
}

/// Deletes a variable; `affected` is 0 where there was none, as in Flowise.
///
/// # Errors
/// 404 for an id that cannot be one.
#[utoipa::path(
    delete, path = "/api/v1/variables/{id}", tag = "Variables",
    params(("id" = Uuid, Path, description = "The variable")),
    responses((status = 200, description = "It is gone", body = Deleted))
)]
pub async fn delete(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = parse(&id)?;
    let existed = state.write(move |store| store.variables().delete(id)).await?;
    Ok(Deleted::answer(u64::from(existed)))
}

async fn put(state: &AppState, variable: Variable) -> Result<Variable, ApiError> {
    let row = variable.clone();
    state.write(move |store| store.variables().put(&row)).await?;
    Ok(variable)
}

/// Takes the documented fields; anything else in the body is left alone.
fn merge(variable: &mut Variable, fields: &mut Map<String, Value>) -> Result<(), ApiError> {
    if let Some(name) = text(fields, "name")? {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(ApiError::bad(format!("name must have 1 to {LONGEST_NAME} bytes")));
        }
        variable.name = name;
    }
    if let Some(value) = text(fields, "value")? {
        variable.value = value;
    }
    if let Some(kind) = fields.remove("type").filter(|kind| !kind.is_null()) {
        let kind = serde_json::from_value(kind);
        variable.kind = kind.map_err(|_| ApiError::bad("type must be static or runtime"))?;
    }
    Ok(())
}

/// The client's id, if it is a new one, else a random one.
fn new_id(fields: &mut Map<String, Value>, state: &AppState) -> Result<Uuid, ApiError> {
    let Some(id) = text(fields, "id")? else { return Ok(Uuid::new_v4()) };
    let id = Uuid::try_parse(&id).map_err(|_| ApiError::bad("id must be a UUID"))?;
    if state.store.variables().get(id)?.is_some() {
        let message = format!("Variable {id} exists already");
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    Ok(id)
}

fn parse(id: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(id).map_err(|_| unknown(id))
}

fn unknown(id: &str) -> ApiError {
    let message = format!("Variable {} not found in the database", shown(id, 60));
    ApiError::new(ErrorCode::NotFound, message)
}
