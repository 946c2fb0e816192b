//! `GET /metrics`: all that is counted, for Prometheus.

use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use parlor_nodes::upstream::{self, Breakers};

use super::state::AppState;
use crate::metrics::process;
use crate::metrics::text::{MEDIA_TYPE, Page};

/// The metrics in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "Server",
    responses((status = 200, description = "Text format 0.0.4", body = str, content_type = "text/plain"))
)]
pub async fn metrics(state: web::Data<AppState>) -> HttpResponse {
    let mut page = Page::default();
    turns(&mut page, &state);
    sessions(&mut page, &state);
    upserts(&mut page, &state);
    store(&mut page, &state);
    server(&mut page, &state);
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, MEDIA_TYPE))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(page.finish())
}

fn turns(page: &mut Page, state: &AppState) {
    let metrics = &state.metrics;
    let help = "Turns that ended, by how.";
    page.counters("parlor_turns_total", help, "outcome", metrics.turns());
    let help = "Seconds from a request to the end of its answer; refused ones are left out.";
    page.histogram("parlor_turn_duration_seconds", help, &metrics.turn_seconds);
    let help = "Seconds from a request to the first event of its stream.";
    page.histogram("parlor_time_to_first_token_seconds", help, &metrics.first_token_seconds);
    let tokens = metrics.tokens();
    let directions = [("input", tokens.input_tokens), ("output", tokens.output_tokens)];
    let help = "Tokens that providers counted for answered turns.";
    page.counters("parlor_tokens_total", help, "direction", directions);
    page.gauge("parlor_streams_open", "Streams that are open.", metrics.streams.now());
    let help = "Errors of providers that ended a turn, an upsert or an agent's tool, by how.";
    page.counters("parlor_upstream_errors_total", help, "kind", upstream::ERRORS.counts());
    breakers(page, state);
}

fn breakers(page: &mut Page, state: &AppState) {
    let breakers = state.services.breakers();
    let help = "Addresses of providers that keep failing and are left alone now.";
    page.gauge("parlor_breakers_open", help, breakers.map_or(0, Breakers::n_open));
    let help = "Calls that were not made because their address was left alone.";
    let n_refused = breakers.map_or(0, Breakers::n_refused);
    page.counter("parlor_breaker_refused_total", help, n_refused);
}

fn sessions(page: &mut Page, state: &AppState) {
    let help = "Seconds by which the slowest of the sessions' threads is behind.";
    page.gauge("parlor_lateness_seconds", help, state.supervisor.lateness().as_secs_f64());
    let load = state.supervisor.load();
    page.gauge("parlor_turns_running", "Turns that run.", load.n_running);
    page.gauge("parlor_turns_waiting", "Turns that wait for their session.", load.n_waiting);
    page.gauge("parlor_turns_limit", "Turns that may run or wait.", load.max);
    let stats = state.supervisor.stats();
    let help = "Sessions in memory.";
    page.gauge("parlor_sessions_live", help, stats.live_sessions.load(Relaxed));
    let help = "Sessions that left memory after a rest.";
    page.counter("parlor_sessions_passivated_total", help, stats.passivated.load(Relaxed) as u64);
}

fn upserts(page: &mut Page, state: &AppState) {
    let load = state.upserts.handle().load();
    page.gauge("parlor_upserts_running", "Upserts that run.", load.n_running);
    page.gauge("parlor_upserts_waiting", "Upserts that wait.", load.n_waiting);
    let help = "Upserts that ended, by how.";
    page.counters("parlor_upserts_total", help, "state", state.upserts.ended());
}

fn store(page: &mut Page, state: &AppState) {
    let commits = state.store.commits();
    let help = "Seconds that a group of writes took, with its sync.";
    page.histogram("parlor_store_commit_duration_seconds", help, &commits.seconds);
    page.histogram("parlor_store_commit_jobs", "Writes in a group.", &commits.jobs);
    let help = "1, or 0 while the store opens its database again.";
    page.gauge("parlor_store_open", help, u8::from(state.store.is_open()));
}

fn server(page: &mut Page, state: &AppState) {
    let help = "1 while the server finishes what runs and takes nothing new.";
    page.gauge("parlor_draining", help, u8::from(state.drain.is_draining()));
    let version = env!("CARGO_PKG_VERSION");
    page.fact("parlor_build_info", "The version that runs.", "version", version);
    let started = state.metrics.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "When the server started, in seconds since 1970.";
    page.gauge("process_start_time_seconds", help, started.as_secs_f64());
    if let Some(bytes) = process::resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory in use, in bytes.", bytes);
    }
}
