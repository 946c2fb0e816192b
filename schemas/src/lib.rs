//! Wire and file types of Parlor: what travels in HTTP bodies, in exported
//! flow files and in stored records.
//!
//! Pure data. Nothing here does IO, knows an actor or holds a connection, so
//! that every other room can depend on it.
//!
//! # Layout
//! - [`ids`]: parsed identifiers; inside the server no raw `String` is an id
//! - [`time`]: instants as Flowise prints them
//! - [`error`]: the codes that every border's error carries
//! - [`flow_file`]: an exported flow: nodes, edges, unknown keys kept
//! - [`chatflow`]: a stored chatflow and its settings
//! - [`prediction`]: the body of a prediction, parsed
//! - [`turn`]: one question with its answer, the unit that is stored
//! - [`chat_message`]: the two views of a turn that the Message API shows
//! - [`event`]: the event grammar of a streamed answer
//! - [`access`]: API keys, their scopes, and credentials
//! - [`feedback`]: what people say about answers, and their contact data
//! - [`variable`]: what `{{$vars.name}}` means in a flow

pub mod access;
pub mod chat_message;
pub mod chatflow;
pub mod error;
pub mod event;
pub mod feedback;
pub mod flow_file;
pub mod ids;
pub mod prediction;
pub mod time;
pub mod turn;
pub mod variable;

pub use access::{ApiKey, Credential, CredentialInfo, Scope};
pub use chat_message::{ChatMessage, ChatType, Role};
pub use chatflow::Chatflow;
pub use error::{ErrorCode, Fault};
pub use event::StreamEvent;
pub use ids::{ChatId, ChatflowId, IdError, SessionId, SessionKey};
pub use prediction::{HistoryItem, PredictionRequest, Upload};
pub use time::Timestamp;
pub use turn::{NewTurn, Turn, TurnReply, Usage};
pub use variable::{Variable, VariableType};
