//! What keys open, and the credentials of nodes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::time::Timestamp;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Call the chatflows that are bound to the key.
    Predict,
    /// Fill the vector stores of the chatflows that are bound to the key.
    Upsert,
    /// Read and delete messages.
    Messages,
    /// Everything else: chatflows, credentials, keys.
    Operator,
}

impl Scope {
    /// All scopes: what a key of Flowise opens.
    pub const ALL: [Self; 4] = [Self::Predict, Self::Upsert, Self::Messages, Self::Operator];
}

/// A stored credential, decrypted. It is shown to nobody in this form.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The id that a node's `credential` names.
    pub id: Uuid,
    /// Shown to people.
    pub name: String,
    /// The kind: `openAIApi`, `anthropicApi`, ...
    pub credential_name: String,
    /// The secret values by field.
    pub plain_data: Map<String, Value>,
    /// When it was made.
    pub created_date: Timestamp,
    /// When it was last changed.
    pub updated_date: Timestamp,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.id)
            .field("credential_name", &self.credential_name)
            .finish_non_exhaustive()
    }
}

/// A stored credential without its secret values: what lists show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialInfo {
    /// The id that a node's `credential` names.
    pub id: Uuid,
    /// Shown to people.
    pub name: String,
    /// The kind: `openAIApi`, `anthropicApi`, ...
    pub credential_name: String,
    /// When it was made.
    pub created_date: Timestamp,
    /// When it was last changed.
    pub updated_date: Timestamp,
}
