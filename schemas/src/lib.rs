//! Wire and file types of Parlor: what travels in HTTP bodies, in exported
//! flow files and in stored records.
//!
//! Pure data. Nothing here does IO, knows an actor or holds a connection, so
//! that every other room can depend on it.
//!
//! # Layout
//! - [`given_json`]: JSON of strangers, bounded
//! - [`ids`]: parsed identifiers; inside the server no raw `String` is an id
//! - [`time`]: instants as Flowise prints them
//! - [`error`]: the codes that every border's error carries
//! - [`flow_file`]: an exported flow: nodes, edges, unknown keys kept
//! - [`chatflow`]: a stored chatflow and its settings
//! - [`prediction`]: the body of a prediction, parsed
//! - [`turn`]: one question with its answer, the unit that is stored
//! - [`exchange`]: what is remembered of a turn; [`exchanges`]: of many, in one text
//! - [`chat_message`]: the two views of a turn that the Message API shows
//! - [`message_filter`]: which messages a caller means
//! - [`message_ids`](mod@message_ids): the ids of a turn's two messages
//! - [`event`]: the event grammar of a streamed answer
//! - [`trace`]: the id under which a request is found again
//! - [`access`]: what keys open, and credentials
//! - [`api_key`]: what is stored of an API key
//! - [`feedback`]: what people say about answers, and their contact data
//! - [`repetition`]: a request that may come again under its `Idempotency-Key`
//! - [`upsert`]: how far an upsert is, and what it did
//! - [`variable`]: what `{{$vars.name}}` means in a flow

pub mod access;
pub mod api_key;
pub mod chat_message;
pub mod chatflow;
pub mod error;
pub mod event;
pub mod exchange;
pub mod exchanges;
pub mod feedback;
pub mod flow_file;
pub mod given_json;
pub mod ids;
pub mod message_filter;
pub mod message_ids;
pub mod prediction;
pub mod repetition;
pub mod time;
pub mod trace;
pub mod turn;
pub mod upsert;
pub mod variable;

pub use access::{Credential, CredentialInfo, Scope};
pub use api_key::{ApiKey, KeyDigest, KeyLimit, PreviousSecret};
pub use chat_message::{ChatMessage, ChatType, Role};
pub use chatflow::Chatflow;
pub use error::{ErrorCode, Fault, shown};
pub use event::StreamEvent;
pub use exchange::{Exchange, PastUploads};
pub use exchanges::Exchanges;
pub use ids::{ChatId, ChatflowId, IdError, SessionId, SessionKey};
pub use message_filter::MessageFilter;
pub use message_ids::{are_siblings, message_ids, role_among_siblings, sibling};
pub use prediction::{HistoryItem, PredictionRequest, Upload};
pub use repetition::{Remembered, Repetition};
pub use time::Timestamp;
pub use trace::TraceId;
pub use turn::{Halves, NewTurn, Turn, TurnReply, Usage};
pub use upsert::{
    JobError, UnreadFile, UpsertJob, UpsertProgress, UpsertRecord, UpsertReply, UpsertState,
};
pub use variable::{Variable, VariableType};
