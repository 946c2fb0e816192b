//! `POST /api/v1/chatmessage`: one message put behind a conversation by its
//! operator, as Flowise's own pages do it.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ChatMessage, ChatflowId, ErrorCode, MessageFilter, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body;
use super::care::lines;
use super::chatflows::{self, object};
use super::error::ApiError;
use super::state::AppState;
use crate::store::{ImportedTurn, MessageQuery, Order};

/// Stores a message behind the last one of its session; the chatflow stands in the body.
///
/// # Errors
/// 400 naming the field; 404; 409 for an `id` that is there already.
#[utoipa::path(
    post, path = "/api/v1/chatmessage", tag = "Messages",
    request_body = NewMessage,
    responses((status = 200, description = "As it is stored", body = ChatMessage))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let fields = object(body::read(&request, payload, state.body_limit).await?)?;
    store(fields, None, &state).await
}

/// The same with the chatflow in the path.
///
/// # Errors
/// As there.
#[utoipa::path(
    post, path = "/api/v1/chatmessage/{id}", tag = "Messages",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    request_body = NewMessage,
    responses((status = 200, description = "As it is stored", body = ChatMessage))
)]
pub async fn create_in_flow(
    id: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let fields = object(body::read(&request, payload, state.body_limit).await?)?;
    store(fields, Some(flow.id), &state).await
}

/// A message to store; the other columns of the Message API are taken too.
#[derive(utoipa::ToSchema)]
pub struct NewMessage {
    /// Who wrote it.
    pub role: parlor_schemas::Role,
    /// The chatflow, where the path does not name it.
    pub chatflowid: Option<ChatflowId>,
    /// The text.
    pub content: String,
    /// The chat.
    #[schema(rename = "chatId")]
    pub chat_id: String,
    /// The session; the chat's id without it.
    #[schema(rename = "sessionId")]
    pub session_id: Option<String>,
    /// The door, `EXTERNAL` without it.
    #[schema(rename = "chatType")]
    pub chat_type: Option<parlor_schemas::ChatType>,
    /// A new one without it.
    pub id: Option<Uuid>,
    /// Now without it.
    #[schema(rename = "createdDate")]
    pub created_date: Option<Timestamp>,
}

async fn store(
    mut fields: Map<String, Value>,
    flow: Option<ChatflowId>,
    state: &AppState,
) -> Result<HttpResponse, ApiError> {
    fields.retain(|_, value| !value.is_null());
    let own = fields.get("chatflowid").and_then(Value::as_str);
    if let (Some(flow), Some(own)) = (flow, own)
        && ChatflowId::parse(own) != Ok(flow)
    {
        return Err(ApiError::bad("chatflowid is not that of the path"));
    }
    let id = fields.entry("id").or_insert_with(|| json!(Uuid::new_v4())).clone();
    fields.entry("createdDate").or_insert_with(|| json!(Timestamp::now()));
    let half = lines::read(Value::Object(fields).to_string().as_bytes(), flow);
    let half = half.map_err(ApiError::bad)?;
    let flow = chatflows::find(&half.key.chatflow.to_string(), state)?.id;
    let turn = ImportedTurn { key: half.key, halves: half.halves, body: half.body };
    let n_stored = state.store.history().import(vec![turn]).await?;
    state.supervisor.drop_memory(flow).await;
    if n_stored == 0 {
        let message = "a message with this id is there already; leave id out for a new one";
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let message = serde_json::from_value(id).ok();
    let query = MessageQuery {
        filter: MessageFilter { message, ..MessageFilter::default() },
        order: Order::Ascending,
        after: None,
        limit: 1,
        with_feedback: false,
    };
    let stored = state.store.messages(flow, query).await?.messages.pop();
    let gone = || ApiError::new(ErrorCode::NotFound, "the message was deleted at once");
    Ok(HttpResponse::Ok().json(stored.ok_or_else(gone)?))
}
