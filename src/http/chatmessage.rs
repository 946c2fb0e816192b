//! `/api/v1/chatmessage/{id}`: the stored messages of a session or a chatflow.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use parlor_schemas::{ChatMessage, ChatflowId, SessionId, SessionKey};
use serde_json::json;

use super::chatflows;
use super::error::ApiError;
use super::openapi::Deleted;
use super::state::AppState;
use crate::store::{MessagePageQuery, Order};

/// An order by date.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum Direction {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// Messages that are read at once.
const PAGE: usize = 500;

/// What selects messages. Kept as pairs, so that nothing unknown is overlooked.
type Query = web::Query<Vec<(String, String)>>;

/// Messages of a session, or of the whole chatflow, oldest first unless `order` or `sort` says `DESC`.
///
/// # Errors
/// 400 for a selector that this version does not take; 404.
#[utoipa::path(
    get, path = "/api/v1/chatmessage/{id}", tag = "Messages",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("sessionId" = Option<String>, Query, description = "Only this session"),
        ("order" = Option<Direction>, Query, description = "By date; `sort` is another name for it"),
    ),
    responses((status = 200, description = "Messages", body = Vec<ChatMessage>))
)]
pub async fn list(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let mut session = None;
    let mut order = Order::Ascending;
    for (name, value) in query.iter() {
        match (name.as_str(), value.to_ascii_uppercase().as_str()) {
            // No session has an empty id; Flowise answers this with no rows.
            ("sessionId", "") => return Ok(HttpResponse::Ok().json(json!([]))),
            ("sessionId", _) => session = Some(parse_session(value)?),
            ("order" | "sort", "ASC") => {}
            ("order" | "sort", "DESC") => order = Order::Descending,
            ("order" | "sort", _) => return Err(ApiError::bad("order must be ASC or DESC")),
            _ => return Err(unknown(name)),
        }
    }
    let Some(session) = session else { return Ok(all(state, flow.id, order)) };
    let key = SessionKey { chatflow: flow.id, session };
    let messages: Vec<ChatMessage> = state.store.history().session_messages(key, order).await?;
    Ok(HttpResponse::Ok().json(messages))
}

/// Every message of a chatflow as one JSON array, read and sent page by page:
/// a long history never stands in memory.
fn all(state: web::Data<AppState>, flow: ChatflowId, order: Order) -> HttpResponse {
    let first = MessagePageQuery { order, limit: PAGE, ..MessagePageQuery::default() };
    let pages = stream::unfold(Some((first, b'[')), move |at| {
        let state = state.clone();
        async move {
            let (query, opener) = at?;
            Some(match state.store.history().messages_of_chatflow(flow, query).await {
                Ok(page) => {
                    let next = page
                        .next
                        .map(|after| (MessagePageQuery { after: Some(after), ..query }, b','));
                    (Ok(page_bytes(&page.messages, opener, next.is_none())), next)
                }
                // The array stays open, so that nobody takes it for the whole.
                Err(error) => (Err(ApiError::from(error)), None),
            })
        }
    });
    HttpResponse::Ok().content_type("application/json").streaming(pages)
}

fn page_bytes(messages: &[ChatMessage], opener: u8, is_last: bool) -> Bytes {
    let mut out = vec![opener];
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Writing plain data into memory has no way to fail.
        let _ = serde_json::to_writer(&mut out, message);
    }
    if is_last {
        out.push(b']');
    }
    out.into()
}

/// Deletes a session's messages, and the memory of its live actor with them.
/// Without any selector it clears the chatflow's history.
///
/// # Errors
/// 400 for an empty or unknown selector, and then nothing is deleted; 404.
#[utoipa::path(
    delete, path = "/api/v1/chatmessage/{id}", tag = "Messages",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("sessionId" = Option<String>, Query, description = "Only this session"),
    ),
    responses((status = 200, description = "How many are gone", body = Deleted))
)]
pub async fn delete(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let mut session = None;
    for (name, value) in query.iter() {
        match name.as_str() {
            "sessionId" => session = Some(parse_session(value)?),
            _ => return Err(unknown(name)),
        }
    }
    let n_deleted = match session {
        Some(session) => {
            state.supervisor.forget_session(SessionKey { chatflow: flow.id, session }).await?
        }
        None => {
            let n_deleted = state.store.history().delete_chatflow_history(flow.id).await?;
            state.supervisor.drop_memory(flow.id).await;
            n_deleted
        }
    };
    Ok(HttpResponse::Ok().json(json!({"raw": [], "affected": n_deleted})))
}

fn parse_session(text: &str) -> Result<SessionId, ApiError> {
    SessionId::parse(text).map_err(|error| ApiError::bad(error.to_string()))
}

fn unknown(name: &str) -> ApiError {
    let shown: String = name.chars().take(40).collect();
    ApiError::bad(format!(
        "{} is no selector that is known here; use sessionId",
        shown.escape_debug()
    ))
}
