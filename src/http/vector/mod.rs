//! `/api/v1/vector`: filling the vector stores of a chatflow, and taking
//! chunks out of them.
//!
//! # Layout
//! - `wish`: how a caller wants to be answered; `answer`: the answer
//! - [`removal`]: taking chunks out

mod answer;
pub mod removal;
#[cfg(test)]
mod tests;
mod wish;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_nodes::vector_stores::UpsertOptions;
use parlor_schemas::{ChatflowId, Fault, PredictionRequest, Repetition};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use self::answer::Caller;
use self::wish::Wish;
use super::error::ApiError;
use super::multipart;
use super::prediction::SseEvent;
use super::state::{AppState, off_arbiter};
use super::upserts::JobView;
use crate::flow::cache::{ReadyFlow, not_found};
use crate::flow::targets;
use crate::flow::uploads::FormFile;
use crate::flow::upsert::{self, UpsertRequest};
use crate::upserts::NewJob;

/// What fills a vector store. A form may bring files in the field `files`; its
/// other fields are overrides then. Unknown keys are left alone.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Upsert {
    /// The vector store by the id of its node, or several of them.
    #[schema(value_type = Value, required = false)]
    pub stop_node_id: Option<Value>,
    /// Inputs of nodes.
    #[schema(value_type = Option<Map<String, Value>>)]
    pub override_config: Option<Map<String, Value>>,
    /// The chat that the chunks belong to, where the store keeps chats apart.
    pub chat_id: Option<String>,
}

/// What an upsert did.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Upserted {
    /// Chunks that are new; without a record manager all that came.
    pub num_added: u64,
    /// Chunks taken out; without a record manager only where there are any.
    pub num_deleted: Option<u64>,
    /// Chunks written again, told alike.
    pub num_updated: Option<u64>,
    /// Chunks that were there already, told alike.
    pub num_skipped: Option<u64>,
    /// With a record manager: different chunks.
    pub total_keys: Option<u64>,
    /// The chunks that `numAdded` counts, `{pageContent, metadata}`.
    pub added_docs: Vec<Value>,
    /// Files that were left out, where the caller allowed that.
    pub failures: Option<Vec<parlor_schemas::UnreadFile>>,
}

/// Fills a vector store of a chatflow, for a caller from outside.
///
/// `Prefer: respond-async` answers 202 with the job's address at once;
/// `Prefer: handling=lenient` leaves out files that cannot be read;
/// `Accept: text/event-stream` streams the progress, then the result. An
/// `Idempotency-Key` makes a repetition within a day get the same job's answer.
/// A client that leaves stops its upsert, unless it sent a key or wants no answer.
///
/// # Errors
/// See the table in [`super::error`].
#[utoipa::path(
    post, path = "/api/v1/vector/upsert/{id}", tag = "Vectors",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    request_body = Option<Upsert>,
    responses(
        (status = 200, description = "What it did, whole or after its progress", content(
            (Upserted = "application/json"), (SseEvent = "text/event-stream")
        )),
        (status = 202, description = "It goes on; Location says where to ask", body = JobView),
    )
)]
pub async fn external(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = ChatflowId::parse(&id).map_err(|_| ApiError(not_found("with that id")))?;
    let wish = Wish::of(&request)?;
    let caller = Caller::enter(&state)?;
    let incoming = multipart::read_any(&request, payload, state.body_limit).await?;
    let Value::Object(body) = incoming.body else {
        return Err(ApiError::bad("the body must be a JSON object"));
    };
    let incoming = Incoming { body, files: incoming.files };
    let (incoming, wish, repetition) = recognized(id, incoming, wish).await?;
    if let Some(repetition) = &repetition
        && let Some(earlier) = state.upserts.repeated(repetition)?
    {
        return answer::respond(earlier, &wish, caller, state.streams.heartbeat).await;
    }
    let mut new = bind(&state, id, incoming, &wish, repetition).await?;
    new.request = caller.request();
    let started = caller.told(state.upserts.start(new).await)?;
    answer::respond(started, &wish, caller, state.streams.heartbeat).await
}

/// The same for the operator: no key of the chatflow is asked for.
///
/// # Errors
/// See the table in [`super::error`].
#[utoipa::path(
    post, path = "/api/v1/vector/internal-upsert/{id}", tag = "Vectors",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    request_body = Option<Upsert>,
    responses(
        (status = 200, description = "What it did, whole or after its progress", content(
            (Upserted = "application/json"), (SseEvent = "text/event-stream")
        )),
        (status = 202, description = "It goes on; Location says where to ask", body = JobView),
    )
)]
pub async fn internal(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    external(request, id, payload, state).await
}

/// Answers a path that lacks the chatflow, in Flowise's words.
///
/// # Errors
/// Always 412.
#[utoipa::path(
    post, path = "/api/v1/vector/upsert", tag = "Vectors",
    responses((status = 412, description = "The path lacks the chatflow"))
)]
pub async fn without_id() -> Result<HttpResponse, ApiError> {
    Err(ApiError::no_id("vectorsController.upsertVector"))
}

/// What a request brings.
struct Incoming {
    body: Map<String, Value>,
    files: Vec<FormFile>,
}

/// What a repetition is recognized by, where the caller marks any.
async fn recognized(
    id: ChatflowId,
    incoming: Incoming,
    wish: Wish,
) -> Result<(Incoming, Wish, Option<Repetition>), Fault> {
    if !wish.has_key() {
        return Ok((incoming, wish, None));
    }
    // Files of many megabytes are hashed.
    let hash = move || {
        let repetition = wish.repetition(id, &incoming.body, &incoming.files);
        (incoming, wish, repetition)
    };
    off_arbiter(hash).await
}

async fn bind(
    state: &web::Data<AppState>,
    id: ChatflowId,
    incoming: Incoming,
    wish: &Wish,
    repetition: Option<Repetition>,
) -> Result<NewJob, ApiError> {
    let Incoming { mut body, files } = incoming;
    let wanted = targets::stop_nodes(body.remove("stopNodeId").as_ref())?;
    let asked = PredictionRequest::from_json(Value::Object(body))?;
    let flow = state.flows.get(id)?;
    let chat_id = asked.settle_chat_id();
    let request = UpsertRequest {
        overrides: asked.overrides,
        files,
        chat_id: chat_id.clone(),
        question: asked.question.unwrap_or_default(),
        options: UpsertOptions { keep_going: wish.is_lenient, ..UpsertOptions::default() },
    };
    // Before the work that it stands for: compiling large files is some.
    let permit = state.upserts.handle().admit()?;
    let bound = {
        // A flow and a request may hold large files, which are decoded here.
        let (state, flow) = (state.clone(), flow.clone());
        let bind = move || upsert::bind(&flow, state.flows.targets(&flow, &wanted)?, request);
        off_arbiter(bind).await??
    };
    let steps = bound.build(&flow, &state.services).await?;
    let outlives_client = wish.is_async || repetition.is_some();
    Ok(NewJob {
        chatflow: id,
        chat_id,
        steps,
        permit,
        repetition,
        outlives_client,
        is_awaited: !wish.is_async,
        request: None,
    })
}

/// The vector stores that are meant, compiled off the arbiter: a flow may hold
/// large files.
///
/// # Errors
/// What is wrong with the flow or the choice.
pub(crate) async fn find_targets(
    state: &web::Data<AppState>,
    flow: &Arc<ReadyFlow>,
    wanted: Vec<String>,
) -> Result<Vec<targets::Target>, Fault> {
    let (state, flow) = (state.clone(), flow.clone());
    off_arbiter(move || state.flows.targets(&flow, &wanted)).await?
}
