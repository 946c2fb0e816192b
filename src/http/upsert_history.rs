//! `/api/v1/upsert-history`: what upserts did, for the operator.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ChatflowId, UpsertRecord};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body;
use super::chatflows::{self, object};
use super::error::ApiError;
use super::listing::{self, Query, Selection};
use super::openapi::Deleted;
use super::state::AppState;

/// Largest body in bytes.
const MAX_BODY: usize = 1 << 20;

/// The rows that are to be deleted.
#[derive(ToSchema)]
pub struct Rows {
    /// Their ids.
    pub ids: Vec<Uuid>,
}

/// The upserts of all chatflows, oldest first unless `order` says `DESC`.
///
/// # Errors
/// 400 for an unknown parameter.
#[utoipa::path(
    get, path = "/api/v1/upsert-history", tag = "Vectors",
    params(
        ("order" = Option<String>, Query, description = "ASC or DESC, by date"),
        ("startDate" = Option<String>, Query, description = "Oldest date"),
        ("endDate" = Option<String>, Query, description = "Newest date"),
    ),
    responses((status = 200, description = "Rows", body = Vec<UpsertRecord>))
)]
pub async fn all(query: Query, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    respond(None, &query, state)
}

/// The upserts of a chatflow, oldest first unless `order` says `DESC`.
///
/// # Errors
/// 400 for an unknown parameter; 404.
#[utoipa::path(
    get, path = "/api/v1/upsert-history/{id}", tag = "Vectors",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("order" = Option<String>, Query, description = "ASC or DESC, by date"),
        ("startDate" = Option<String>, Query, description = "Oldest date"),
        ("endDate" = Option<String>, Query, description = "Newest date"),
    ),
    responses((status = 200, description = "Rows", body = Vec<UpsertRecord>))
)]
pub async fn of_chatflow(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = chatflows::find(&id, &state)?.id;
    respond(Some(id), &query, state)
}

fn respond(
    flow: Option<ChatflowId>,
    query: &Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let page = Selection::by_date(query)?;
    Ok(listing::respond(page, move |page| {
        let state = state.clone();
        async move { state.store.upsert_history().page(flow, page).await }
    }))
}

/// Deletes rows by their ids.
///
/// # Errors
/// 400 when `ids` is missing, empty or holds no ids.
#[utoipa::path(
    patch, path = "/api/v1/upsert-history", tag = "Vectors",
    request_body = Rows,
    responses((status = 200, description = "How many are gone", body = Deleted))
)]
pub async fn delete(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, MAX_BODY).await?)?;
    let ids = ids(fields.remove("ids"))?;
    let n_deleted = state.store.upsert_history().delete(&ids).await?;
    Ok(Deleted::answer(n_deleted))
}

fn ids(value: Option<Value>) -> Result<Vec<Uuid>, ApiError> {
    let listed = match value {
        Some(Value::Array(ids)) if !ids.is_empty() => ids,
        _ => return Err(ApiError::bad("ids must be a list of ids that is not empty")),
    };
    body::uuids(&listed).ok_or_else(|| ApiError::bad("ids must hold UUIDs"))
}
