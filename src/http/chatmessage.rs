//! `/api/v1/chatmessage/{id}`: the stored messages of a session or a chatflow.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use parlor_schemas::feedback::Rating;
use parlor_schemas::{ChatMessage, ChatType, ChatflowId, MessageFilter, SessionKey};
use serde_json::json;

use super::chatflows;
use super::error::ApiError;
use super::message_query::{self, Deletion, Reading};
use super::openapi::Deleted;
use super::state::AppState;
use crate::store::{MessageQuery, MessageStats, Order};

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
        ("feedback" = Option<String>, Query, description = "Anything: each message shows its feedback"),
        ("feedbackType" = Option<String>, Query, description = "Only answers with this rating, with their questions: THUMBS_UP or THUMBS_DOWN"),
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
    let reading = message_query::reading(&query)?;
    read(&id, reading, state).await
}

/// Answers a path that lacks the chatflow, in Flowise's words.
///
/// # Errors
/// Always 412.
#[utoipa::path(
    get, path = "/api/v1/chatmessage", tag = "Messages",
    responses((status = 412, description = "The path lacks the chatflow"))
)]
pub async fn list_without_id() -> Result<HttpResponse, ApiError> {
    Err(ApiError::no_id("chatMessageController.getAllChatMessages"))
}

/// The same for a deletion: nothing is deleted.
///
/// # Errors
/// Always 412.
#[utoipa::path(
    delete, path = "/api/v1/chatmessage", tag = "Messages",
    responses((status = 412, description = "The path lacks the chatflow"))
)]
pub async fn delete_without_id() -> Result<HttpResponse, ApiError> {
    Err(ApiError::no_id("chatMessageController.removeAllChatMessages"))
}

/// The same of the operator's own door: `chatType` is `INTERNAL`, whatever the
/// query says of it.
///
/// # Errors
/// As there.
#[utoipa::path(
    get, path = "/api/v1/internal-chatmessage/{id}", tag = "Messages",
    params(("id" = ChatflowId, Path, description = "The chatflow; the query is that of `/api/v1/chatmessage/{id}`")),
    responses((status = 200, description = "Messages", body = Vec<ChatMessage>))
)]
pub async fn list_internal(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut reading = message_query::reading(&query)?;
    if let Some(filter) = &mut reading.filter {
        filter.chat_types = vec![ChatType::Internal];
    }
    read(&id, reading, state).await
}

async fn read(
    id: &str,
    reading: Reading,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(id, &state)?;
    let Some(filter) = reading.filter else { return Ok(HttpResponse::Ok().json(json!([]))) };
    if !reading.ratings.is_empty() {
        let rated = state.store.rated(flow.id, &filter, &reading.ratings, reading.order).await?;
        let limit = reading.limit.map_or(usize::MAX, std::num::NonZeroUsize::get);
        let n_before = reading.page.map_or(0, |page| page.get() - 1).saturating_mul(limit);
        let page: Vec<_> = rated.into_iter().skip(n_before).take(limit).collect();
        return Ok(HttpResponse::Ok().json(page));
    }
    let query = MessageQuery {
        filter,
        order: reading.order,
        after: reading.cursor,
        limit: PAGE,
        with_feedback: reading.with_feedback,
    };
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
    for _ in 0..n_pages_before {
        // Pages that nobody sees need no feedback.
        match state.store.history().messages(flow, query.clone()).await?.next {
            Some(next) => query.after = Some(next),
            None => return Ok(HttpResponse::Ok().json(json!([]))),
        }
    }
    let page = state.store.messages(flow, query).await?;
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
    let first = state.store.messages(flow, query.clone()).await?;
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
            Some(match state.store.messages(flow, query).await {
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
        ("feedbackType" = Option<String>, Query, description = "Only answers with this rating, with their questions: THUMBS_UP or THUMBS_DOWN"),
    ),
    responses((status = 200, description = "How many are gone", body = Deleted))
)]
pub async fn delete(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let Deletion { filter, ratings } = message_query::deletion(&query)?;
    if !ratings.is_empty() {
        return delete_rated(&state, flow.id, &filter, &ratings).await;
    }
    let of_session = MessageFilter { session: filter.session.clone(), ..Default::default() };
    let feedback = state.store.feedback();
    let n_deleted = match &filter.session {
        Some(session) if filter == of_session => {
            let key = SessionKey { chatflow: flow.id, session: session.clone() };
            let n_deleted = state.supervisor.forget_session(key.clone()).await?;
            feedback.delete_session(key).await?;
            n_deleted
        }
        _ if filter.is_empty() => {
            let n_deleted = state.store.history().delete_chatflow_history(flow.id).await?;
            state.supervisor.drop_memory(flow.id).await;
            feedback.delete_chatflow(flow.id).await?;
            n_deleted
        }
        _ => state.delete_messages(flow.id, filter).await?,
    };
    Ok(Deleted::answer(n_deleted))
}

/// Deletes answers with one of these ratings, and their questions where these
/// are meant too.
async fn delete_rated(
    state: &AppState,
    flow: ChatflowId,
    filter: &MessageFilter,
    ratings: &[Rating],
) -> Result<HttpResponse, ApiError> {
    let rated = state.store.rated(flow, filter, ratings, Order::Ascending).await?;
    let n_deleted = state.delete_each(flow, rated.iter().map(|message| message.id)).await?;
    Ok(Deleted::answer(n_deleted))
}

/// How many messages the query selects, and how they were rated.
///
/// # Errors
/// 400 for a parameter that is unknown or cannot be read; 404.
#[utoipa::path(
    get, path = "/api/v1/stats/{id}", tag = "Messages",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("chatType" = Option<String>, Query, description = "INTERNAL or EXTERNAL"),
        ("startDate" = Option<String>, Query, description = "Oldest date"),
        ("endDate" = Option<String>, Query, description = "Newest date"),
        ("feedbackType" = Option<String>, Query, description = "THUMBS_UP or THUMBS_DOWN"),
    ),
    responses((status = 200, description = "totalMessages, totalFeedback, positiveFeedback", body = serde_json::Value))
)]
pub async fn stats(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?;
    let reading = message_query::reading(&query)?;
    let stats = match reading.filter {
        Some(filter) => state.store.message_stats(flow.id, filter, &reading.ratings).await?,
        None => MessageStats::default(),
    };
    Ok(HttpResponse::Ok().json(json!({
        "totalMessages": stats.n_messages,
        "totalFeedback": stats.n_rated,
        "positiveFeedback": stats.n_positive,
    })))
}
