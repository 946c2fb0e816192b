//! Messages as lines of JSON: the record of the Message API, with the place
//! of the turn and what else must not be lost on the way to another server.

use bytes::Bytes;
use parlor_schemas::{
    ChatId, ChatMessage, ChatType, ChatflowId, Halves, NewTurn, Role, SessionId, SessionKey,
    Timestamp, Turn, Usage,
};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::store::archive::Line;

/// A message on its way out.
#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(flatten)]
    message: ChatMessage,
    /// Place of the turn in its session: question and answer have the same.
    turn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(rename = "memoryState", skip_serializing_if = "Option::is_none")]
    memory_state: Option<&'a Value>,
}

/// The lines of some turns.
pub(super) fn page(turns: &[(SessionKey, Turn)]) -> Bytes {
    let mut out = Vec::new();
    for (key, turn) in turns {
        let messages = turn.messages(key);
        let n_messages = messages.len();
        for (at, message) in messages.into_iter().enumerate() {
            // What belongs to the whole turn goes with its last message.
            let is_last = at + 1 == n_messages;
            let usage = Some(turn.body.usage).filter(|usage| is_last && !usage.is_empty());
            let memory_state = turn.body.memory_state.as_ref().filter(|_| is_last);
            put(&mut out, &Outgoing { message, turn: turn.seq, usage, memory_state });
        }
    }
    out.into()
}

/// The lines of a backup.
pub(super) fn of_backup(lines: &[Line]) -> Bytes {
    let mut out = Vec::new();
    lines.iter().for_each(|line| put(&mut out, line));
    out.into()
}

fn put(out: &mut Vec<u8>, line: &impl Serialize) {
    // Writing plain data into memory has no way to fail.
    let _ = serde_json::to_writer(&mut *out, line);
    out.push(b'\n');
}

/// A message on its way in. Columns that Flowise has and Parlor does not keep
/// are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Incoming {
    #[serde(deserialize_with = "id")]
    id: Uuid,
    role: Role,
    chatflowid: Option<ChatflowId>,
    content: String,
    #[serde(deserialize_with = "chat_id")]
    chat_id: ChatId,
    session_id: Option<SessionId>,
    #[serde(deserialize_with = "created_date")]
    created_date: Timestamp,
    #[serde(default)]
    chat_type: ChatType,
    memory_type: Option<String>,
    lead_email: Option<String>,
    file_uploads: Option<Value>,
    source_documents: Option<Value>,
    used_tools: Option<Value>,
    file_annotations: Option<Value>,
    agent_reasoning: Option<Value>,
    artifacts: Option<Value>,
    action: Option<Value>,
    follow_up_prompts: Option<String>,
    turn: Option<u64>,
    #[serde(default)]
    usage: Usage,
    memory_state: Option<Value>,
}

fn id<'de, D: Deserializer<'de>>(value: D) -> Result<Uuid, D::Error> {
    named("id", value)
}

fn chat_id<'de, D: Deserializer<'de>>(value: D) -> Result<ChatId, D::Error> {
    named("chatId", value)
}

fn created_date<'de, D: Deserializer<'de>>(value: D) -> Result<Timestamp, D::Error> {
    named("createdDate", value)
}

/// Reads a field whose own error would not say which it is.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    name: &str,
    value: D,
) -> Result<T, D::Error> {
    T::deserialize(value).map_err(|error| D::Error::custom(format!("{name}: {error}")))
}

/// One message as half of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::http) struct HalfTurn {
    pub key: SessionKey,
    pub halves: Halves,
    pub body: NewTurn,
    /// Place of the turn where it came from.
    pub turn: Option<u64>,
    /// Length of its line.
    pub n_bytes: usize,
}

/// Reads a line; `chatflow` is used in place of its own.
///
/// # Errors
/// What is wrong with it, in a few words.
pub(in crate::http) fn read(line: &[u8], chatflow: Option<ChatflowId>) -> Result<HalfTurn, String> {
    let message: Incoming = serde_json::from_slice(line).map_err(|error| unreadable(&error))?;
    let chatflow = chatflow.or(message.chatflowid).ok_or("chatflowid is missing")?;
    let session = message.session_id.clone().unwrap_or_else(|| (&message.chat_id).into());
    let (turn, n_bytes) = (message.turn, line.len());
    let halves = match message.role {
        Role::UserMessage => Halves { question: true, answer: false },
        Role::ApiMessage => Halves { question: false, answer: true },
    };
    let key = SessionKey { chatflow, session };
    Ok(HalfTurn { key, halves, body: message.into_turn(), turn, n_bytes })
}

/// What the parser says, without the place within the line and kept short.
fn unreadable(error: &serde_json::Error) -> String {
    let error = error.to_string();
    error.split(" at line ").next().unwrap_or_default().chars().take(200).collect()
}

/// A column as the Message API shows it: clients of Flowise write it as the JSON
/// text that its database keeps.
fn parsed(column: Value) -> Value {
    match &column {
        Value::String(text) => serde_json::from_str(text).unwrap_or(column),
        _ => column,
    }
}

impl Incoming {
    /// A turn in which only this message says something.
    fn into_turn(self) -> NewTurn {
        let is_question = self.role == Role::UserMessage;
        let columns = [
            ("sourceDocuments", self.source_documents),
            ("usedTools", self.used_tools),
            ("fileAnnotations", self.file_annotations),
            ("agentReasoning", self.agent_reasoning),
            ("artifacts", self.artifacts),
            ("action", self.action),
        ];
        let columns = columns.into_iter();
        let columns = columns.filter_map(|(name, value)| Some((name.into(), parsed(value?))));
        let answer_columns: Map<String, Value> =
            if is_question { Map::new() } else { columns.collect() };
        let (own, other) = (self.id, Uuid::new_v4());
        let (question_id, answer_id) = if is_question { (own, other) } else { (other, own) };
        let (said, nothing) = (self.content, String::new());
        let (question, answer) = if is_question { (said, nothing) } else { (nothing, said) };
        NewTurn {
            question_id,
            answer_id,
            question,
            answer,
            asked_at: self.created_date,
            answered_at: self.created_date,
            chat_id: self.chat_id,
            chat_type: self.chat_type,
            memory_type: self.memory_type.unwrap_or_default(),
            lead_email: self.lead_email.filter(|_| is_question),
            file_uploads: self.file_uploads.filter(|_| is_question).map(parsed),
            answer_columns,
            usage: self.usage,
            memory_state: self.memory_state,
            follow_up_prompts: self.follow_up_prompts.filter(|_| !is_question),
        }
    }
}
