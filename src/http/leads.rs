//! `/api/v1/leads`: contact data that people leave in a chat. Writing follows
//! the policy of the chatflow; reading is the operator's.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::feedback::Lead;
use parlor_schemas::{ChatId, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body;
use super::chatflows::{self, object, text};
use super::error::ApiError;
use super::feedback::{SMALL_BODY, flow_id};
use super::gate;
use super::listing::{self, Query, Selection};
use super::state::AppState;

/// Longest name, address or number in bytes.
const MAX_FIELD_BYTES: usize = 512;

/// Contact data to store. A number is taken as it was typed.
#[derive(utoipa::ToSchema)]
pub struct NewLead {
    /// The chatflow.
    pub chatflowid: parlor_schemas::ChatflowId,
    /// The chat; a new one without it.
    #[schema(rename = "chatId")]
    pub chat_id: Option<String>,
    /// The person's name.
    #[schema(value_type = Value, required = false)]
    pub name: Option<String>,
    /// The person's address.
    #[schema(value_type = Value, required = false)]
    pub email: Option<String>,
    /// The person's number.
    #[schema(value_type = Value, required = false)]
    pub phone: Option<String>,
}

/// Stores a lead; the chatflow stands in the body.
///
/// # Errors
/// 400 naming the field; 401 and 403 of the chatflow; 404.
#[utoipa::path(
    post, path = "/api/v1/leads", tag = "Leads",
    request_body = NewLead,
    responses((status = 200, description = "As it is stored", body = Lead))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, SMALL_BODY).await?)?;
    let flow = flow_id(&mut fields)?.ok_or_else(|| ApiError::bad("chatflowid is missing"))?;
    gate::check_flow(&request, flow).await?;
    let chat = text(&mut fields, "chatId")?.filter(|chat| !chat.is_empty());
    let chat = chat.map_or_else(|| Ok(ChatId::random()), |chat| ChatId::parse(&chat));
    let lead = Lead {
        id: Uuid::new_v4(),
        name: field(&mut fields, "name")?,
        email: field(&mut fields, "email")?,
        phone: field(&mut fields, "phone")?,
        chatflowid: flow,
        chat_id: chat.map_err(|error| ApiError::bad(error.to_string()))?,
        created_date: Timestamp::now(),
    };
    let lead = state.store.leads().put(lead).await?;
    Ok(HttpResponse::Ok().json(created(&lead)))
}

/// A new row as Flowise answers it: what was sent, then what was made.
fn created(lead: &Lead) -> Value {
    json!({
        "name": lead.name,
        "email": lead.email,
        "phone": lead.phone,
        "chatflowid": lead.chatflowid,
        "chatId": lead.chat_id,
        "id": lead.id,
        "createdDate": lead.created_date,
    })
}

/// The leads of a chatflow, or of one of its chats, oldest first unless
/// `order` says `DESC`.
///
/// # Errors
/// 400 for an unknown selector; 404.
#[utoipa::path(
    get, path = "/api/v1/leads/{id}", tag = "Leads",
    params(
        ("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow"),
        ("chatId" = Option<String>, Query, description = "Only this chat"),
        ("order" = Option<String>, Query, description = "ASC or DESC, by date"),
    ),
    responses((status = 200, description = "Leads", body = Vec<Lead>))
)]
pub async fn list(
    id: web::Path<String>,
    query: Query,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let flow = chatflows::find(&id, &state)?.id;
    let Selection { chat, page } = Selection::parse(&query)?;
    Ok(listing::respond(page, move |page| {
        let (state, chat) = (state.clone(), chat.clone());
        async move { state.store.leads().page(flow, chat, page).await }
    }))
}

/// A field of a form; a number is taken as it was typed.
fn field(fields: &mut Map<String, Value>, key: &str) -> Result<Option<String>, ApiError> {
    if let Some(Value::Number(number)) = fields.get(key) {
        let typed = number.to_string();
        fields.insert(key.to_owned(), Value::String(typed));
    }
    let found = text(fields, key)?;
    if found.as_ref().is_some_and(|found| found.len() > MAX_FIELD_BYTES) {
        return Err(ApiError::bad(format!("{key} is longer than {MAX_FIELD_BYTES} bytes")));
    }
    Ok(found)
}
