//! The whole measurement in one run: what a durable, remembered turn costs, against the
//! floor of one proxied call measured on the same machine in the same minutes.
//!
//! # Layout
//! - [`options`]: what can be chosen
//! - [`programs`]: the programs that take part, built and started
//! - [`stage`]: one load and what it cost each process
//! - [`run`]: the order of the stages
//! - [`findings`]: what they found, as JSON
//! - [`table`]: the same as a page of text

pub mod findings;
pub mod options;
pub mod programs;
pub mod run;
pub mod stage;
pub mod table;
