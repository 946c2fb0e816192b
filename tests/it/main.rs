//! Tests of the running server, as its users meet it: the real binary, real
//! sockets, real files. One binary holds them all, because each one more would
//! be linked anew.
//!
//! Before the first run: `tests/prepare` (Node 20 and Python 3.10 or later).

// A failed expectation is how a test speaks, and helpers of tests are no test
// functions to the lints that would otherwise allow it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
// Not every helper is used by today's tests, and one binary holds them all.
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod abort;
mod access;
mod access_paths;
mod agents;
mod attachments;
mod bad_input;
mod breakers;
mod care;
mod care_vectors;
mod clients;
mod crash;
mod deploy;
mod disk_full;
mod drain;
mod embeddings;
mod failures;
mod failures_leaving;
mod feedback;
mod golden;
mod golden_agents;
mod golden_mends;
mod golden_operator;
mod golden_overrides;
mod harness;
mod health;
mod hostile_values;
mod hostile_wire;
mod idempotency;
mod idempotency_kept;
mod idempotency_left;
mod keys;
mod keys_import;
mod limits;
mod loaders;
mod logs;
mod memories;
mod memories_redis;
mod message_api;
mod message_create;
mod message_goldens;
mod metrics;
mod migrate;
mod migrate_odd;
mod migrate_uploads;
mod multipart;
mod openapi;
mod order;
mod origins;
mod overrides;
mod probes;
mod providers;
mod providers_google_aws;
mod qna;
mod replay;
mod retries;
mod retrieval;
mod retrieval_flows;
mod runtime;
mod sessions;
mod shares;
mod speech;
mod start_and_stop;
mod streams;
mod templates;
mod templates_parsers;
mod tidy;
mod uploads;
mod uploads_paths;
mod upsert_crash;
mod upsert_ends;
mod upsert_goldens;
mod upserts;
mod variables;
mod vector_stores;
mod vector_stores_postgres;
mod vector_stores_remote;
mod web_pages;
mod widget;
mod widget_routes;
