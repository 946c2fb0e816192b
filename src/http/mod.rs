//! The REST API: parse, hand over, render. The one place where an error
//! becomes a status; no rule of the domain lives here.
//!
//! # Layout
//! - [`routes`]: the table of all routes, each with its policy
//! - [`gate`]: who may call what, decided before a body is read
//! - [`callers`], [`limits`], [`origins`]: whose key it is, how often, from which page
//! - [`error`]: errors as Flowise's JSON body
//! - [`body`]: bodies within their limits; [`multipart`]: those with files;
//!   [`form`]: fields of forms as JSON
//! - [`state`]: what handlers share
//! - [`passage`]: what every request and answer passes; [`ticket`]: a turn from door to door
//! - [`idempotency`]: requests that come again under their `Idempotency-Key`;
//!   [`replay`]: predictions among them; [`keeper`]: their turns, that outlive their readers
//! - [`listing`]: rows in order of date, page by page
//! - [`openapi`]: the description of the whole API
//! - then one file per API

pub mod abort;
pub mod apikey;
pub mod arrival;
pub mod attachments;
pub mod body;
pub mod callers;
pub mod care;
pub mod chatflow_import;
pub mod chatflows;
pub mod chatmessage;
pub mod chatmessage_create;
pub mod credentials;
pub mod error;
pub mod feedback;
pub mod files;
pub mod form;
#[cfg(test)]
mod fuzz;
pub mod gate;
pub mod icons;
pub mod idempotency;
pub mod keeper;
pub mod key_fields;
pub mod key_import;
pub mod leads;
pub mod limits;
pub mod listing;
pub mod message_query;
pub mod metrics;
pub mod misc;
pub mod multipart;
pub mod nodes;
pub mod openapi;
pub mod origins;
pub mod passage;
pub mod prediction;
pub mod probes;
pub mod replay;
pub mod routes;
pub mod row_import;
pub mod runtime;
pub mod sse;
pub mod state;
pub mod ticket;
pub mod unread;
pub mod upsert_history;
pub mod upserts;
pub mod variables;
pub mod vector;
pub mod widget;
