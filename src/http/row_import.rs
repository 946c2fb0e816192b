//! `POST /api/v1/rows/import`: stores one row of another installation as it
//! is, with its id and dates. An addition to Flowise's routes: the others make
//! ids of their own, and a flow names its credential by id.

use std::fmt::Display;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parlor_schemas::api_key::KeyDigest;
use parlor_schemas::feedback::{Feedback, Lead};
use parlor_schemas::{ApiKey, ChatId, Chatflow, ChatflowId, Credential, ErrorCode, Variable};
use serde::Deserialize;
use serde_json::json;

use super::body;
use super::error::ApiError;
use super::feedback;
use super::state::AppState;
use crate::flow::file;
use crate::store::Store;
use crate::store::blobs::{BlobFolder, BlobName};

/// What can be stored: `{"kind": ..., "row": ...}`.
#[derive(Deserialize)]
#[serde(tag = "kind", content = "row", rename_all = "camelCase")]
enum Row {
    Chatflow(Box<Chatflow>),
    /// With its secrets in `plainData`; they are encrypted before they are stored.
    Credential(Box<Credential>),
    Variable(Variable),
    /// With the SHA-256 of the key in place of the key.
    ApiKey(ApiKey),
    /// On a message that is stored.
    Feedback(Feedback),
    /// Of a chatflow that is stored.
    Lead(Lead),
    /// Of a chatflow that is stored.
    File(UploadedFile),
}

/// A file that was uploaded to a chat, or, without one, that the chatflow keeps
/// for its loaders.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UploadedFile {
    chatflowid: ChatflowId,
    chat_id: Option<ChatId>,
    name: String,
    /// Its bytes in base64.
    data: String,
}

/// Stores a row whose id is free: `{"outcome": "stored"}`, or `"exists"` where
/// it is taken and nothing was changed.
///
/// # Errors
/// 400 for what is no row; 409 for a key that is stored under another id, and
/// for feedback or a lead without its message or chatflow.
#[utoipa::path(
    post, path = "/api/v1/rows/import", tag = "Server",
    request_body(content = serde_json::Value, description = "`{kind, row}`"),
    responses((status = 200, description = "The outcome: stored or exists", body = serde_json::Value))
)]
pub async fn import(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let body = body::read(&request, payload, state.body_limit).await?;
    // What serde says could quote a secret.
    let unreadable = |_| ApiError::bad("the body is no row of a known kind: {kind, row}");
    let row: Row = serde_json::from_value(body).map_err(unreadable)?;
    check(&row)?;
    let is_new = match row {
        Row::Feedback(row) => put_feedback(&state.store, row).await?,
        Row::Lead(row) => put_lead(&state.store, row).await?,
        Row::File(row) => state.write(move |store| Ok(put_file(store, &row))).await??,
        row => state.write(move |store| Ok(put(store, &row))).await??,
    };
    let outcome = if is_new { "stored" } else { "exists" };
    Ok(HttpResponse::Ok().json(json!({"outcome": outcome})))
}

/// What the types do not say.
fn check(row: &Row) -> Result<(), ApiError> {
    match row {
        Row::Chatflow(flow) => {
            let bad = |error| ApiError::bad(format!("flowData: {error}"));
            file::parse_flow(&flow.flow_data).map(|_| ()).map_err(bad)
        }
        Row::ApiKey(key) => {
            let is_hex = |text: &str, n| {
                text.len() == n
                    && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            };
            let KeyDigest::Sha256(digest) = &key.digest else {
                return Err(ApiError::bad("a digest is the SHA-256 of the key"));
            };
            if !is_hex(&key.id, 32) || !is_hex(digest, 64) {
                return Err(ApiError::bad("an id has 32 hex digits and a digest 64, lower case"));
            }
            if key.prefix.chars().count() > 6 {
                return Err(ApiError::bad("a prefix has at most 6 characters"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Stores the row; false where its id is taken.
fn put(store: &Store, row: &Row) -> Result<bool, ApiError> {
    match row {
        Row::Chatflow(flow) if store.chatflows().get(flow.id)?.is_none() => {
            store.chatflows().put(flow)?;
        }
        Row::Credential(one) if store.credentials().get(one.id)?.is_none() => {
            store.credentials().put(one)?;
        }
        Row::Variable(one) if store.variables().get(one.id)?.is_none() => {
            store.variables().put(one)?;
        }
        Row::ApiKey(key) if store.api_keys().get(&key.id).is_none() => {
            if !store.api_keys().adopt(key)? {
                let message = "this key is stored already, under another id";
                return Err(ApiError::new(ErrorCode::Conflict, message));
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Stores a file; false where there is one of its name.
fn put_file(store: &Store, row: &UploadedFile) -> Result<bool, ApiError> {
    let bad = |field: &str, why: &dyn Display| ApiError::bad(format!("{field}: {why}"));
    if store.chatflows().get(row.chatflowid)?.is_none() {
        return Err(conflict("their chatflow is not here"));
    }
    let name = BlobName::of_upload(&row.name).map_err(|why| bad("name", &why))?;
    let folder = match &row.chat_id {
        None => BlobFolder::of_chatflow(row.chatflowid),
        Some(chat) => {
            BlobFolder::checked(row.chatflowid, chat).map_err(|why| bad("chatId", &why))?
        }
    };
    if store.blobs().file(&folder, &name)?.is_some() {
        return Ok(false);
    }
    let bytes = STANDARD.decode(&row.data).map_err(|why| bad("data", &why))?;
    store.blobs().stage(&folder, &name, &bytes)?.keep()?;
    Ok(true)
}

/// Stores feedback on a message that is here; false where its id is taken.
async fn put_feedback(store: &Store, row: Feedback) -> Result<bool, ApiError> {
    let message = store.history().message(row.message_id).await?;
    let message = message.ok_or_else(|| conflict("their message is not here"))?;
    let message = feedback::rated(message)?;
    if (message.key.chatflow, &message.chat_id) != (row.chatflowid, &row.chat_id) {
        return Err(conflict("their message belongs to another chat"));
    }
    Ok(store.feedback().adopt(message.key.session, row).await?.is_some())
}

/// Stores a lead of a chatflow that is here; false where its id is taken.
async fn put_lead(store: &Store, row: Lead) -> Result<bool, ApiError> {
    if store.chatflows().get(row.chatflowid)?.is_none() {
        return Err(conflict("their chatflow is not here"));
    }
    Ok(store.leads().adopt(row).await?.is_some())
}

fn conflict(why: &str) -> ApiError {
    ApiError::new(ErrorCode::Conflict, why)
}
