//! `POST /api/v1/messages/import`: stores messages that were written elsewhere,
//! with their ids and dates. An addition to Flowise's routes, for moving in
//! and for putting an export back.

use std::collections::{BTreeSet, HashMap};

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{
    ChatId, ChatType, ChatflowId, ErrorCode, Halves, NewTurn, Role, SessionId, SessionKey,
    Timestamp, Usage,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body;
use super::error::ApiError;
use super::state::AppState;
use crate::store::ForeignTurn;

/// Most messages of one body.
pub const MAX_LINES: usize = 4096;

/// A line: the record of `GET /api/v1/chatmessage/{id}`. Other keys are left alone.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: Uuid,
    role: Role,
    chatflowid: ChatflowId,
    content: String,
    chat_id: ChatId,
    created_date: Timestamp,
    #[serde(default)]
    chat_type: ChatType,
    session_id: Option<SessionId>,
    memory_type: Option<String>,
    lead_email: Option<String>,
    file_uploads: Option<Value>,
    follow_up_prompts: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Columns of an answer that are kept as they come.
const ANSWER_COLUMNS: [&str; 6] =
    ["sourceDocuments", "usedTools", "fileAnnotations", "agentReasoning", "artifacts", "action"];

/// Stores the messages of an NDJSON body of at most [`MAX_LINES`] lines, in its
/// order, each session's behind what it has. A question and the answer that is
/// the next of the same session and chat become one turn, so both must come in
/// one body. Messages whose id is stored already are left out and counted. A
/// turn that runs meanwhile in a session that gets messages is refused at its end.
///
/// # Errors
/// 400 naming the line, or 404 for a chatflow that is not stored, and then
/// nothing is stored; 413. After 503 the same body may be sent again.
#[utoipa::path(
    post, path = "/api/v1/messages/import", tag = "Messages",
    request_body(content = Option<String>, content_type = "text/plain", description = "NDJSON: messages as GET chatmessage shows them, one on a line; application/x-ndjson is taken too"),
    responses((status = 200, description = "How many were stored and how many existed", body = serde_json::Value))
)]
pub async fn import(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let bytes = body::read_bytes(&request, payload, state.body_limit).await?;
    let lines = parse(&bytes)?;
    let n_messages = lines.len() as u64;
    let flows: BTreeSet<ChatflowId> = lines.iter().map(|line| line.chatflowid).collect();
    for flow in &flows {
        if state.store.chatflows().get(*flow)?.is_none() {
            let message = format!("chatflow {flow} is not stored here; import it first");
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
    }
    let n_stored = state.store.history().take_in(turns(lines)).await;
    for flow in flows {
        // Live sessions must see the new turns; after an error some may be there too.
        state.supervisor.drop_memory(flow).await;
    }
    let n_stored = n_stored?;
    Ok(HttpResponse::Ok().json(json!({"stored": n_stored, "existing": n_messages - n_stored})))
}

fn parse(bytes: &[u8]) -> Result<Vec<Line>, ApiError> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let parsed = serde_json::from_slice(line).map_err(|error| {
            let error = error.to_string();
            // The place that follows is one within the line.
            let why = error.split(" at line ").next().unwrap_or_default();
            let why: String = why.chars().take(200).collect();
            ApiError::bad(format!("line {number} is no chat message: {why}"))
        })?;
        lines.push(parsed);
        if lines.len() > MAX_LINES {
            let message = format!("more than {MAX_LINES} messages at once; send them in parts");
            return Err(ApiError::new(ErrorCode::TooLarge, message));
        }
    }
    Ok(lines)
}

/// The lines as turns, each where its first line stood.
fn turns(lines: Vec<Line>) -> Vec<ForeignTurn> {
    let mut turns: Vec<ForeignTurn> = Vec::new();
    // The last message of a session, where it is a question without an answer.
    let mut asked: HashMap<(SessionKey, ChatId), usize> = HashMap::new();
    for mut line in lines {
        // Rows that were written without a memory may name no session.
        let session = line.session_id.take().unwrap_or_else(|| SessionId::from(&line.chat_id));
        let key = SessionKey { chatflow: line.chatflowid, session };
        let chat = (key.clone(), line.chat_id.clone());
        let role = line.role;
        let waiting = asked.remove(&chat);
        match waiting.and_then(|at| turns.get_mut(at)) {
            Some(turn) if role == Role::ApiMessage => put(turn, line),
            _ => {
                let mut turn = ForeignTurn { key, halves: Halves::NONE, body: empty(&line) };
                put(&mut turn, line);
                turns.push(turn);
                if role == Role::UserMessage {
                    asked.insert(chat, turns.len() - 1);
                }
            }
        }
    }
    turns
}

/// A turn of the line's conversation with nothing in it yet.
fn empty(line: &Line) -> NewTurn {
    NewTurn {
        question_id: Uuid::nil(),
        answer_id: Uuid::nil(),
        question: String::new(),
        answer: String::new(),
        asked_at: line.created_date,
        answered_at: line.created_date,
        chat_id: line.chat_id.clone(),
        chat_type: line.chat_type,
        memory_type: line.memory_type.clone().unwrap_or_default(),
        lead_email: None,
        file_uploads: None,
        answer_columns: Map::new(),
        usage: Usage::default(),
        memory_state: None,
        follow_up_prompts: None,
    }
}

fn put(turn: &mut ForeignTurn, mut line: Line) {
    let body = &mut turn.body;
    match line.role {
        Role::UserMessage => {
            turn.halves.question = true;
            (body.question_id, body.question) = (line.id, line.content);
            body.asked_at = line.created_date;
            body.file_uploads = line.file_uploads;
            body.lead_email = line.lead_email;
        }
        Role::ApiMessage => {
            turn.halves.answer = true;
            (body.answer_id, body.answer) = (line.id, line.content);
            body.answered_at = line.created_date;
            body.follow_up_prompts = line.follow_up_prompts;
            for name in ANSWER_COLUMNS {
                let column = line.rest.remove(name).filter(|value| !value.is_null());
                body.answer_columns.extend(column.map(|value| (name.to_owned(), value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(role: &str, session: Option<&str>, content: &str) -> String {
        json!({
            "id": Uuid::new_v4(), "role": role, "content": content, "chatId": "chat",
            "chatflowid": "54d84c37-3f57-4c00-841d-17f95e783c4d", "sessionId": session,
            "createdDate": "2026-01-31T12:00:00.000Z", "feedback": null,
        })
        .to_string()
    }

    #[test]
    fn interleaved_sessions_become_their_own_turns_and_what_is_alone_stays_alone() {
        let lines = [
            line("apiMessage", Some("a"), "alone"),
            line("userMessage", Some("a"), "a1"),
            line("userMessage", Some("b"), "b1"),
            line("apiMessage", Some("a"), "re a1"),
            line("userMessage", Some("b"), "b2"),
            line("apiMessage", Some("b"), "re b2"),
            line("userMessage", None, "c1"),
        ];
        let turns = turns(parse(lines.join("\n").as_bytes()).unwrap());
        let said: Vec<_> = turns
            .iter()
            .map(|turn| {
                let body = &turn.body;
                (turn.key.session.as_str(), body.question.as_str(), body.answer.as_str())
            })
            .collect();
        assert_eq!(
            said,
            [
                ("a", "", "alone"),
                ("a", "a1", "re a1"),
                ("b", "b1", ""),
                ("b", "b2", "re b2"),
                ("chat", "c1", "")
            ]
        );
        assert_eq!(turns[2].halves, Halves { question: true, answer: false });
    }

    #[test]
    fn a_line_that_is_no_message_is_named_and_too_many_are_refused() {
        let good = line("userMessage", None, "x");
        let error = parse(format!("{good}\n\n{{\"id\": 1}}").as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("line 3 is no chat message"), "{error}");
        let many = format!("{good}\n").repeat(MAX_LINES + 1);
        assert_eq!(parse(many.as_bytes()).unwrap_err().0.code, ErrorCode::TooLarge);
    }
}
