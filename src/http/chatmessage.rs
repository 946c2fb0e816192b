//! `/api/v1/chatmessage/{id}`: the stored messages of a session or a chatflow.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use parlor_schemas::{ChatMessage, ChatflowId, MessageFilter, SessionKey};
use serde_json::json;

use super::chatflows;
use super::error::ApiError;
use super::message_query;
use super::openapi::Deleted;
use super::state::AppState;
use crate::store::MessageQuery;

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

type Query = web::Query<message_query::Pairs>;

/// The messages that the query selects, oldest first unless `order` or `sort`
/// says `DESC`. With `limit` one page, and the next one's `cursor` in the
/// header `X-Next-Cursor`.
///
/// # Errors
/// 400 for a parameter that is unknown or cannot be read; 404.
#[utoipa::path(
    get, path = "/api/v1/chatmessage/{id}", tag = "Messages",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("sessionId" = Option<String>, Query, description = "Only this session"),
        ("chatId" = Option<String>, Query, description = "Only this chat"),
        ("messageId" = Option<uuid::Uuid>, Query, description = "Only this message"),
        ("memoryType" = Option<String>, Query, description = "Only this label of a memory"),
        ("chatType" = Option<String>, Query, description = "INTERNAL or EXTERNAL, or a JSON array of them"),
        ("startDate" = Option<parlor_schemas::Timestamp>, Query, description = "From this date on"),
        ("endDate" = Option<parlor_schemas::Timestamp>, Query, description = "Up to this date"),
        ("order" = Option<Direction>, Query, description = "By date; `sort` is another name for it"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Messages of a page"),
        ("page" = Option<u32>, Query, minimum = 1, description = "Which page; needs limit"),
        ("cursor" = Option<String>, Query, description = "`X-Next-Cursor` of the page before"),
    ),
    responses((status = 200, description = "Messages", body = Vec<ChatMessage>))
)]
pub async fn list(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let reading = message_query::reading(&query)?;
    let Some(filter) = reading.filter else { return Ok(HttpResponse::Ok().json(json!([]))) };
    let query = MessageQuery { filter, order: reading.order, after: reading.cursor, limit: PAGE };
    let Some(limit) = reading.limit else { return all(state, flow.id, query).await };
    let n_pages_before = reading.page.map_or(0, |page| page.get() - 1);
    one_page(&state, flow.id, MessageQuery { limit: limit.get(), ..query }, n_pages_before).await
}

async fn one_page(
    state: &AppState,
    flow: ChatflowId,
    mut query: MessageQuery,
    n_pages_before: usize,
) -> Result<HttpResponse, ApiError> {
    let history = state.store.history();
    for _ in 0..n_pages_before {
        match history.messages(flow, query.clone()).await?.next {
            Some(next) => query.after = Some(next),
            None => return Ok(HttpResponse::Ok().json(json!([]))),
        }
    }
    let page = history.messages(flow, query).await?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        response.insert_header(("X-Next-Cursor", next.to_text()));
    }
    Ok(response.json(page.messages))
}

/// Every selected message as one JSON array, read and sent page by page: a
/// long history never stands in memory.
async fn all(
    state: web::Data<AppState>,
    flow: ChatflowId,
    query: MessageQuery,
) -> Result<HttpResponse, ApiError> {
    let first = state.store.history().messages(flow, query.clone()).await?;
    if first.next.is_none() {
        return Ok(HttpResponse::Ok().json(first.messages));
    }
    let pages = stream::unfold(Some((first, b'[')), move |at| {
        let (state, query) = (state.clone(), query.clone());
        async move {
            let (page, opener) = at?;
            let bytes = page_bytes(&page.messages, opener, page.next.is_none());
            let Some(after) = page.next else { return Some((Ok(bytes), None)) };
            let query = MessageQuery { after: Some(after), ..query };
            Some(match state.store.history().messages(flow, query).await {
                Ok(next) => (Ok(bytes), Some((next, b','))),
                // The array stays open, so that nobody takes it for the whole.
                Err(error) => (Err(ApiError::from(error)), None),
            })
        }
    });
    Ok(HttpResponse::Ok().content_type("application/json").streaming(pages))
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

/// Deletes the messages that all selectors mean, their feedback, and the memory of
/// live actors with them. Without any selector it clears the chatflow's history.
///
/// # Errors
/// 400 for an empty or unknown selector, and then nothing is deleted; 404.
#[utoipa::path(
    delete, path = "/api/v1/chatmessage/{id}", tag = "Messages",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("sessionId" = Option<String>, Query, description = "Only this session"),
        ("chatId" = Option<String>, Query, description = "Only this chat"),
        ("messageId" = Option<uuid::Uuid>, Query, description = "Only this message"),
        ("memoryType" = Option<String>, Query, description = "Only this label of a memory"),
        ("chatType" = Option<String>, Query, description = "INTERNAL or EXTERNAL, or a JSON array of them"),
        ("startDate" = Option<parlor_schemas::Timestamp>, Query, description = "From this date on"),
        ("endDate" = Option<parlor_schemas::Timestamp>, Query, description = "Up to this date"),
    ),
    responses((status = 200, description = "How many are gone", body = Deleted))
)]
pub async fn delete(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let filter = message_query::deletion(&query)?;
    let of_session = MessageFilter { session: filter.session.clone(), ..Default::default() };
    let history = state.store.history();
    let feedback = state.store.feedback();
    let n_deleted = match &filter.session {
        Some(session) if filter == of_session => {
            let key = SessionKey { chatflow: flow.id, session: session.clone() };
            let n_deleted = state.supervisor.forget_session(key.clone()).await?;
            feedback.delete_session(key).await?;
            n_deleted
        }
        _ if filter.is_empty() => {
            let n_deleted = history.delete_chatflow_history(flow.id).await?;
            state.supervisor.drop_memory(flow.id).await;
            feedback.delete_chatflow(flow.id).await?;
            n_deleted
        }
        _ => {
            let chat = filter.chat.clone();
            let n_deleted = history.delete_messages(flow.id, filter).await?;
            state.supervisor.drop_memory(flow.id).await;
            feedback.delete_orphans(flow.id, chat, history).await?;
            n_deleted
        }
    };
    Ok(HttpResponse::Ok().json(json!({"raw": [], "affected": n_deleted})))
}
