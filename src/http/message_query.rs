//! The query of the Message API, read strictly: a selector that is unknown or
//! misspelt must never select more than its author meant.

use std::num::NonZeroUsize;

use parlor_schemas::feedback::Rating;
use parlor_schemas::{ChatId, ChatType, MessageFilter, SessionId, Timestamp, shown};
use uuid::Uuid;

use super::error::ApiError;
use crate::store::{MessageCursor, Order};

/// Largest page that a caller may ask for.
pub const MAX_PAGE: usize = 10_000;

/// The pairs of a query, kept as they came so that nothing is overlooked.
pub type Pairs = Vec<(String, String)>;

/// What a reader asks for.
#[derive(Debug, Default)]
pub struct Reading {
    /// The messages that are meant; `None` when no message can be: an empty
    /// session or chat id, which Flowise answers with no rows.
    pub filter: Option<MessageFilter>,
    /// Which end comes first.
    pub order: Order,
    /// Whether each message shows its feedback.
    pub with_feedback: bool,
    /// Only answers with one of these ratings, each after its question.
    pub ratings: Vec<Rating>,
    /// Messages of a page; without it all are sent.
    pub limit: Option<NonZeroUsize>,
    /// Pages to leave out, counted in messages as in Flowise 3.1.
    pub page: Option<NonZeroUsize>,
    /// Where the page before ended.
    pub cursor: Option<MessageCursor>,
}

/// Reads the query of a GET.
///
/// # Errors
/// 400 naming the parameter.
pub fn reading(pairs: &Pairs) -> Result<Reading, ApiError> {
    let mut reading = Reading { filter: Some(MessageFilter::default()), ..Reading::default() };
    for (name, value) in pairs {
        match plain(name) {
            "order" | "sort" => reading.order = order(value)?,
            "feedback" => reading.with_feedback = !value.is_empty(),
            "feedbackType" => reading.ratings.extend(ratings(value)?),
            "limit" => reading.limit = Some(count(name, value)?),
            "page" => reading.page = Some(count(name, value)?),
            "cursor" => reading.cursor = Some(cursor(value)?),
            "sessionId" | "chatId" if value.is_empty() => reading.filter = None,
            name => {
                let mut ignored = MessageFilter::default();
                select(reading.filter.as_mut().unwrap_or(&mut ignored), name, value)?;
            }
        }
    }
    if reading.cursor.is_some() && !reading.ratings.is_empty() {
        return Err(ApiError::bad("feedbackType is paged by page and limit, not by cursor"));
    }
    if reading.page.is_some() && reading.limit.is_none() {
        return Err(ApiError::bad("page needs a limit: the number of messages of a page"));
    }
    Ok(reading)
}

/// What a DELETE means.
#[derive(Debug, Default)]
pub struct Deletion {
    /// The messages that are meant.
    pub filter: MessageFilter,
    /// Of these only answers with one of these ratings, with their questions.
    pub ratings: Vec<Rating>,
}

/// Reads the query of a DELETE.
///
/// # Errors
/// 400 naming the parameter, also where it is empty.
pub fn deletion(pairs: &Pairs) -> Result<Deletion, ApiError> {
    let mut deletion = Deletion::default();
    for (name, value) in pairs {
        match plain(name) {
            // Flowise clears memories outside only when it is told to; here
            // what is deleted is deleted.
            "hardDelete" | "isClearFromViewMessageDialog" => {}
            name if value.is_empty() => {
                let name = shown(name, 40);
                return Err(ApiError::bad(format!("{name} is empty; nothing was deleted")));
            }
            "feedbackType" => deletion.ratings.extend(ratings(value)?),
            name => select(&mut deletion.filter, name, value)?,
        }
    }
    Ok(deletion)
}

/// The name of a list without what libraries of queries write behind it:
/// `chatType[]`, `chatType[0]`.
fn plain(name: &str) -> &str {
    let Some((list, index)) = name.split_once('[') else { return name };
    let is_list = matches!(list, "chatType" | "feedbackType");
    let index = index.strip_suffix(']').unwrap_or("none");
    if is_list && index.bytes().all(|byte| byte.is_ascii_digit()) { list } else { name }
}

/// Adds one selector to a filter. The same one twice must say the same, but
/// for `chatType`, of which each adds a door.
///
/// # Errors
/// 400 naming the selector.
pub fn select(filter: &mut MessageFilter, name: &str, value: &str) -> Result<(), ApiError> {
    let bad = |problem: String| ApiError::bad(format!("{name} {problem}"));
    match name {
        "sessionId" => {
            let id = SessionId::parse(value).map_err(|error| ApiError::bad(error.to_string()))?;
            once(name, &mut filter.session, id)
        }
        "chatId" => {
            let id = ChatId::parse(value).map_err(|error| ApiError::bad(error.to_string()))?;
            once(name, &mut filter.chat, id)
        }
        "messageId" => {
            let id = Uuid::try_parse(value).map_err(|_| bad("must be a UUID".to_owned()))?;
            once(name, &mut filter.message, id)
        }
        "memoryType" => once(name, &mut filter.memory_type, value.to_owned()),
        "chatType" => {
            filter.chat_types.extend(doors(value)?);
            Ok(())
        }
        "startDate" => once(name, &mut filter.from, date(name, value)?),
        "endDate" => once(name, &mut filter.to, date(name, value)?),
        _ => Err(unknown(name)),
    }
}

fn once<T: PartialEq>(name: &str, slot: &mut Option<T>, value: T) -> Result<(), ApiError> {
    if slot.as_ref().is_some_and(|known| *known != value) {
        return Err(ApiError::bad(format!("{name} is given twice with different values")));
    }
    *slot = Some(value);
    Ok(())
}

/// `INTERNAL`, `EXTERNAL`, or a JSON array of them.
fn doors(value: &str) -> Result<Vec<ChatType>, ApiError> {
    let door = |text: &str| match text {
        "INTERNAL" => Ok(ChatType::Internal),
        "EXTERNAL" => Ok(ChatType::External),
        _ => Err(ApiError::bad("chatType must be INTERNAL or EXTERNAL")),
    };
    match serde_json::from_str::<Vec<String>>(value) {
        Ok(listed) if !listed.is_empty() => listed.iter().map(|text| door(text)).collect(),
        _ => Ok(vec![door(value)?]),
    }
}

/// `THUMBS_UP`, `THUMBS_DOWN`, or a JSON array of them.
fn ratings(value: &str) -> Result<Vec<Rating>, ApiError> {
    let rating = |word: &str| {
        let problem = || ApiError::bad("feedbackType must be THUMBS_UP or THUMBS_DOWN");
        Rating::parse(word).ok_or_else(problem)
    };
    match serde_json::from_str::<Vec<String>>(value) {
        Ok(listed) if !listed.is_empty() => listed.iter().map(|word| rating(word)).collect(),
        _ => Ok(vec![rating(value)?]),
    }
}

/// A date in one of the forms of [`Timestamp::parse`].
///
/// # Errors
/// 400 naming the parameter.
pub fn date(name: &str, value: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse(value).ok_or_else(|| {
        ApiError::bad(format!("{name} is no date; write it like 2026-01-31T12:00:00Z"))
    })
}

fn order(value: &str) -> Result<Order, ApiError> {
    match value.to_ascii_uppercase().as_str() {
        "ASC" => Ok(Order::Ascending),
        "DESC" => Ok(Order::Descending),
        _ => Err(ApiError::bad("order must be ASC or DESC")),
    }
}

fn count(name: &str, value: &str) -> Result<NonZeroUsize, ApiError> {
    let number = value.parse::<NonZeroUsize>().ok().filter(|n| n.get() <= MAX_PAGE);
    number.ok_or_else(|| ApiError::bad(format!("{name} must be a number from 1 to {MAX_PAGE}")))
}

fn cursor(value: &str) -> Result<MessageCursor, ApiError> {
    let problem = || ApiError::bad("cursor must be the X-Next-Cursor of an earlier page");
    MessageCursor::parse(value).ok_or_else(problem)
}

/// The error for a name that selects nothing.
pub fn unknown(name: &str) -> ApiError {
    ApiError::bad(format!(
        "{} is no selector that is known here; use sessionId, chatId, messageId, memoryType, \
         chatType, startDate, endDate or feedbackType",
        shown(name, 40)
    ))
}
