//! The REST API: parse, hand over, render. The one place where an error
//! becomes a status; no rule of the domain lives here.
//!
//! # Layout
//! - [`routes`]: the table of all routes, each with its policy
//! - [`gate`]: who may call what, decided before a body is read
//! - [`callers`], [`limits`], [`origins`]: whose key it is, how often, from which page
//! - [`error`]: errors as Flowise's JSON body
//! - [`body`]: bodies within their limits
//! - [`state`]: what handlers share
//! - then one file per API

pub mod apikey;
pub mod body;
pub mod callers;
pub mod chatflows;
pub mod chatmessage;
pub mod credentials;
pub mod error;
pub mod gate;
pub mod key_fields;
pub mod key_import;
pub mod limits;
pub mod message_query;
pub mod misc;
pub mod origins;
pub mod prediction;
pub mod routes;
pub mod sse;
pub mod state;
pub mod variables;
