//! Routes for looking after the data: messages out and in as lines, a backup
//! of everything, and a look whether all of it fits together.

mod blobs;
pub mod incoming;
pub(super) mod lines;
mod moment;
mod pairing;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use parlor_schemas::{ChatflowId, SessionId, Timestamp, ids::IdError};
use tokio::sync::mpsc;

use self::blobs::send_pieces;
use self::moment::Moment;
use super::error::ApiError;
use super::message_query::Pairs;
use super::state::AppState;
use crate::store::archive::{BACKUP_FORMAT, Counts, Line};
use crate::store::{ExportPage, ExportQuery};

/// Pages that may wait for a slow reader before the store has to.
const WAITING_PAGES: usize = 2;

const NDJSON: &str = "application/x-ndjson";

type Body = mpsc::Sender<Result<Bytes, ApiError>>;

type Query = web::Query<Pairs>;

/// `GET /api/v1/messages/export`: every message as one line, whole
/// conversations in order, of all chatflows or of one, of one session.
///
/// # Errors
/// 400 for an id that cannot be one.
#[utoipa::path(
    get, path = "/api/v1/messages/export", tag = "Messages",
    params(
        ("chatflow" = Option<ChatflowId>, Query, description = "Only this chatflow"),
        ("session" = Option<String>, Query, description = "Only this session"),
    ),
    responses((status = 200, description = "Messages, one on each line", body = String, content_type = NDJSON))
)]
pub async fn export(query: Query, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    only(&query, &["chatflow", "session"])?;
    let query = ExportQuery {
        chatflow: parameter(&query, "chatflow", ChatflowId::parse)?,
        session: parameter(&query, "session", SessionId::parse)?,
    };
    let first = state.store.history().export(query.clone(), None).await?;
    Ok(streamed(|body| async move {
        let mut page = first;
        loop {
            let ExportPage { turns, next } = page;
            if send(&body, Ok(lines::page(&turns))).await.is_none() || next.is_none() {
                return;
            }
            match state.store.history().export(query.clone(), next).await {
                Ok(next) => page = next,
                Err(error) => {
                    // Whoever left does not hear of it.
                    let _ = send(&body, Err(error.into())).await;
                    return;
                }
            }
        }
    }))
}

/// `GET /api/v1/backup`: everything that the server keeps, as lines. The last
/// one is `end`; without it the backup broke off.
///
/// # Errors
/// What the store says.
#[utoipa::path(
    get, path = "/api/v1/backup", tag = "Server",
    responses((status = 200, description = "What `parlor restore` reads, in lines", body = String, content_type = NDJSON))
)]
pub async fn backup(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let moment = Moment::now(&state).await?;
    Ok(streamed(|body| async move {
        if let Err(error) = send_backup(&body, moment, &state).await {
            // Whoever left does not hear of it.
            let _ = send(&body, Err(error)).await;
        }
    }))
}

async fn send_backup(body: &Body, moment: Moment, state: &AppState) -> Result<(), ApiError> {
    let Moment { mut backup, vectors, records } = moment;
    let begin = Line::Begin {
        format: BACKUP_FORMAT,
        parlor: env!("CARGO_PKG_VERSION").to_owned(),
        created_date: Timestamp::now(),
    };
    let mut counts = Counts::default();
    let mut waiting = Some(vec![begin]);
    while let Some(lines) = waiting {
        for line in &lines {
            counts.rows += u64::from(matches!(line, Line::Row { .. }));
            counts.turns += u64::from(matches!(line, Line::Turn { .. }));
        }
        if send(body, Ok(lines::of_backup(&lines))).await.is_none() {
            return Ok(());
        }
        let items = backup.next().await?;
        waiting = items.map(|items| items.into_iter().map(Line::from).collect());
    }
    counts.damaged = backup.n_damaged();
    drop(backup);
    let Some(n_blobs) = blobs::send_all(body, state.store.folder()).await? else { return Ok(()) };
    counts.blobs = n_blobs;
    for (path, file) in vectors {
        if send_pieces(body, Line::Vectors { path }, file).await?.is_none() {
            return Ok(());
        }
        counts.vectors += 1;
    }
    if let Some(records) = records {
        if send_pieces(body, Line::Records, records).await?.is_none() {
            return Ok(());
        }
        counts.records += 1;
    }
    let _ = send(body, Ok(lines::of_backup(&[Line::End(counts)]))).await;
    Ok(())
}

/// `GET /api/v1/verify`: what is wrong in the store, if anything.
///
/// # Errors
/// What the store says when it cannot be read at all.
#[utoipa::path(
    get, path = "/api/v1/verify", tag = "Server",
    responses((status = 200, description = "What was looked at and what is wrong: checked, problems, notes", body = serde_json::Value))
)]
pub async fn verify(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(state.store.verify().await?))
}

/// Refuses what is misspelt: it would mean more than its author thinks.
fn only(query: &Pairs, known: &[&str]) -> Result<(), ApiError> {
    match query.iter().all(|(name, _)| known.contains(&name.as_str())) {
        true => Ok(()),
        false => Err(ApiError::bad(format!("the query may hold {} only", known.join(" and ")))),
    }
}

fn parameter<T>(
    query: &Pairs,
    name: &str,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, ApiError> {
    let value = query.iter().find(|(own, _)| own == name).map(|(_, value)| parse(value));
    value.transpose().map_err(|error| ApiError::bad(error.to_string()))
}

/// Sends a piece of a body; `None` when nobody reads it any more.
async fn send(body: &Body, piece: Result<Bytes, ApiError>) -> Option<()> {
    body.send(piece).await.ok()
}

/// A body that `write` fills as fast as it is read.
fn streamed<F: Future<Output = ()> + 'static>(write: impl FnOnce(Body) -> F) -> HttpResponse {
    let (sender, receiver) = mpsc::channel(WAITING_PAGES);
    actix_web::rt::spawn(write(sender));
    let pieces = stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    HttpResponse::Ok().content_type(NDJSON).streaming(pieces)
}
