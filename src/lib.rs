//! Parlor serves exported Flowise chatflows over Flowise's own REST API.
//!
//! # Layout
//! - [`cli`]: the commands; [`config`]: the settings of a server
//! - [`app`]: puts the parts together; [`example`]: the first start's chatflow
//! - [`http`]: parse, hand over, render
//! - [`flow`]: exported JSON -> compiled plan -> run
//! - [`store`]: message history, chatflows, keys and credentials in sled
//! - [`retention`]: deletes what is older than its chatflow keeps
//! - [`upserts`]: the jobs that fill vector stores
//! - [`metrics`]: what is counted while the server works
//! - [`running_keys`]: which `Idempotency-Key`s run at this moment
//! - [`drain`]: who is still in a server that is about to leave; [`stop`]: how it leaves
//! - [`services`]: what the server lends to nodes; [`telemetry`]: logs and traces;
//!   [`spans`]: what traces tell of requests and turns

pub mod app;
pub mod cli;
pub mod config;
pub mod drain;
pub mod example;
pub mod flow;
pub mod http;
pub mod metrics;
pub mod retention;
pub mod running_keys;
pub mod services;
pub mod spans;
pub mod stop;
pub mod store;
pub mod telemetry;
pub mod upserts;
