//! Predictions that come again under their `Idempotency-Key`: which of them run,
//! and the answer to the others.

use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;
use parlor_schemas::{
    ChatType, ChatflowId, ErrorCode, Remembered, Repetition, Timestamp, TurnReply,
};

use super::error::ApiError;
use super::idempotency::{IdempotencyKey, Said};
use super::multipart::Incoming;
use super::sse;
use super::state::AppState;
use crate::running_keys::RunningKey;

/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a key means for its request.
pub(super) enum Claim {
    /// There is none.
    NoKey,
    /// The request is the first, and holds the key.
    New(RunningKey),
    /// Another one was answered: the JSON of its answer.
    Answered(Vec<u8>),
}

/// What a prediction's repetitions are recognized by. A key of the one door
/// is none of the other, where the same body means another session.
pub(super) fn repetition(
    key: &IdempotencyKey,
    chatflow: ChatflowId,
    door: ChatType,
    incoming: &Incoming,
) -> Repetition {
    let mut scope = chatflow.as_bytes().to_vec();
    // No key begins with a zero byte, so that scope and key have one border.
    scope.extend_from_slice(&[0, u8::from(door == ChatType::Internal)]);
    let body = incoming.body.to_string();
    key.repetition(&scope, Said { wish: 0, body: &body, files: &incoming.files })
}

/// Takes the key, or finds the answer that it stands for. The store is asked
/// once more behind the key: its turn may have ended in between.
///
/// # Errors
/// 409 while the key runs, 422 where it came with another body.
pub(super) async fn claim(state: &AppState, repetition: &Repetition) -> Result<Claim, ApiError> {
    if let Some(reply) = answered(state, repetition).await? {
        return Ok(Claim::Answered(reply));
    }
    let key = state.running_keys.take(repetition)?;
    Ok(match answered(state, repetition).await? {
        Some(reply) => Claim::Answered(reply),
        None => Claim::New(key),
    })
}

async fn answered(state: &AppState, repetition: &Repetition) -> Result<Option<Vec<u8>>, ApiError> {
    match state.store.history().remembered(repetition.key, Timestamp::now()).await? {
        None => Ok(None),
        Some(Remembered { repetition: first, reply }) if first == *repetition => Ok(Some(reply)),
        Some(_) => Err(Repetition::key_reused().into()),
    }
}

/// The same answer again: byte for byte in one piece, or as a stream with all
/// of its text in one token where the first one was streamed.
///
/// # Errors
/// 500 for an answer that cannot be read.
pub(super) fn respond(reply: Vec<u8>, as_stream: bool) -> Result<HttpResponse, ApiError> {
    if as_stream {
        let read = serde_json::from_slice::<TurnReply>(&reply);
        let read = read.map_err(|_| {
            let message = "the remembered answer cannot be read; send a new Idempotency-Key";
            ApiError::new(ErrorCode::Internal, message)
        })?;
        if read.is_stream_valid {
            return Ok(sse::head().insert_header((REPLAYED, "true")).body(sse::whole(&read)));
        }
    }
    let mut response = HttpResponse::Ok();
    response.insert_header((REPLAYED, "true")).content_type("application/json");
    Ok(response.body(reply))
}
