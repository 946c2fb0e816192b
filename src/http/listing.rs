//! Lists of rows in order of date: what selects them, and an array that is
//! read and sent page by page, so that a long one never stands in memory.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use parlor_schemas::{ChatId, shown};
use serde::Serialize;

use super::error::ApiError;
use super::message_query;
use crate::store::{Order, RowPage, RowPageQuery, StoreError};

/// Rows that are read at once.
const PAGE: usize = 500;

/// A query, kept as pairs, so that nothing unknown is overlooked.
pub type Query = web::Query<Vec<(String, String)>>;

/// What a query selects.
#[derive(Debug, Default)]
pub struct Selection {
    /// One chat.
    pub chat: Option<ChatId>,
    /// Dates and order of the first page.
    pub page: RowPageQuery,
}

impl Selection {
    /// Reads `chatId`, `startDate`, `endDate` and `order` (or `sort`).
    ///
    /// # Errors
    /// 400 for anything else, naming it.
    pub fn parse(query: &[(String, String)]) -> Result<Self, ApiError> {
        let mut selection = Self::default();
        selection.page.limit = PAGE;
        for (name, value) in query.iter() {
            let page = &mut selection.page;
            match (name.as_str(), value.to_ascii_uppercase().as_str()) {
                ("chatId", _) => {
                    let chat = ChatId::parse(value);
                    selection.chat = Some(chat.map_err(|error| ApiError::bad(error.to_string()))?);
                }
                ("startDate", _) => page.from = Some(message_query::date(name, value)?),
                ("endDate", _) => page.to = Some(message_query::date(name, value)?),
                ("order" | "sort", "ASC") => page.order = Order::Ascending,
                ("order" | "sort", "DESC") => page.order = Order::Descending,
                ("order" | "sort", _) => return Err(ApiError::bad("order must be ASC or DESC")),
                _ => return Err(unknown(name)),
            }
        }
        Ok(selection)
    }

    /// Reads `startDate`, `endDate` and `order` (or `sort`), for rows of no chat.
    ///
    /// # Errors
    /// 400 for anything else, naming it.
    pub fn by_date(query: &[(String, String)]) -> Result<RowPageQuery, ApiError> {
        match Self::parse(query)? {
            Self { chat: None, page } => Ok(page),
            _ => Err(unknown("chatId")),
        }
    }
}

fn unknown(name: &str) -> ApiError {
    ApiError::bad(format!(
        "{} is no selector that is known here; use chatId, startDate, endDate and order",
        shown(name, 40)
    ))
}

/// The rows of all pages as one JSON array.
pub fn respond<T, F>(
    first: RowPageQuery,
    read: impl Fn(RowPageQuery) -> F + Clone + 'static,
) -> HttpResponse
where
    T: Serialize,
    F: Future<Output = Result<RowPage<T>, StoreError>> + 'static,
{
    let pages = stream::unfold(Some((first, b'[')), move |at| {
        let read = read.clone();
        async move {
            let (query, opener) = at?;
            Some(match read(query).await {
                Ok(page) => {
                    let next =
                        page.next.map(|after| (RowPageQuery { after: Some(after), ..query }, b','));
                    (Ok(bytes(&page.rows, opener, next.is_none())), next)
                }
                // The array stays open, so that nobody takes it for the whole.
                Err(error) => (Err(ApiError::from(error)), None),
            })
        }
    });
    HttpResponse::Ok().content_type("application/json").streaming(pages)
}

fn bytes<T: Serialize>(rows: &[T], opener: u8, is_last: bool) -> Bytes {
    let mut out = vec![opener];
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // Writing plain data into memory has no way to fail.
        let _ = serde_json::to_writer(&mut out, row);
    }
    if is_last {
        out.push(b']');
    }
    out.into()
}
