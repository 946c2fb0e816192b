//! One question with its answer: the unit that is stored and ordered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::chat_message::{ChatMessage, ChatType, Role};
use crate::ids::{ChatId, SessionKey};
use crate::time::Timestamp;
use crate::trace::TraceId;

/// Tokens that a turn cost, added over its model calls, as the providers counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
}

impl Usage {
    /// True when no provider reported a count.
    pub fn is_empty(&self) -> bool {
        self.input_tokens == 0 && self.output_tokens == 0
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

/// A finished turn that has no place in its session yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTurn {
    /// Id of the question's message.
    pub question_id: Uuid,
    /// Id of the answer's message, `chatMessageId` of the reply.
    pub answer_id: Uuid,
    /// The person's words as sent.
    pub question: String,
    /// The stored answer.
    pub answer: String,
    /// When the request arrived.
    pub asked_at: Timestamp,
    /// When the answer was complete.
    pub answered_at: Timestamp,
    /// The client's chat id.
    pub chat_id: ChatId,
    /// The door.
    pub chat_type: ChatType,
    /// Label of the memory node, empty without one.
    pub memory_type: String,
    /// Address that the person left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_email: Option<String>,
    /// What was uploaded: `fileUploads` of the question's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_uploads: Option<Value>,
    /// Columns of the answer's row: sourceDocuments, usedTools, fileAnnotations,
    /// agentReasoning, artifacts, action.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answer_columns: Map<String, Value>,
    /// Tokens that the turn cost.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// What the memory made of the conversation up to here, a summary say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_state: Option<Value>,
    /// Suggested next questions: JSON text of an array of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompts: Option<String>,
}

/// Which messages of a turn exist: deleting by date or id may take one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halves {
    /// The person's message.
    pub question: bool,
    /// The answer.
    pub answer: bool,
}

impl Halves {
    /// Nothing is deleted.
    pub const BOTH: Self = Self { question: true, answer: true };
    /// Only the turn's place in its session is left.
    pub const NONE: Self = Self { question: false, answer: false };

    /// Whether the message of this role exists.
    pub fn has(self, role: Role) -> bool {
        match role {
            Role::UserMessage => self.question,
            Role::ApiMessage => self.answer,
        }
    }

    /// What is left when these are deleted.
    pub fn without(self, lost: Self) -> Self {
        Self { question: self.question && !lost.question, answer: self.answer && !lost.answer }
    }

    /// How many of the two exist.
    pub fn count(self) -> u64 {
        u64::from(self.question) + u64::from(self.answer)
    }
}

/// A stored turn with its place in the session.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Place in the session: turn n+1 follows turn n, whatever the clock did.
    pub seq: u64,
    /// The turn.
    pub body: NewTurn,
    /// What of it is not deleted.
    pub halves: Halves,
}

impl Turn {
    /// A turn of which nothing is deleted.
    pub fn whole(seq: u64, body: NewTurn) -> Self {
        Self { seq, body, halves: Halves::BOTH }
    }

    /// The turn as rows of the Message API, question first, without what is deleted.
    pub fn messages(&self, key: &SessionKey) -> Vec<ChatMessage> {
        let body = &self.body;
        let row = |id, role, content: &str, created_date| ChatMessage {
            id,
            role,
            chatflowid: key.chatflow,
            content: content.to_owned(),
            source_documents: None,
            used_tools: None,
            file_annotations: None,
            agent_reasoning: None,
            file_uploads: None,
            artifacts: None,
            action: None,
            chat_type: body.chat_type,
            chat_id: body.chat_id.as_str().to_owned(),
            memory_type: Some(body.memory_type.clone()),
            session_id: Some(key.session.as_str().to_owned()),
            created_date,
            lead_email: None,
            follow_up_prompts: None,
            feedback: None,
        };
        let mut question = row(body.question_id, Role::UserMessage, &body.question, body.asked_at);
        question.lead_email.clone_from(&body.lead_email);
        question.file_uploads.clone_from(&body.file_uploads);
        let mut answer = row(body.answer_id, Role::ApiMessage, &body.answer, body.answered_at);
        let column = |name: &str| body.answer_columns.get(name).cloned();
        answer.source_documents = column("sourceDocuments");
        answer.used_tools = column("usedTools");
        answer.file_annotations = column("fileAnnotations");
        answer.agent_reasoning = column("agentReasoning");
        answer.artifacts = column("artifacts");
        answer.action = column("action");
        answer.follow_up_prompts.clone_from(&body.follow_up_prompts);
        let rows = [question, answer].into_iter();
        rows.filter(|row| self.halves.has(row.role)).collect()
    }

    /// About how many bytes the turn takes in memory.
    pub fn weight(&self) -> usize {
        let body = &self.body;
        let kept = body.memory_state.iter().chain(&body.file_uploads).map(text_weight);
        std::mem::size_of::<Self>() + body.question.len() + body.answer.len() + kept.sum::<usize>()
    }
}

/// The bytes of all texts in a tree.
fn text_weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_weight).sum(),
        Value::Object(map) => map.values().map(text_weight).sum(),
        _ => 0,
    }
}

/// Flowise 2.2.8 encodes the array of prompts twice in a JSON reply (and once
/// in the `metadata` of a stream); its widget decodes it as often.
fn as_json_text<S: serde::Serializer>(
    prompts: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Value::from(prompts.as_deref().unwrap_or_default()).to_string())
}

/// Reads what [`as_json_text`] wrote.
fn from_json_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    serde_json::from_str(&text).map(Some).map_err(serde::de::Error::custom)
}

/// What the caller of a committed turn gets: the ending node's result, then
/// the keys that Flowise adds, in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnReply {
    /// Keys of the ending node's result: `text`, or `json`, and more.
    #[serde(flatten)]
    pub result: Map<String, Value>,
    /// The question, replaced by a transcript where audio brought it.
    pub question: String,
    /// The client's chat id.
    #[serde(rename = "chatId")]
    pub chat_id: ChatId,
    /// Id of the answer's message.
    #[serde(rename = "chatMessageId")]
    pub chat_message_id: Uuid,
    /// Suggested next questions: JSON text of an array of texts.
    #[serde(
        rename = "followUpPrompts",
        serialize_with = "as_json_text",
        deserialize_with = "from_json_text",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub follow_up_prompts: Option<String>,
    /// Whether this answer was streamed.
    #[serde(rename = "isStreamValid")]
    pub is_stream_valid: bool,
    /// The session.
    #[serde(rename = "sessionId")]
    pub session_id: String,
    /// Label of the memory node, absent without one.
    #[serde(rename = "memoryType", default, skip_serializing_if = "String::is_empty")]
    pub memory_type: String,
    /// Tokens that the turn cost: an addition to Flowise's reply.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// Where to find the request again: an addition too.
    #[serde(rename = "traceId")]
    pub trace_id: TraceId,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_reads_back_from_the_text_that_was_sent() {
        let mut reply = TurnReply {
            result: Map::from_iter([
                ("text".to_owned(), json!("an \u{1f98a}")),
                ("sourceDocuments".to_owned(), json!([{"pageContent": "p", "metadata": {}}])),
            ]),
            question: "q".into(),
            chat_id: ChatId::parse("c").unwrap(),
            chat_message_id: Uuid::from_u128(7),
            follow_up_prompts: Some(r#"["a \"b\""]"#.into()),
            is_stream_valid: true,
            session_id: "s".into(),
            memory_type: "Buffer Memory".into(),
            usage: Usage { input_tokens: 1, output_tokens: 2 },
            trace_id: TraceId::random(),
        };
        let read = |text: &str| serde_json::from_str::<TurnReply>(text).unwrap();
        assert_eq!(read(&json!(reply).to_string()), reply);
        // What is empty is not sent.
        (reply.follow_up_prompts, reply.memory_type) = (None, String::new());
        reply.usage = Usage::default();
        assert_eq!(read(&json!(reply).to_string()), reply);
    }
}
