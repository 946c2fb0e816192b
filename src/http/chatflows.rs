//! `/api/v1/chatflows`: the stored chatflows, for the operator.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_nodes::vector_stores::own_collections;
use parlor_schemas::{Chatflow, ChatflowId, ErrorCode, Fault, Scope, Timestamp, shown};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::error::ApiError;
use super::openapi::Deleted;
use super::state::AppState;
use super::{body, callers};
use crate::flow::cache::not_found;
use crate::flow::file;
use crate::flow::keeping::Keeping;
use crate::store::{Bindings, Store};
use crate::upserts::StoredLedger;

/// A chatflow to store.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewChatflow {
    /// Its id, a new one without it.
    pub id: Option<ChatflowId>,
    /// Shown to people.
    pub name: String,
    /// The exported flow, JSON text.
    #[schema(examples("{\"nodes\":[],\"edges\":[]}"))]
    pub flow_data: String,
    /// The rest may be absent.
    #[serde(flatten)]
    pub settings: ChatflowSettings,
}

/// What changes of a chatflow.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChatflowChange {
    /// Shown to people.
    pub name: Option<String>,
    /// The exported flow, JSON text.
    #[schema(examples("{\"nodes\":[],\"edges\":[]}"))]
    pub flow_data: Option<String>,
    /// What is absent stays.
    #[serde(flatten)]
    pub settings: ChatflowSettings,
}

/// The other columns that an operator writes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChatflowSettings {
    /// A mark of the UI, kept.
    pub deployed: Option<bool>,
    /// Whether `public-chatflows` shows it.
    pub is_public: Option<bool>,
    /// Id of the API key that predictions must bring.
    pub apikeyid: Option<String>,
    /// Widget settings, JSON text.
    pub chatbot_config: Option<String>,
    /// Overrides and rate limit, JSON text.
    pub api_config: Option<String>,
    /// Tracing settings, JSON text, kept.
    pub analytic: Option<String>,
    /// Speech to text, JSON text.
    pub speech_to_text: Option<String>,
    /// Follow-up prompts, JSON text.
    pub follow_up_prompts: Option<String>,
    /// Categories, separated by `;`.
    pub category: Option<String>,
    /// `CHATFLOW`, `MULTIAGENT` or `ASSISTANT`.
    pub r#type: Option<String>,
    /// Node id to credential id or name: an addition to Flowise's body.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub credential_bindings: Option<Bindings>,
}

/// Query of the list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// All chatflows, or those of one type; no type counts as `CHATFLOW`.
///
/// # Errors
/// What the store says.
#[utoipa::path(
    get, path = "/api/v1/chatflows", tag = "Chatflows",
    params(("type" = Option<String>, Query, description = "Only this type")),
    responses((status = 200, description = "Chatflows", body = Vec<Chatflow>))
)]
pub async fn list(
    query: web::Query<ListQuery>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut flows = state.store.chatflows().list()?;
    if let Some(wanted) = &query.kind {
        flows.retain(|flow| flow.kind.as_deref().unwrap_or("CHATFLOW") == wanted);
    }
    Ok(HttpResponse::Ok().json(flows))
}

/// One chatflow.
///
/// # Errors
/// 404.
#[utoipa::path(
    get, path = "/api/v1/chatflows/{id}", tag = "Chatflows",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    responses((status = 200, description = "The chatflow", body = Chatflow))
)]
pub async fn get(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(find(&id, &state)?))
}

/// The chatflows of a key, by name: those that it guards and, without
/// `keyonly` in the query, those that no key guards. What a flow is made of is
/// the operator's, so the key must be one of the operator.
///
/// # Errors
/// 401 for any other key; 404 where there are none; 429 over the key's limit.
#[utoipa::path(
    get, path = "/api/v1/chatflows/apikey/{apikey}", tag = "Chatflows",
    params(
        ("apikey" = String, Path, description = "The key itself"),
        ("keyonly" = Option<String>, Query, description = "Leaves out those that no key guards"),
    ),
    responses((status = 200, description = "Chatflows", body = Vec<Chatflow>))
)]
pub async fn of_key(
    request: HttpRequest,
    key: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let key = callers::find(&key, &request, &state).await?;
    let key = key.filter(|key| key.scopes.contains(&Scope::Operator));
    let key = key.ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "Unauthorized"))?;
    state.limits.check_key(&key)?;
    let key_only = query.iter().any(|(name, _)| name == "keyonly");
    let mut flows = state.store.chatflows().list()?;
    flows.retain(|flow| flow.guarding_key().map_or(!key_only, |id| id == key.id));
    if flows.is_empty() {
        let message = "Chatflow not found in the database!";
        return Err(ApiError::new(ErrorCode::NotFound, message));
    }
    flows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(HttpResponse::Ok().json(flows))
}

/// Stores a new chatflow. `credentialBindings` (node id to credential id or
/// name) is an addition to Flowise's body.
///
/// # Errors
/// 400 naming the field; 409 for an id that exists.
#[utoipa::path(
    post, path = "/api/v1/chatflows", tag = "Chatflows",
    request_body = NewChatflow,
    responses((status = 200, description = "As it is stored", body = Chatflow))
)]
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, state.body_limit).await?)?;
    let bindings = bindings(&mut fields)?;
    let id = match text(&mut fields, "id")? {
        Some(id) => ChatflowId::parse(&id).map_err(|error| ApiError::bad(error.to_string()))?,
        None => ChatflowId::random(),
    };
    if state.store.chatflows().get(id)?.is_some() {
        return Err(ApiError::new(ErrorCode::Conflict, format!("Chatflow {id} exists already")));
    }
    let given: Vec<String> = fields.keys().cloned().collect();
    let flow = new_flow(&mut fields, id)?;
    store(state, flow.clone(), Some(bindings)).await?;
    Ok(HttpResponse::Ok().json(as_made(&flow, given)))
}

/// A new row as Flowise answers it: what was given in the order of the request,
/// then the columns that were not, then its id and dates (contract 0.3).
fn as_made(flow: &Chatflow, given: Vec<String>) -> Value {
    let Value::Object(mut row) = json!(flow) else { return Value::Null };
    let first: Map<String, Value> =
        given.into_iter().filter_map(|key| row.shift_remove_entry(&key)).collect();
    for last in ["id", "createdDate", "updatedDate"] {
        let moved = row.shift_remove_entry(last);
        row.extend(moved);
    }
    Value::Object(first.into_iter().chain(row).collect())
}

/// A new chatflow of the fields of a body.
///
/// # Errors
/// 400 naming the field.
pub fn new_flow(fields: &mut Map<String, Value>, id: ChatflowId) -> Result<Chatflow, ApiError> {
    let required = |field: &str| ApiError::bad(format!("{field} is missing"));
    let name = text(fields, "name")?.ok_or_else(|| required("name"))?;
    let flow_data = flow_data(fields)?.ok_or_else(|| required("flowData"))?;
    let mut flow = Chatflow::new(id, name, flow_data, Timestamp::now());
    merge(&mut flow, fields)?;
    Ok(flow)
}

/// Changes the given fields of a chatflow.
///
/// # Errors
/// 400 naming the field; 404.
#[utoipa::path(
    put, path = "/api/v1/chatflows/{id}", tag = "Chatflows",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    request_body = Option<ChatflowChange>,
    responses((status = 200, description = "As it is stored", body = Chatflow))
)]
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut flow = find(&id, &state)?;
    let mut fields = object(body::read(&request, payload, state.body_limit).await?)?;
    let bindings = fields.contains_key("credentialBindings").then(|| bindings(&mut fields));
    if let Some(name) = text(&mut fields, "name")? {
        flow.name = name;
    }
    if let Some(flow_data) = flow_data(&mut fields)? {
        flow.flow_data = flow_data;
    }
    merge(&mut flow, &mut fields)?;
    flow.updated_date = Timestamp::now();
    store(state, flow.clone(), bindings.transpose()?).await?;
    Ok(HttpResponse::Ok().json(flow))
}

/// Deletes a chatflow with its messages, their feedback, its leads, its upsert
/// history and the vectors of its own. Upserts of it that run are stopped.
///
/// # Errors
/// What the store says.
#[utoipa::path(
    delete, path = "/api/v1/chatflows/{id}", tag = "Chatflows",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    responses((status = 200, description = "It is gone", body = Deleted))
)]
pub async fn delete(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = find(&id, &state)?.id;
    state.write(move |store| store.chatflows().delete(id)).await?;
    state.upserts.cancel_chatflow(id).await;
    state.store.history().delete_chatflow_history(id).await?;
    state.supervisor.drop_memory(id).await;
    state.store.feedback().delete_chatflow(id).await?;
    state.store.leads().delete_chatflow(id).await?;
    state.store.upsert_jobs().delete_chatflow(id).await?;
    state.store.upsert_history().delete_chatflow(id).await?;
    StoredLedger(state.store.chunk_ledger().clone()).forget_chatflow(id).await?;
    let own = own_collections(id);
    state.store.vectors().remove_prefix(&own).await.map_err(Fault::from)?;
    Ok(Deleted::answer(1))
}

/// The chatflow of an id in a path.
///
/// # Errors
/// 404 for anything that names none.
pub fn find(id: &str, state: &AppState) -> Result<Chatflow, ApiError> {
    let unknown = || ApiError(not_found(shown(id, 60)));
    let parsed = ChatflowId::parse(id).map_err(|_| unknown())?;
    state.store.chatflows().get(parsed)?.ok_or_else(unknown)
}

async fn store(
    state: web::Data<AppState>,
    flow: Chatflow,
    bindings: Option<Bindings>,
) -> Result<(), ApiError> {
    let write = move |store: &Store| {
        // Bindings first: a plan is compiled again when the chatflow changes.
        if let Some(bindings) = bindings {
            store.chatflows().set_bindings(flow.id, &bindings)?;
        }
        store.chatflows().put(&flow)
    };
    state.write(write).await
}

/// Takes the documented columns; anything else in the body is left alone.
fn merge(flow: &mut Chatflow, fields: &mut Map<String, Value>) -> Result<(), ApiError> {
    for (key, column) in [
        ("apikeyid", &mut flow.apikeyid),
        ("chatbotConfig", &mut flow.chatbot_config),
        ("apiConfig", &mut flow.api_config),
        ("analytic", &mut flow.analytic),
        ("speechToText", &mut flow.speech_to_text),
        ("followUpPrompts", &mut flow.follow_up_prompts),
        ("category", &mut flow.category),
        ("type", &mut flow.kind),
    ] {
        if fields.contains_key(key) {
            *column = text(fields, key)?;
        }
    }
    for (key, column) in [("deployed", &mut flow.deployed), ("isPublic", &mut flow.is_public)] {
        match fields.remove(key) {
            None => {}
            Some(Value::Null) => *column = None,
            Some(Value::Bool(value)) => *column = Some(value),
            Some(_) => return Err(ApiError::bad(format!("{key} must be true or false"))),
        }
    }
    Keeping::of(flow).map(drop).map_err(ApiError::bad)
}

fn flow_data(fields: &mut Map<String, Value>) -> Result<Option<String>, ApiError> {
    let Some(text) = text(fields, "flowData")? else { return Ok(None) };
    file::parse_flow(&text).map_err(|error| ApiError::bad(format!("flowData: {error}")))?;
    Ok(Some(text))
}

fn bindings(fields: &mut Map<String, Value>) -> Result<Bindings, ApiError> {
    match fields.remove("credentialBindings") {
        None | Some(Value::Null) => Ok(Bindings::default()),
        Some(value) => serde_json::from_value(value)
            .map_err(|_| ApiError::bad("credentialBindings must map node ids to credentials")),
    }
}

/// A JSON object, as every body of the operator's routes is.
///
/// # Errors
/// 400.
pub fn object(body: Value) -> Result<Map<String, Value>, ApiError> {
    match body {
        Value::Object(map) => Ok(map),
        _ => Err(ApiError::bad("the body must be a JSON object")),
    }
}

/// A text field of a body; `null` is none.
///
/// # Errors
/// 400 naming the field.
pub fn text(fields: &mut Map<String, Value>, key: &str) -> Result<Option<String>, ApiError> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::bad(format!("{key} must be a text"))),
    }
}
