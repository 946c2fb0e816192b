//! `POST /api/v1/prediction/{id}`: one turn of a conversation.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_nodes::EventSink;
use parlor_schemas::prediction::Upload;
use parlor_schemas::{
    ChatId, ChatType, ChatflowId, ErrorCode, PredictionRequest, SessionId, SessionKey, Timestamp,
    TurnReply,
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::body;
use super::error::ApiError;
use super::sse;
use super::state::AppState;
use crate::flow::cache::{ReadyFlow, not_found};
use crate::flow::overrides;
use crate::flow::plan::Plan;
use crate::flow::run::BoundTurn;

/// Events that may wait for a slow reader before the model has to.
const EVENT_BUFFER: usize = 64;

/// A question to a chatflow. Unknown keys are left alone.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Prediction {
    /// The person's words.
    pub question: Option<Words>,
    /// `true`, or the word, asks for a stream of events, where the chatflow streams.
    #[schema(value_type = Value, required = false)]
    pub streaming: Option<Value>,
    /// Continues a chat.
    pub chat_id: Option<String>,
    /// Continues a session; `overrideConfig.sessionId` comes first.
    pub session_id: Option<String>,
    /// Inputs of nodes, and `sessionId`.
    #[schema(value_type = Option<Map<String, Value>>)]
    pub override_config: Option<Map<String, Value>>,
    /// Messages that are put before the stored ones.
    pub history: Option<Vec<Said>>,
    /// Images, audio and files.
    pub uploads: Option<Vec<Upload>>,
    /// Address that the person left.
    pub lead_email: Option<String>,
}

/// A question; a number or a truth value counts as its text.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Words {
    /// As it is.
    Text(String),
    /// Its digits.
    Number(f64),
    /// `true` or `false`.
    Truth(bool),
}

/// An event of a streamed answer.
#[derive(ToSchema)]
pub struct SseEvent {
    /// JSON text of `{"event", "data"}`: `start`, `token`, `sourceDocuments`, `usedTools`,
    /// `artifacts`, `metadata`, `error`, `abort`, and `end` as the last one.
    #[schema(content_media_type = "application/json")]
    pub data: String,
}

/// A message of `history`.
#[derive(ToSchema)]
pub struct Said {
    /// `userMessage` or `apiMessage`; `type` is another name for it.
    pub role: String,
    /// The text; `message` is another name for it.
    pub content: String,
}

/// Answers a question from outside.
///
/// # Errors
/// See the table in [`super::error`].
#[utoipa::path(
    post, path = "/api/v1/prediction/{id}", tag = "Predictions",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    request_body = Prediction,
    responses((status = 200, description = "The answer, whole or as a stream", content(
        (TurnReply = "application/json"), (SseEvent = "text/event-stream")
    )))
)]
pub async fn external(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let asked_at = Timestamp::now();
    let id = ChatflowId::parse(&id).map_err(|_| ApiError(not_found("with that id")))?;
    let body = body::read(&request, payload, state.body_limit).await?;
    let prediction = PredictionRequest::from_json(body)?;
    let flow = state.flows.get(id)?;
    let plan = flow.plan.clone()?;
    let streams = prediction.streaming && plan.can_stream;
    let (events, receiver) = if streams {
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        (EventSink::new(sender), Some(receiver))
    } else {
        (EventSink::none(), None)
    };
    let turn = bind(&state, &flow, &plan, prediction, asked_at, events)?;
    let pending = state.supervisor.run_turn(turn.key.clone(), Box::new(turn))?;
    match receiver {
        Some(receiver) => sse::respond(receiver, pending).await,
        None => Ok(HttpResponse::Ok().json(pending.await?)),
    }
}

fn bind(
    state: &AppState,
    flow: &ReadyFlow,
    plan: &std::sync::Arc<Plan>,
    prediction: PredictionRequest,
    asked_at: Timestamp,
    events: EventSink,
) -> Result<BoundTurn, ApiError> {
    let overrides = overrides::parse(&prediction.overrides, plan, &flow.policy)?;
    let chat_id = prediction.settle_chat_id();
    let session = session(&prediction, plan, &chat_id)?;
    let missing = || ApiError::bad("question is missing: send {\"question\": \"...\"}");
    Ok(BoundTurn {
        plan: plan.clone(),
        key: SessionKey { chatflow: flow.chatflow.id, session },
        chat_id,
        chat_type: ChatType::External,
        question: prediction.question.ok_or_else(missing)?,
        history: prediction.history,
        uploads: prediction.uploads.unwrap_or_default(),
        overrides,
        variables: flow.variables.clone(),
        lead_email: prediction.lead_email,
        asked_at,
        events,
        store: state.store.history().clone(),
        services: state.services.clone(),
    })
}

/// The request's session, else its chat, else the one typed on the memory
/// node, else a new one.
fn session(
    prediction: &PredictionRequest,
    plan: &Plan,
    chat_id: &ChatId,
) -> Result<SessionId, ApiError> {
    if let Some(session) = &prediction.session_id {
        return Ok(session.clone());
    }
    if let Some(chat) = &prediction.chat_id {
        return Ok(SessionId::from(chat));
    }
    match &plan.typed_session {
        Some(typed) => SessionId::parse(typed).map_err(|error| {
            let message = format!("the session id typed on the memory node is unusable: {error}");
            ApiError::new(ErrorCode::InvalidFlow, message)
        }),
        None => Ok(SessionId::from(chat_id)),
    }
}
