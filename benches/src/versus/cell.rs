//! One load on one server, bounded in time whatever the server does, and what it cost.

use std::time::{Duration, Instant};

use super::host::Host;
use super::results::Cell;
use crate::client::Connection;
use crate::load::{self, Mode, Plan, Report};
use crate::service::Service;
use crate::usage;

/// Answers that take longer are failures.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What a load may take beyond its time and one whole wait for answers, such as opening
/// its connections.
const SLACK: Duration = Duration::from_secs(15);

/// Processor times before or after a load.
struct Reading {
    server: Duration,
    own: Duration,
    machine: Duration,
    at: Instant,
}

/// Runs a load on a server. A failure is a cell that says so.
pub async fn measure(plan: &Plan, delay_ms: u64, host: &Host, upstream: &Service) -> Cell {
    let before = Reading::take(host, upstream);
    let limit = plan.duration + plan.timeout + SLACK;
    let outcome = tokio::time::timeout(limit, load::run(plan)).await;
    let after = Reading::take(host, upstream);
    let cell = match outcome {
        Ok(Ok(report)) => cell_of(&report),
        Ok(Err(error)) => failed(format!("{error:#}")),
        Err(_) => failed(format!("did not end within {} s", limit.as_secs())),
    };
    let server = after.server.saturating_sub(before.server);
    let known = server + after.own.saturating_sub(before.own);
    let others = after.machine.saturating_sub(before.machine).saturating_sub(known);
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let offered = match plan.mode {
        Mode::Open(rate) => Some(rate),
        Mode::Closed => None,
    };
    let seconds = (after.at - before.at).as_secs_f64().max(0.001);
    Cell {
        connections: plan.n_connections,
        delay_ms,
        offered,
        cpu_seconds: server.as_secs_f64(),
        other_share: others.as_secs_f64() / (seconds * n_cores),
        ..cell
    }
}

/// Sets what the model server waits before an answer and between tokens, in milliseconds.
pub async fn set_waits(upstream: &Service, delay_ms: u64, gap_ms: u64) -> anyhow::Result<()> {
    let request = format!("POST /waits/{delay_ms}/{gap_ms} HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    let mut connection = Connection::open(upstream.address).await?;
    let status = connection.exchange(request.as_bytes(), &mut Vec::new()).await?;
    anyhow::ensure!(status == 200, "the model server refused its waits with {status}");
    Ok(())
}

fn cell_of(report: &Report) -> Cell {
    Cell {
        n_intended: report.n_intended,
        n_right: report.n_right,
        per_second: report.rate,
        latency_ms: report.latency.map(Into::into),
        refused_ms: report.refused.map(Into::into),
        first_token_ms: report.first_token.map(Into::into),
        statuses: report.statuses.clone(),
        failures: report.failures.clone(),
        ..Cell::default()
    }
}

fn failed(why: String) -> Cell {
    Cell { error: Some(why), ..Cell::default() }
}

impl Reading {
    /// A model server that cannot be read shows in the load's failures.
    fn take(host: &Host, upstream: &Service) -> Self {
        let own = usage::processor_time(std::process::id()).unwrap_or_default();
        let model = usage::processor_time(upstream.pid()).unwrap_or_default();
        Self {
            server: host.processor_time(),
            own: own + model,
            machine: usage::machine_time().unwrap_or_default(),
            at: Instant::now(),
        }
    }
}
