//! One load and what it cost each process that took part.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::client::Connection;
use crate::load::{self, Plan, Report};
use crate::service::Service;
use crate::usage;

/// A finished stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Connections of the load.
    pub n_connections: usize,
    /// What the load found.
    pub report: Report,
    /// Processor time of the server under test.
    pub server_time: Duration,
    /// Processor time of the model server.
    pub upstream_time: Duration,
    /// Processor time of the load itself.
    pub load_time: Duration,
    /// Processor time of everything else on the machine.
    pub other_time: Duration,
    /// Answers that the model server gave meanwhile.
    pub n_upstream: u64,
}

/// The counters that a stage takes before and after.
struct Reading {
    server: Duration,
    upstream: Duration,
    load: Duration,
    machine: Duration,
    n_upstream: u64,
}

impl Stage {
    /// Warms up, then runs the plan and reads what it cost.
    pub async fn run(
        plan: &Plan,
        warmup: Duration,
        server: &Service,
        upstream: &Service,
    ) -> anyhow::Result<Self> {
        if !warmup.is_zero() {
            load::run(&plan.again_for(warmup)).await?;
        }
        let before = Reading::take(server, upstream).await?;
        let report = load::run(plan).await?;
        let after = Reading::take(server, upstream).await?;
        let (server_time, upstream_time, load_time) = (
            after.server - before.server,
            after.upstream - before.upstream,
            after.load - before.load,
        );
        let own_time = server_time + upstream_time + load_time;
        let all_time = after.machine.saturating_sub(before.machine);
        Ok(Self {
            n_connections: plan.n_connections,
            report,
            server_time,
            upstream_time,
            load_time,
            other_time: all_time.saturating_sub(own_time),
            n_upstream: after.n_upstream - before.n_upstream,
        })
    }

    /// Microseconds of the server's processor time for one request that was sent.
    pub fn server_micros(&self) -> f64 {
        self.micros(self.server_time)
    }

    /// The part of `n_cores` cores that went to anything but the measurement.
    pub fn other_share(&self, n_cores: usize) -> f64 {
        self.other_time.as_secs_f64() / (self.report.elapsed.as_secs_f64() * n_cores as f64)
    }

    /// Whether the counts add up, every answer was right, and the model server gave
    /// exactly as many.
    pub fn fault(&self) -> Option<String> {
        let report = &self.report;
        if !report.adds_up() {
            return Some("the load's own counts do not add up".into());
        }
        if !report.is_clean() {
            return Some(format!("not every answer was right: {}", report.to_json()));
        }
        let (n_right, n_upstream) = (report.n_right, self.n_upstream);
        (n_right != n_upstream)
            .then(|| format!("{n_right} answers, but the model server gave {n_upstream}"))
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "connections": self.n_connections,
            "load": self.report.to_json(),
            "cpu_us_each": {
                "server": self.micros(self.server_time),
                "upstream": self.micros(self.upstream_time),
                "load": self.micros(self.load_time),
                "others": self.micros(self.other_time),
            },
            "upstream_answers": self.n_upstream,
        })
    }

    fn micros(&self, time: Duration) -> f64 {
        let n_sent = self.report.n_intended - self.report.n_unsent;
        time.as_secs_f64() * 1e6 / n_sent.max(1) as f64
    }
}

impl Reading {
    async fn take(server: &Service, upstream: &Service) -> anyhow::Result<Self> {
        Ok(Self {
            n_upstream: n_answers(upstream).await?,
            server: usage::processor_time(server.pid())?,
            upstream: usage::processor_time(upstream.pid())?,
            load: usage::processor_time(std::process::id())?,
            machine: usage::machine_time()?,
        })
    }
}

/// How many answers the model server has given.
async fn n_answers(upstream: &Service) -> anyhow::Result<u64> {
    let mut reply = Vec::new();
    let mut connection = Connection::open(upstream.address).await?;
    connection.exchange(b"GET /counts HTTP/1.1\r\n\r\n", &mut reply).await?;
    let counts: Value = serde_json::from_slice(&reply)?;
    let count = |name: &str| counts[name].as_u64().context("the model server's counts");
    Ok(count("whole")? + count("streamed")?)
}
