//! `POST /api/v1/prediction/{id}`: one turn of a conversation.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_nodes::EventSink;
use parlor_nodes::speech::is_transcribed;
use parlor_schemas::{
    ChatId, ChatType, ChatflowId, ErrorCode, PredictionRequest, SessionId, SessionKey, Timestamp,
};
use tokio::sync::mpsc;

use super::error::ApiError;
use super::multipart;
use super::sse;
use super::state::AppState;
use crate::flow::cache::{ReadyFlow, not_found};
use crate::flow::overrides;
use crate::flow::plan::Plan;
use crate::flow::run::BoundTurn;
use crate::flow::uploads::{self, FormFile, TurnUploads};

/// Events that may wait for a slow reader before the model has to.
const EVENT_BUFFER: usize = 64;

/// Answers a question from outside.
///
/// # Errors
/// See the table in [`super::error`].
pub async fn external(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let asked_at = Timestamp::now();
    let id = ChatflowId::parse(&id).map_err(|_| ApiError(not_found("with that id")))?;
    let incoming = multipart::read_any(&request, payload, state.body_limit).await?;
    let prediction = PredictionRequest::from_json(incoming.body)?;
    let flow = state.flows.get(id)?;
    let plan = flow.plan.clone()?;
    let streams = prediction.streaming && plan.can_stream;
    let (events, receiver) = if streams {
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        (EventSink::new(sender), Some(receiver))
    } else {
        (EventSink::none(), None)
    };
    let turn = bind(&state, &flow, &plan, prediction, incoming.files, asked_at, events)?;
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
    files: Vec<FormFile>,
    asked_at: Timestamp,
    events: EventSink,
) -> Result<BoundTurn, ApiError> {
    let mut overrides = overrides::parse(&prediction.overrides, plan, &flow.policy)?;
    overrides.files = uploads::file_inputs(&files);
    let chat_id = prediction.settle_chat_id();
    let session = session(&prediction, plan, &chat_id)?;
    let question = question(&prediction, flow)?;
    let blobs = state.store.blobs().clone();
    Ok(BoundTurn {
        plan: plan.clone(),
        key: SessionKey { chatflow: flow.chatflow.id, session },
        chat_id,
        chat_type: ChatType::External,
        question,
        history: prediction.history,
        uploads: TurnUploads::new(prediction.uploads, files, blobs, state.image_limit),
        speech: flow.speech.clone(),
        overrides,
        variables: flow.variables.clone(),
        lead_email: prediction.lead_email,
        asked_at,
        events,
        store: state.store.history().clone(),
        services: state.services.clone(),
    })
}

/// The person's words. A recording may bring them instead, where the chatflow
/// turns speech into text.
fn question(prediction: &PredictionRequest, flow: &ReadyFlow) -> Result<String, ApiError> {
    let is_spoken = flow.speech.is_some()
        && prediction.uploads.iter().flatten().any(|upload| is_transcribed(&upload.mime));
    match &prediction.question {
        Some(question) => Ok(question.clone()),
        None if is_spoken => Ok(String::new()),
        None => Err(ApiError::bad("question is missing: send {\"question\": \"...\"}")),
    }
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
