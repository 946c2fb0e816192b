//! From an exported flow to an answer: file -> plan -> run.
//!
//! A plan is compiled once per stored version and shared by all sessions of
//! its chatflow; a request is bound to it without changing it.
//!
//! # Layout
//! - [`mod@file`]: the three shapes of an exported flow
//! - [`graph`]: order, ending node, streaming rule
//! - [`text`]: `{{references}}` of saved inputs
//! - [`plan`]: the compiled flow
//! - [`credentials`]: which secret belongs to which node
//! - [`overrides`]: what a request may change, parsed by type
//! - [`keeping`]: what a chatflow stores, and for how long
//! - [`uploads`]: what a request brings beside its words; [`speech`]: words out of recordings
//! - [`attachments`]: files whose text a client asks for
//! - [`run`]: one turn of a plan; `build`: its nodes; `transcript`: the conversation before it
//! - [`targets`]: which vector stores a request fills; [`upsert`]: binding it to
//!   them; [`upsert_work`]: what runs in them; `upsert_record`: what the history says of it
//! - [`follow_up`]: suggestions of what to ask next
//! - [`door`]: who may call a flow how often, and from where
//! - [`cache`]: compiled plans by chatflow
//! - [`changeable`]: what requests may change, as a list
//! - [`upload_config`]: what people may upload
//! - [`public_view`]: a chatflow as strangers may see it

pub mod attachments;
mod build;
pub mod cache;
pub mod changeable;
pub mod credentials;
pub mod door;
pub mod file;
pub mod follow_up;
#[cfg(test)]
mod fuzz;
pub mod graph;
pub mod keeping;
pub mod overrides;
pub mod plan;
pub mod public_view;
pub mod run;
pub mod speech;
pub mod targets;
pub mod text;
mod transcript;
pub mod upload_config;
pub mod uploads;
pub mod upsert;
mod upsert_record;
pub mod upsert_work;
