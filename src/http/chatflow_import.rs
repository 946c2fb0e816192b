//! `POST /api/v1/chatflows/importchatflows`: stores the chatflows of an export.

use std::collections::HashSet;

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{Chatflow, ChatflowId};
use serde_json::{Value, json};

use super::body;
use super::chatflows::{self, object, text};
use super::error::ApiError;
use super::state::AppState;
use crate::store::Store;

/// Chatflows to import.
#[derive(utoipa::ToSchema)]
pub struct ImportedChatflows {
    /// Rows of an export.
    #[schema(rename = "Chatflows")]
    pub chatflows: Vec<serde_json::Value>,
}

/// Stores `{"Chatflows": [...]}`. A row whose id exists gets a new one and
/// ` (1)` behind its name; nothing that is stored is changed.
///
/// # Errors
/// 400 naming the row and its field, and then nothing is stored.
#[utoipa::path(
    post, path = "/api/v1/chatflows/importchatflows", tag = "Chatflows",
    request_body = ImportedChatflows,
    responses((status = 200, description = "identifiers, generatedMaps, raw", body = Value))
)]
pub async fn import(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut body = object(body::read(&request, payload, state.body_limit).await?)?;
    let Some(Value::Array(rows)) = body.remove("Chatflows") else {
        return Err(ApiError::bad("Chatflows is missing: send {\"Chatflows\": [...]}"));
    };
    let mut taken = HashSet::new();
    let mut flows = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        let flow = new_row(row, &mut taken, &state).map_err(|mut error| {
            error.0.message = format!("Chatflows[{at}]: {}", error.0.message);
            error
        })?;
        flows.push(flow);
    }
    let stored = flows.clone();
    let write = move |store: &Store| stored.iter().try_for_each(|flow| store.chatflows().put(flow));
    state.write(write).await?;
    Ok(HttpResponse::Ok().json(inserted(&flows)))
}

fn new_row(
    row: Value,
    taken: &mut HashSet<ChatflowId>,
    state: &AppState,
) -> Result<Chatflow, ApiError> {
    let mut fields = object(row)?;
    let wanted = text(&mut fields, "id")?.filter(|id| !id.is_empty());
    let parse = |id: String| ChatflowId::parse(&id);
    let wanted = wanted.map(parse).transpose().map_err(|error| ApiError::bad(error.to_string()))?;
    let id = wanted.unwrap_or_else(ChatflowId::random);
    let clashes = !taken.insert(id) || state.store.chatflows().get(id)?.is_some();
    let id = if clashes { ChatflowId::random() } else { id };
    let mut flow = chatflows::new_flow(&mut fields, id)?;
    if clashes {
        flow.name.push_str(" (1)");
    }
    Ok(flow)
}

/// The result of an insert in the words of Flowise's database library.
fn inserted(flows: &[Chatflow]) -> Value {
    let ids: Vec<_> = flows.iter().map(|flow| json!({"id": flow.id})).collect();
    let made = |flow: &Chatflow| json!({"id": flow.id, "createdDate": flow.created_date, "updatedDate": flow.updated_date});
    json!({
        "identifiers": ids,
        "generatedMaps": flows.iter().map(made).collect::<Vec<_>>(),
        "raw": [],
    })
}
