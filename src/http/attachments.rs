//! `POST /api/v1/attachments/{id}/{chatId}`: the text of files, which a client
//! then sends along with its question.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::ChatId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chatflows;
use super::error::ApiError;
use super::multipart;
use super::state::AppState;
use crate::flow::attachments::{self, Rules};
use crate::store::blobs::BlobFolder;

/// The form of [`create`].
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // It is only described: the form is read as it streams in.
struct AttachedFiles {
    /// The files; none is an empty answer.
    #[schema(value_type = Option<Vec<String>>, format = Binary)]
    files: Option<Vec<String>>,
    /// `true` for their bytes in base64 instead of their texts.
    base64: Option<String>,
}

/// Stores the files with their chat and answers with their texts.
///
/// # Errors
/// 400 naming the id or the file; 403 when the chatflow takes none; 404; 413.
#[utoipa::path(
    post, path = "/api/v1/attachments/{id}/{chatId}", tag = "Widget",
    params(
        ("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow"),
        ("chatId" = uuid::Uuid, Path, description = "The chat"),
    ),
    request_body(content = inline(AttachedFiles), content_type = "multipart/form-data"),
    responses((status = 200, description = "The files with their texts", body = Vec<serde_json::Value>))
)]
pub async fn create(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let (id, chat) = path.into_inner();
    let flow = chatflows::find(&id, &state)?;
    let chat = chat_id(&chat)?;
    let rules = Rules::of(&flow);
    rules.check()?;
    if !multipart::is_multipart(&request) {
        return Err(ApiError::bad("send the files as multipart/form-data in the field files"));
    }
    let (fields, files) = multipart::read(&request, payload, state.body_limit).await?;
    if files.is_empty() {
        return Ok(HttpResponse::Ok().json(json!([])));
    }
    let as_base64 = fields.get("base64").and_then(Value::as_str);
    let as_base64 = as_base64.is_some_and(|value| !matches!(value, "" | "false" | "0"));
    let folder = BlobFolder::of(flow.id, &chat);
    let blobs = state.store.blobs().clone();
    let attachments = attachments::take(files, &rules, as_base64, folder, blobs).await?;
    let n_bytes = attachments.iter().map(|attachment| attachment.content.len()).sum();
    state.arrivals.answer(&request, n_bytes)?;
    Ok(HttpResponse::Ok().json(attachments))
}

/// Clients make their chat ids here themselves, and they are UUIDs.
fn chat_id(text: &str) -> Result<ChatId, ApiError> {
    let bad = || ApiError::bad("Invalid chatId format - must be a valid UUID");
    if text.len() != 36 || Uuid::try_parse(text).is_err() {
        return Err(bad());
    }
    ChatId::parse(text).map_err(|_| bad())
}
