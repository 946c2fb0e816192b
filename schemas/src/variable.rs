//! Variables: what `{{$vars.name}}` means in a flow.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// Where a variable's value comes from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum VariableType {
    /// From the variable itself.
    #[default]
    Static,
    /// From the server's environment variable of the same name.
    Runtime,
}

/// A variable as `GET /api/v1/variables` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// The id.
    pub id: Uuid,
    /// The name in `{{$vars.name}}`; not unique, as in Flowise.
    pub name: String,
    /// The value of a static variable.
    pub value: String,
    /// Where the value comes from.
    #[serde(rename = "type")]
    pub kind: VariableType,
    /// When it was made.
    pub created_date: Timestamp,
    /// When it was last changed.
    pub updated_date: Timestamp,
}
