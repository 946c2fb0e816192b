//! The measuring kit of Parlor: what its programs share.
//!
//! Everything here runs on one machine over loopback, because the figures compare
//! costs, not networks. But for [`vectors`] and [`sessions`] nothing here knows the
//! server's insides: it is driven over the same HTTP that its clients use.
//!
//! # Layout
//! - [`answer`]: the fixed answer that the model server gives and the load expects
//! - [`http`]: just enough HTTP/1.1 to read a head
//! - [`upstream`]: a model server that answers at once, in OpenAI's wire format
//! - [`client`], [`stream`]: a keep-alive client and a reader of prediction streams
//! - [`load`]: open- and closed-loop load, counted and checked
//! - [`operator`], [`ledger`]: import a flow; compare the store with what was acknowledged
//! - [`service`], [`usage`], [`machine`]: processes under measurement, what they cost, where
//! - [`streams`]: many slow streams at a time, beside the model server's own
//! - [`soak`]: the same turn for an hour, and what the server takes meanwhile
//! - [`history`]: a long history, read and added to, beside other stores
//! - [`crash`]: the server killed under load, and what its clients were told
//! - [`dice`]: made-up data; [`program`]: what the measuring programs do alike
//! - [`vectors`]: the embedded vector index by itself, without a server
//! - [`sessions`]: conversations at rest by themselves, without a server
//! - [`versus`]: the same turn in other servers, one after the other on one machine
//! - [`turns`]: the whole run behind `cargo run --release -p parlor-benches --bin turns`

pub mod answer;
pub mod client;
pub mod crash;
pub mod dice;
pub mod history;
pub mod http;
pub mod ledger;
pub mod load;
pub mod machine;
pub mod operator;
pub mod program;
pub mod service;
pub mod sessions;
pub mod soak;
pub mod stream;
pub mod streams;
pub mod turns;
pub mod upstream;
pub mod usage;
pub mod vectors;
pub mod versus;
