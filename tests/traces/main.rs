//! Tests of the traces of a server that is built with the feature `otel`: the
//! real binary, and a collector that decodes with OpenTelemetry's own classes.
//!
//! Before the first run: `tests/prepare`. Then
//! `cargo test --features otel --test traces`.

// A failed expectation is how a test speaks, and helpers of tests are no test
// functions to the lints that would otherwise allow it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
// Most helpers are for the tests of `it`.
#![allow(missing_docs, dead_code, unused_imports)]

#[path = "../support/mod.rs"]
mod support;

mod collector;
mod kept_back;
mod leaving;
mod spans;
