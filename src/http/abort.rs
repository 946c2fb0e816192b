//! `PUT /api/v1/chatmessage/abort/{id}/{chat}`: stops the running turn of a chat.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ChatId, ChatflowId, ErrorCode};
use serde_json::json;

use super::error::ApiError;
use super::gate;
use super::state::AppState;

/// Aborts the turns of a chat that run or wait.
///
/// # Errors
/// 401 and 403 of the chatflow. 404 in the same words for a silent chat and
/// for ids that do not exist: who guesses learns nothing.
#[utoipa::path(
    put, path = "/api/v1/chatmessage/abort/{id}/{chat}", tag = "Messages",
    params(
        ("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow"),
        ("chat" = parlor_schemas::ChatId, Path, description = "The chat"),
    ),
    responses((status = 200, description = "status and message", body = Value))
)]
pub async fn abort(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let nothing_runs = || ApiError::new(ErrorCode::NotFound, "no message of this chat is running");
    let flow = ChatflowId::parse(&path.0).map_err(|_| nothing_runs())?;
    gate::check_flow(&request, flow).await.map_err(|error| match error.0.code {
        ErrorCode::NotFound => nothing_runs(),
        _ => error,
    })?;
    let chat = ChatId::parse(&path.1).map_err(|_| nothing_runs())?;
    if !state.supervisor.abort_chat(flow, chat) {
        return Err(nothing_runs());
    }
    Ok(HttpResponse::Ok().json(json!({"status": 200, "message": "Chat message aborted"})))
}
