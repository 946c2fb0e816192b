//! What an embedded chat window asks for before its first question. Anyone
//! may call these, so nothing that opens something leaves here.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use parlor_schemas::{ChatflowId, ErrorCode};
use serde_json::{Value, json};

use super::chatflows;
use super::error::ApiError;
use super::state::AppState;
use crate::flow::cache::{ReadyFlow, not_found};
use crate::flow::public_view;

/// The widget's own settings, and what people may upload. `flowData` stays
/// out: the widget reads it for agent flows of Flowise 3 only.
///
/// # Errors
/// 404; 422 for a flow that cannot be read.
#[utoipa::path(
    get, path = "/api/v1/public-chatbotConfig/{id}", tag = "Widget",
    params(("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow")),
    responses((status = 200, description = "Its settings, and uploads", body = Map<String, Value>))
)]
pub async fn chatbot_config(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = ready(&id, &state)?;
    let mut settings = public_view::widget_settings(&flow.chatflow);
    settings.insert("uploads".into(), json!(flow.uploads.clone()?));
    settings.insert("isTTSEnabled".into(), Value::Bool(false));
    Ok(HttpResponse::Ok().json(settings))
}

/// What people may upload.
///
/// # Errors
/// 404; 422 for a flow that cannot be read.
#[utoipa::path(
    get, path = "/api/v1/chatflows-uploads/{id}", tag = "Widget",
    params(("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow")),
    responses(
        (status = 200, description = "What people may upload", body = crate::flow::upload_config::UploadConfig),
    )
)]
pub async fn uploads(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(ready(&id, &state)?.uploads.clone()?))
}

/// The row of a chatflow that its operator made public.
///
/// # Errors
/// 401 for any other chatflow; 404.
#[utoipa::path(
    get, path = "/api/v1/public-chatflows/{id}", tag = "Widget",
    params(("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow")),
    responses((status = 200, description = "The chatflow", body = parlor_schemas::Chatflow))
)]
pub async fn public_chatflow(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let chatflow = chatflows::find(&id, &state)?;
    if chatflow.is_public != Some(true) {
        return Err(ApiError::new(ErrorCode::Unauthorized, "Unauthorized"));
    }
    let row = public_view::public_row(chatflow)
        .map_err(|error| ApiError::new(ErrorCode::InvalidFlow, error.to_string()))?;
    Ok(HttpResponse::Ok().json(row))
}

fn ready(id: &str, state: &AppState) -> Result<Arc<ReadyFlow>, ApiError> {
    let id = ChatflowId::parse(id).map_err(|_| ApiError(not_found("with that id")))?;
    Ok(state.flows.get(id)?)
}
