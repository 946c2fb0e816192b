//! Tests of the running server, as its users meet it: the real binary, real
//! sockets, real files. One binary holds them all, because each one more would
//! be linked anew.
//!
//! Before the first run: `npm ci --prefix tests` (Node 20 or later).

// A failed expectation is how a test speaks, and helpers of tests are no test
// functions to the lints that would otherwise allow it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
// Not every helper is used by today's tests, and one binary holds them all.
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod access_paths;
mod bad_input;
mod failures;
mod failures_leaving;
mod golden;
mod golden_mends;
mod golden_operator;
mod harness;
mod message_api;
mod migrate;
mod migrate_odd;
mod overrides;
mod providers_google_aws;
mod replay;
mod sessions;
mod start_and_stop;
mod streams;
mod templates;
mod tidy;
