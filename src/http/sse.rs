//! The body of a streamed answer. All that is ready goes out in one write, so
//! it coalesces under load and stays byte-exact; events are never merged.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures::stream;
use parlor_nodes::Crowd;
use parlor_schemas::{ErrorCode, Fault, StreamEvent, TurnReply, event::Done};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::error::{self, ApiError};
use super::keeper;
use super::passage::RequestId;
use super::state::StreamLimits;
use super::ticket::Ticket;

/// A comment of the event stream: clients skip it, proxies see life.
pub(super) const HEARTBEAT: &[u8] = b":heartbeat\n\n";

/// What a streamed answer is made of.
pub(super) trait Events: 'static {
    /// The next bytes; `None` after the end.
    async fn next_write(&mut self) -> Option<Bytes>;
}

/// An answer that streams events.
pub(super) fn response(events: impl Events) -> HttpResponse {
    let writes = stream::unfold(events, async |mut events| {
        let bytes = events.next_write().await?;
        Some((Ok::<_, actix_web::Error>(bytes), events))
    });
    head().streaming(writes)
}

/// Answers with a stream as soon as the first event is there, or the first
/// heartbeat is due. What fails before that is an ordinary error with its
/// status; an abort is none, and the client that asked for it waits for the event.
///
/// # Errors
/// The turn's, where it ended before its first event.
pub async fn respond(
    mut events: Receiver<StreamEvent>,
    turn: keeper::Ending,
    mut ticket: Ticket,
    limits: StreamLimits,
    crowd: Arc<Crowd>,
) -> Result<HttpResponse, ApiError> {
    let first = timeout(limits.heartbeat, events.recv()).await;
    let (first, ending) = match first {
        Ok(Some(event)) => (First::Event(event), Ending::Turn(turn)),
        Ok(None) => match ticket.ended(turn.await) {
            Err(fault) if fault.code != ErrorCode::Cancelled => return Err(fault.into()),
            result => (First::Nothing, Ending::Result(Box::new(result))),
        },
        Err(_) => (First::Heartbeat, Ending::Turn(turn)),
    };
    ticket.opened();
    let request = RequestId::current();
    let has_text = false;
    Ok(response(Body { first, events, ending, limits, ticket, crowd, has_text, request }))
}

/// The head of a stream.
pub(super) fn head() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONNECTION, "keep-alive"))
        .insert_header(("X-Accel-Buffering", "no"));
    response
}

/// A streamed answer that is known as a whole: its text is one token, and what
/// came with it follows in the usual order.
pub(super) fn whole(reply: &TurnReply) -> Vec<u8> {
    let text = reply.result.get("text").and_then(Value::as_str).unwrap_or_default();
    let mut events = vec![StreamEvent::Start(text.to_owned())];
    if !text.is_empty() {
        events.push(StreamEvent::Token(text.to_owned()));
    }
    let found = |name: &str| reply.result.get(name).cloned();
    events.extend(found("sourceDocuments").map(StreamEvent::SourceDocuments));
    events.extend(found("usedTools").map(StreamEvent::UsedTools));
    events.extend(found("artifacts").map(StreamEvent::Artifacts));
    events.extend([StreamEvent::Metadata(metadata(reply)), StreamEvent::End(Done)]);
    let mut out = Vec::new();
    events.iter().for_each(|event| event.write_to(&mut out));
    out
}

struct Body {
    first: First,
    events: Receiver<StreamEvent>,
    ending: Ending,
    limits: StreamLimits,
    ticket: Ticket,
    crowd: Arc<Crowd>,
    /// The first words are not waited for.
    has_text: bool,
    /// The body is made after the handler is done, where nobody else knows it.
    request: Option<RequestId>,
}

/// What opened the stream.
enum First {
    Event(StreamEvent),
    Heartbeat,
    Nothing,
}

enum Ending {
    Turn(keeper::Ending),
    Result(Box<Result<TurnReply, Fault>>),
    Sent,
}

impl Events for Body {
    async fn next_write(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        let event = match std::mem::replace(&mut self.first, First::Nothing) {
            First::Event(event) => Some(event),
            First::Heartbeat => return Some(Bytes::from_static(HEARTBEAT)),
            First::Nothing => match timeout(self.limits.heartbeat, self.events.recv()).await {
                Ok(event) => event,
                Err(_) => return Some(Bytes::from_static(HEARTBEAT)),
            },
        };
        match event {
            Some(event) => {
                self.ticket.began();
                if self.has_text {
                    self.crowd.gather().await;
                }
                self.write(&event, &mut out);
                while let Ok(event) = self.events.try_recv() {
                    self.write(&event, &mut out);
                }
            }
            // The node has said all: what remains waits for the commit.
            None => match std::mem::replace(&mut self.ending, Ending::Sent) {
                Ending::Turn(turn) => {
                    let result = self.ticket.ended(turn.await);
                    self.write_end(result, &mut out);
                }
                Ending::Result(result) => self.write_end(*result, &mut out),
                Ending::Sent => return None,
            },
        }
        Some(out.into())
    }
}

impl Body {
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        self.has_text |= matches!(event, StreamEvent::Token(_));
        event.write_to(out);
    }

    fn write_end(&self, result: Result<TurnReply, Fault>, out: &mut Vec<u8>) {
        match result {
            Ok(reply) => StreamEvent::Metadata(metadata(&reply)).write_to(out),
            Err(fault) if fault.code == ErrorCode::Cancelled => {
                StreamEvent::Abort(Done).write_to(out);
            }
            Err(fault) => {
                error::log(&fault, self.request.as_ref());
                StreamEvent::Error(fault.message).write_to(out);
            }
        }
        StreamEvent::End(Done).write_to(out);
    }
}

/// Each key only where it holds something, in Flowise's order.
fn metadata(reply: &TurnReply) -> Value {
    let mut map = Map::new();
    map.insert("chatId".into(), json!(reply.chat_id));
    map.insert("chatMessageId".into(), json!(reply.chat_message_id));
    for (key, text) in [
        ("question", &reply.question),
        ("sessionId", &reply.session_id),
        ("memoryType", &reply.memory_type),
    ] {
        if !text.is_empty() {
            map.insert(key.into(), json!(text));
        }
    }
    if let Some(prompts) = &reply.follow_up_prompts {
        map.insert("followUpPrompts".into(), json!(prompts));
    }
    if !reply.usage.is_empty() {
        map.insert("usage".into(), json!(reply.usage));
    }
    map.insert("traceId".into(), json!(reply.trace_id));
    Value::Object(map)
}
