//! A stored chatflow: Flowise's `chat_flow` row.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ids::ChatflowId;
use crate::time::Timestamp;

/// A chatflow as `GET /api/v1/chatflows/{id}` shows it. The settings are
/// columns of JSON text on the wire, and stay so here; who needs one parses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chatflow {
    /// The id.
    pub id: ChatflowId,
    /// Shown to people.
    pub name: String,
    /// The exported flow, JSON text.
    pub flow_data: String,
    /// A mark of the UI, kept.
    #[serde(default)]
    pub deployed: Option<bool>,
    /// Whether `public-chatflows` shows it.
    #[serde(default)]
    pub is_public: Option<bool>,
    /// Id of the API key that predictions must bring.
    #[serde(default)]
    pub apikeyid: Option<String>,
    /// Widget settings, JSON text.
    #[serde(default)]
    pub chatbot_config: Option<String>,
    /// Overrides and rate limit, JSON text.
    #[serde(default)]
    pub api_config: Option<String>,
    /// Tracing settings, JSON text, kept.
    #[serde(default)]
    pub analytic: Option<String>,
    /// Speech to text, JSON text.
    #[serde(default)]
    pub speech_to_text: Option<String>,
    /// Follow-up prompts, JSON text.
    #[serde(default)]
    pub follow_up_prompts: Option<String>,
    /// Categories, separated by `;`.
    #[serde(default)]
    pub category: Option<String>,
    /// `CHATFLOW`, `MULTIAGENT` or `ASSISTANT`; `null` counts as the first.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// When it was made.
    pub created_date: Timestamp,
    /// When it was last changed.
    pub updated_date: Timestamp,
}

impl Chatflow {
    /// A new chatflow without any settings.
    pub fn new(id: ChatflowId, name: String, flow_data: String, now: Timestamp) -> Self {
        Self {
            id,
            name,
            flow_data,
            deployed: None,
            is_public: None,
            apikeyid: None,
            chatbot_config: None,
            api_config: None,
            analytic: None,
            speech_to_text: None,
            follow_up_prompts: None,
            category: None,
            kind: None,
            created_date: now,
            updated_date: now,
        }
    }

    /// The id of the key that guards predictions, if one does.
    pub fn guarding_key(&self) -> Option<&str> {
        self.apikeyid.as_deref().filter(|id| !id.is_empty())
    }

    /// A settings column as JSON; absent or unreadable text is `null`, as in Flowise.
    pub fn settings(column: Option<&str>) -> Value {
        column.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
    }
}
