//! `/api/v1/feedback`: what people say about answers. Writing follows the
//! policy of the chatflow and needs the id of one of its messages; reading is
//! the operator's.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::feedback::{Feedback, Rating};
use parlor_schemas::{ChatId, ChatMessage, ChatflowId, ErrorCode, SessionId, SessionKey, shown};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body;
use super::chatflows::{self, object, text};
use super::error::ApiError;
use super::gate;
use super::listing::{self, Query, Selection};
use super::state::AppState;
use crate::store::RatedMessage;

/// Largest body of these routes in bytes; it may be read before anybody is known.
pub const SMALL_BODY: usize = 16 * 1024;

/// Longest words of one feedback in bytes.
const MAX_CONTENT_BYTES: usize = 8 * 1024;

/// What a person says about an answer.
#[derive(utoipa::ToSchema)]
pub struct NewFeedback {
    /// The answer.
    #[schema(rename = "messageId")]
    pub message_id: Uuid,
    /// The chatflow; that of the path or of the message without it.
    pub chatflowid: Option<ChatflowId>,
    /// The chat of the message.
    #[schema(rename = "chatId")]
    pub chat_id: Option<String>,
    /// The thumb.
    pub rating: Option<Rating>,
    /// In words.
    pub content: Option<String>,
}

/// What changes of a feedback.
#[derive(utoipa::ToSchema)]
pub struct FeedbackChange {
    /// The thumb.
    pub rating: Option<Rating>,
    /// In words.
    pub content: Option<String>,
}

/// Stores feedback on a message; the chatflow stands in the body, or is that
/// of the message.
///
/// # Errors
/// 400 naming the field; 401 and 403 of the chatflow; 404.
#[utoipa::path(
    post, path = "/api/v1/feedback", tag = "Feedback",
    request_body = NewFeedback,
    responses((status = 200, description = "As it is stored", body = Feedback))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, SMALL_BODY).await?)?;
    let message = message_id(&mut fields)?;
    let flow = match flow_id(&mut fields)? {
        Some(flow) => flow,
        None => find(&state, message).await?.chatflowid,
    };
    gate::check_flow(&request, flow).await?;
    store(&state, flow, message, fields).await
}

/// The same for the chatflow of the path.
///
/// # Errors
/// 400 naming the field; 404.
#[utoipa::path(
    post, path = "/api/v1/feedback/{id}", tag = "Feedback",
    params(("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow")),
    request_body = NewFeedback,
    responses((status = 200, description = "As it is stored", body = Feedback))
)]
pub async fn create_in_flow(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?.id;
    let mut fields = object(body::read(&request, payload, SMALL_BODY).await?)?;
    if flow_id(&mut fields)?.is_some_and(|named| named != flow) {
        return Err(ApiError::bad("Inconsistent chatflow ID: path and body name two chatflows"));
    }
    let message = message_id(&mut fields)?;
    store(&state, flow, message, fields).await
}

async fn store(
    state: &AppState,
    flow: ChatflowId,
    message: Uuid,
    mut fields: Map<String, Value>,
) -> Result<HttpResponse, ApiError> {
    let message = find(state, message).await?;
    if message.chatflowid != flow {
        // The messages of another chatflow are none of this caller's business.
        return Err(no_message(message.id));
    }
    let message = rated(message)?;
    if text(&mut fields, "chatId")?.is_some_and(|chat| chat != message.chat_id.as_str()) {
        return Err(ApiError::bad("Inconsistent chat ID: the message belongs to another chat"));
    }
    let (rating, content) = (rating(&mut fields)?, content(&mut fields)?);
    let row = state.store.feedback().rate(message, rating, content).await?;
    Ok(HttpResponse::Ok().json(created(&row)))
}

async fn find(state: &AppState, message: Uuid) -> Result<ChatMessage, ApiError> {
    state.store.history().message(message).await?.ok_or_else(|| no_message(message))
}

/// A message that was found, by its typed ids.
pub(super) fn rated(message: ChatMessage) -> Result<RatedMessage, ApiError> {
    let unusable = |error: parlor_schemas::IdError| ApiError::bad(error.to_string());
    let chat_id = ChatId::parse(&message.chat_id).map_err(unusable)?;
    let session = message.session_id.as_deref().unwrap_or(&message.chat_id);
    let session = SessionId::parse(session).map_err(unusable)?;
    let key = SessionKey { chatflow: message.chatflowid, session };
    Ok(RatedMessage { id: message.id, key, chat_id })
}

/// A new row as Flowise answers it: what was sent, then what was made.
fn created(row: &Feedback) -> Value {
    json!({
        "chatflowid": row.chatflowid,
        "chatId": row.chat_id,
        "messageId": row.message_id,
        "rating": row.rating,
        "content": row.content,
        "id": row.id,
        "createdDate": row.created_date,
    })
}

/// Changes rating or content of a row, by its id.
///
/// # Errors
/// 400 naming the field; 401 and 403 of its chatflow; 404.
#[utoipa::path(
    put, path = "/api/v1/feedback/{id}", tag = "Feedback",
    params(("id" = Uuid, Path, description = "The feedback")),
    request_body = Option<FeedbackChange>,
    responses((status = 200, description = "status OK", body = Value))
)]
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let unknown = || {
        let message = format!("Feedback with ID {} not found", shown(&id, 60));
        ApiError::new(ErrorCode::NotFound, message)
    };
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    let row = state.store.feedback().get(id)?.ok_or_else(unknown)?;
    gate::check_flow(&request, row.chatflowid).await?;
    let mut fields = object(body::read(&request, payload, SMALL_BODY).await?)?;
    let own = [
        ("messageId", row.message_id.to_string()),
        ("chatflowid", row.chatflowid.to_string()),
        ("chatId", row.chat_id.to_string()),
    ];
    for (key, own) in own {
        if text(&mut fields, key)?.is_some_and(|other| other != own) {
            return Err(ApiError::bad(format!("{key} is not that of the feedback")));
        }
    }
    let (rating, content) = (rating(&mut fields)?, content(&mut fields)?);
    state.store.feedback().update(id, rating, content).await?.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(json!({"status": "OK"})))
}

/// The feedback of a chatflow, or of one of its chats, oldest first unless
/// `order` says `DESC`.
///
/// # Errors
/// 400 for an unknown selector; 404.
#[utoipa::path(
    get, path = "/api/v1/feedback/{id}", tag = "Feedback",
    params(
        ("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow"),
        ("chatId" = Option<String>, Query, description = "Only this chat"),
        ("order" = Option<String>, Query, description = "ASC or DESC, by date"),
    ),
    responses((status = 200, description = "Feedback", body = Vec<Feedback>))
)]
pub async fn list(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?.id;
    let Selection { chat, page } = Selection::parse(&query)?;
    Ok(listing::respond(page, move |page| {
        let (state, chat) = (state.clone(), chat.clone());
        async move { state.store.feedback().page(flow, chat, page).await }
    }))
}

/// The chatflow that a body names.
///
/// # Errors
/// 400.
pub fn flow_id(fields: &mut Map<String, Value>) -> Result<Option<ChatflowId>, ApiError> {
    let id = text(fields, "chatflowid")?.filter(|id| !id.is_empty());
    let parse = |id: String| {
        ChatflowId::parse(&id).map_err(|error| ApiError::bad(format!("chatflowid: {error}")))
    };
    id.map(parse).transpose()
}

fn message_id(fields: &mut Map<String, Value>) -> Result<Uuid, ApiError> {
    let id = text(fields, "messageId")?.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ApiError::bad("Message ID is required"))?;
    Uuid::try_parse(&id)
        .map_err(|_| ApiError::bad("messageId is not a valid id: a UUID is expected"))
}

fn rating(fields: &mut Map<String, Value>) -> Result<Option<Rating>, ApiError> {
    let wrong = || ApiError::bad("rating must be THUMBS_UP or THUMBS_DOWN");
    match text(fields, "rating").map_err(|_| wrong())? {
        Some(word) => Rating::parse(&word).map(Some).ok_or_else(wrong),
        None => Ok(None),
    }
}

fn content(fields: &mut Map<String, Value>) -> Result<Option<String>, ApiError> {
    let content = text(fields, "content")?;
    if content.as_ref().is_some_and(|content| content.len() > MAX_CONTENT_BYTES) {
        return Err(ApiError::bad(format!("content is longer than {MAX_CONTENT_BYTES} bytes")));
    }
    Ok(content)
}

fn no_message(id: Uuid) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("Message with ID {id} not found"))
}
