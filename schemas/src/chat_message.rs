//! The record of the Message API: one message, half of a turn.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::ChatflowId;
use crate::time::Timestamp;

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The person.
    UserMessage,
    /// The chatflow.
    ApiMessage,
}

/// Which door a turn came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChatType {
    /// The prediction API.
    #[default]
    External,
    /// The operator's own prediction route.
    Internal,
}

/// A message as `GET /api/v1/chatmessage` shows it; nullable columns are
/// `null`, never left out (order of keys as Flowise 2.2.8 writes them).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatMessage {
    /// UUID of the message; of an answer it is the prediction's `chatMessageId`.
    pub id: Uuid,
    /// Who wrote it.
    pub role: Role,
    /// The chatflow, lower-case key as on the wire.
    pub chatflowid: ChatflowId,
    /// The text.
    pub content: String,
    /// Passages that the answer rests on.
    #[serde(rename = "sourceDocuments")]
    pub source_documents: Option<Value>,
    /// Tool calls of an agent.
    #[serde(rename = "usedTools")]
    pub used_tools: Option<Value>,
    /// Files that an assistant made.
    #[serde(rename = "fileAnnotations")]
    pub file_annotations: Option<Value>,
    /// Steps of an agent flow.
    #[serde(rename = "agentReasoning")]
    pub agent_reasoning: Option<Value>,
    /// What the person uploaded.
    #[serde(rename = "fileUploads")]
    pub file_uploads: Option<Value>,
    /// Images and files that tools made.
    pub artifacts: Option<Value>,
    /// A question of a flow that waits for approval.
    pub action: Option<Value>,
    /// The door.
    #[serde(rename = "chatType")]
    pub chat_type: ChatType,
    /// The client's chat id.
    #[serde(rename = "chatId")]
    pub chat_id: String,
    /// Label of the memory node, `""` without one.
    #[serde(rename = "memoryType")]
    pub memory_type: Option<String>,
    /// The session.
    #[serde(rename = "sessionId")]
    pub session_id: Option<String>,
    /// When it was written.
    #[serde(rename = "createdDate")]
    pub created_date: Timestamp,
    /// Address that the person left.
    #[serde(rename = "leadEmail")]
    pub lead_email: Option<String>,
    /// Suggested next questions, JSON text.
    #[serde(rename = "followUpPrompts")]
    pub follow_up_prompts: Option<String>,
    /// What people said about it, `null` for nothing; only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Value>,
}
