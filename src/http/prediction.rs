//! `POST /api/v1/prediction/{id}`: one turn of a conversation; and the same for
//! the operator, `POST /api/v1/internal-prediction/{id}`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use futures::FutureExt;
use parlor_nodes::spans;
use parlor_nodes::speech::is_transcribed;
use parlor_nodes::{Crowd, EventSink};
use parlor_schemas::prediction::Upload;
use parlor_schemas::{
    ChatId, ChatType, ChatflowId, ErrorCode, PredictionRequest, SessionId, SessionKey, StreamEvent,
    Timestamp, TraceId, TurnReply,
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::error::ApiError;
use super::gate;
use super::idempotency::IdempotencyKey;
use super::keeper;
use super::multipart;
use super::replay::{self, Claim};
use super::sse;
use super::state::AppState;
use super::ticket::Ticket;
use crate::flow::cache::{ReadyFlow, not_found};
use crate::flow::overrides;
use crate::flow::plan::Plan;
use crate::flow::run::BoundTurn;
use crate::flow::uploads::{FormFile, TurnUploads};
use crate::running_keys::RunningKey;
use crate::telemetry;

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
/// An `Idempotency-Key` (1 to 255 visible ASCII characters, best a UUID) makes sure that
/// a request which is sent again, after a broken connection say, is answered and stored
/// once: for 24 hours its repetitions get the same answer, with the header
/// `Idempotent-Replayed: true`, also after a restart. With another body the key is
/// refused (422); while the first request runs it is 409 with `Retry-After`. A client that
/// leaves does not cancel the turn of its key: it runs to its end and is stored. A key is
/// free again when its turn failed, was aborted or is deleted. A chatflow with
/// `storeMessages: false` keeps no answer, so that there only requests at the same time
/// are held apart.
///
/// # Errors
/// See the table in [`super::error`].
#[utoipa::path(
    post, path = "/api/v1/prediction/{id}", tag = "Predictions",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Marks repetitions of this request: they get its answer"),
    ),
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
    predict(request, id, payload, state, ChatType::External).await
}

/// Answers a path that lacks the chatflow, in Flowise's words.
///
/// # Errors
/// Always 412.
#[utoipa::path(
    post, path = "/api/v1/prediction", tag = "Predictions",
    responses((status = 412, description = "The path lacks the chatflow"))
)]
pub async fn without_id() -> Result<HttpResponse, ApiError> {
    Err(ApiError::no_id("predictionsController.createPrediction"))
}

/// Answers the operator's own question: no key of the chatflow is asked for.
///
/// # Errors
/// See the table in [`super::error`].
#[utoipa::path(
    post, path = "/api/v1/internal-prediction/{id}", tag = "Predictions",
    params(
        ("id" = ChatflowId, Path, description = "The chatflow"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Marks repetitions of this request: they get its answer"),
    ),
    request_body = Prediction,
    responses(
        (status = 200, description = "The answer, whole or as a stream", content(
            (TurnReply = "application/json"), (SseEvent = "text/event-stream")
        )),
    )
)]
pub async fn internal(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    predict(request, id, payload, state, ChatType::Internal).await
}

async fn predict(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    state: web::Data<AppState>,
    door: ChatType,
) -> Result<HttpResponse, ApiError> {
    let mut ticket = Ticket::take(&state)?;
    match hand_over(request, &id, payload, &state, door, &mut ticket).await {
        Ok(Handed::Streamed(events, turn)) => {
            sse::respond(events, turn, ticket, state.streams, state.crowd.clone()).await
        }
        Ok(Handed::Whole(turn)) => Ok(HttpResponse::Ok().json(ticket.ended(turn.await)?)),
        Ok(Handed::Repeated { reply, as_stream }) => {
            ticket.replayed();
            replay::respond(reply, as_stream)
        }
        Err(error) => Err(ticket.refused(error)),
    }
}

/// What became of a request.
enum Handed {
    /// It runs, and these are the events of its stream.
    Streamed(mpsc::Receiver<StreamEvent>, keeper::Ending),
    /// It runs, and is answered in one piece.
    Whole(keeper::Ending),
    /// It repeats one that is answered: the JSON of that answer.
    Repeated { reply: Vec<u8>, as_stream: bool },
}

/// Binds the request to its plan and gives it to its session, unless it
/// repeats one that is answered.
async fn hand_over(
    request: HttpRequest,
    id: &str,
    payload: web::Payload,
    state: &AppState,
    door: ChatType,
    ticket: &mut Ticket,
) -> Result<Handed, ApiError> {
    let asked_at = Timestamp::now();
    let id = ChatflowId::parse(id).map_err(|_| ApiError(not_found("with that id")))?;
    let key = IdempotencyKey::of(&request)?;
    let incoming = multipart::read_any(&request, payload, state.body_limit).await?;
    let flow = state.flows.get(id)?;
    let repetition = key.map(|key| replay::repetition(&key, id, door, &incoming));
    let claim = match repetition {
        Some(repetition) => replay::claim(state, &repetition).await?,
        None => Claim::NoKey,
    };
    let prediction = PredictionRequest::from_json(incoming.body)?;
    let repetition = match claim {
        Claim::Answered(reply) => {
            return Ok(Handed::Repeated { reply, as_stream: prediction.streaming });
        }
        Claim::New(key) => Some(key),
        Claim::NoKey => None,
    };
    let plan = flow.plan.clone()?;
    // An answer that is not stored is of no use to a repetition.
    let is_kept = repetition.is_some() && flow.stores;
    let patience = state.streams.patience;
    let streams = prediction.streaming && plan.can_stream;
    // A keeper gives a reader up after his patience, and must be first.
    let sink_patience = if is_kept { patience * 2 } else { patience };
    let (events, receiver) = stream(streams, sink_patience, &state.crowd);
    let (trace_id, api_key) = (trace_id(&request), gate::opened_by(&request));
    let arrival = Arrival { asked_at, trace_id, api_key, door, repetition };
    let turn = bind(state, &flow, &plan, prediction, incoming.files, arrival, events)?;
    let pending = state.supervisor.run_turn(turn.key.clone(), Box::new(turn))?;
    let (receiver, ending) = if is_kept {
        keeper::keep(pending, receiver, ticket.for_keeper(), patience)
    } else {
        (receiver, pending.boxed_local())
    };
    Ok(match receiver {
        Some(events) => Handed::Streamed(events, ending),
        None => Handed::Whole(ending),
    })
}

/// The two ends of a stream, where the turn has one.
fn stream(
    streams: bool,
    patience: Duration,
    crowd: &Arc<Crowd>,
) -> (EventSink, Option<mpsc::Receiver<StreamEvent>>) {
    if !streams {
        return (EventSink::none(), None);
    }
    let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
    (EventSink::new(sender, patience, crowd.clone()), Some(receiver))
}

/// When and through which door a request came, with which key, its id in logs
/// and traces, and the `Idempotency-Key` that it holds.
struct Arrival {
    door: ChatType,
    asked_at: Timestamp,
    trace_id: TraceId,
    repetition: Option<RunningKey>,
    api_key: Option<Arc<str>>,
}

/// The trace that is collected, else the caller's, where it takes part in one,
/// else a new one.
fn trace_id(request: &HttpRequest) -> TraceId {
    if let Some(collected) = telemetry::trace_id() {
        return collected;
    }
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    header.and_then(TraceId::from_traceparent).unwrap_or_else(TraceId::random)
}

fn bind(
    state: &AppState,
    flow: &ReadyFlow,
    plan: &Arc<Plan>,
    prediction: PredictionRequest,
    files: Vec<FormFile>,
    arrival: Arrival,
    events: EventSink,
) -> Result<BoundTurn, ApiError> {
    let mut overrides = overrides::parse(&prediction.overrides, plan, &flow.policy)?;
    // A file that no node takes is kept with its chat like any other.
    overrides.take_files(&files, plan, &flow.policy);
    let chat_id = prediction.settle_chat_id();
    let session = session(&prediction, arrival.door, plan, &chat_id)?;
    let question = question(&prediction, flow)?;
    let blobs = state.store.blobs().clone();
    Ok(BoundTurn {
        plan: plan.clone(),
        key: SessionKey { chatflow: flow.chatflow.id, session },
        chat_id,
        chat_type: arrival.door,
        question,
        history: prediction.history,
        uploads: TurnUploads::new(prediction.uploads, files, blobs, state.image_limit),
        speech: flow.speech.clone(),
        overrides,
        variables: flow.variables.clone(),
        lead_email: prediction.lead_email,
        follow_up: flow.follow_up.clone(),
        stores: flow.stores,
        asked_at: arrival.asked_at,
        span: spans::current(),
        trace_id: arrival.trace_id,
        repetition: arrival.repetition,
        api_key: arrival.api_key,
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
/// node, else a new one. An internal call begins with the memory node's.
fn session(
    prediction: &PredictionRequest,
    door: ChatType,
    plan: &Plan,
    chat_id: &ChatId,
) -> Result<SessionId, ApiError> {
    let own = prediction.session_id.clone();
    let own = own.or_else(|| prediction.chat_id.as_ref().map(SessionId::from));
    if let (ChatType::External, Some(session)) = (door, own) {
        return Ok(session);
    }
    match &plan.typed_session {
        Some(typed) => SessionId::parse(typed).map_err(|error| {
            let message = format!("the session id typed on the memory node is unusable: {error}");
            ApiError::new(ErrorCode::InvalidFlow, message)
        }),
        None => Ok(SessionId::from(chat_id)),
    }
}
