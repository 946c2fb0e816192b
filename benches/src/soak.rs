//! A long load at a steady rate: do memory, descriptors and the disk that a message takes
//! stay flat? Conversations come and go, so that sessions wake, rest and leave memory all
//! the time; every other slice of the load is streamed.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use serde_json::{Value, json};

use crate::answer;
use crate::load::{Mode, Plan, Sessions, Target};
use crate::operator::Operator;
use crate::service::Service;
use crate::turns::options::ProgramOptions;
use crate::turns::programs::{self, Programs};
use crate::turns::run::progress;
use crate::turns::stage::Stage;
use crate::usage;

/// Seconds of load between two samples.
const SLICE: u64 = 15;
/// Tokens of an answer.
const N_TOKENS: usize = 16;
/// The part of the samples that is warming up, as a divisor.
const WARMUP: usize = 3;

/// Loads the server for long and watches what it takes.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak", version)]
pub struct Options {
    /// Minutes of load.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: u64,
    /// Turns per second; about half of what the machine does.
    #[arg(long, default_value_t = 1000.0)]
    pub rate: f64,
    /// Seconds after which an idle session leaves memory.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub session_idle_s: u64,
    /// What takes part.
    #[command(flatten)]
    pub programs: ProgramOptions,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the server took at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    after: Duration,
    resident_bytes: u64,
    n_descriptors: usize,
    disk_bytes: u64,
    n_messages: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Findings {
    samples: Vec<Sample>,
    faults: Vec<String>,
}

/// Runs the whole load; every process that it starts is ended.
pub async fn run(options: &Options) -> anyhow::Result<Findings> {
    progress("building");
    let mut wanted = options.programs.clone();
    wanted.parlor_arg.push(format!("--session-idle-s={}", options.session_idle_s));
    let programs = Programs::find(&wanted, true)?;
    let above = wanted.dir.clone().map_or_else(programs::folder, Ok)?;
    let scratch = tempfile::Builder::new().prefix("soak-").tempdir_in(&above)?;
    let args = ["--tokens".to_owned(), N_TOKENS.to_string()];
    let upstream = programs.start_upstream(&args, scratch.path())?;
    let data = scratch.path().join("data");
    let server = programs.start_parlor(&upstream, &data, scratch.path())?;
    let operator = Operator::new(server.address, &programs.operator());
    let flow = operator.import_flow().await.context("importing the chatflow")?;
    let (mut samples, mut faults, mut n_messages) = (Vec::new(), Vec::new(), 0);
    let (began, n_slices) = (Instant::now(), options.minutes * 60 / SLICE);
    for slice in 0..n_slices {
        progress(&format!("{} of {} minutes", slice * SLICE / 60, options.minutes));
        let plan = options.plan(&server, &flow, slice % 2 == 1);
        let stage = Stage::run(&plan, Duration::ZERO, &server, &upstream).await?;
        faults.extend(stage.fault());
        n_messages += 2 * stage.report.n_right;
        samples.push(Sample::take(&server, &data, began.elapsed(), n_messages)?);
    }
    progress("");
    ensure!(samples.len() >= 2 * WARMUP, "too short to tell; give it more minutes");
    Ok(Findings { samples, faults })
}

impl Options {
    fn plan(&self, server: &Service, flow: &str, stream: bool) -> Plan {
        let duration = Duration::from_secs(SLICE);
        let plan = Plan::closed(server.address, Target::Flow(flow.to_owned()), 64, duration);
        let sessions = Sessions::Rotating { n_sessions: 500, n_turns: 10 };
        let expect = Some(answer::text(N_TOKENS));
        Plan { mode: Mode::Open(self.rate), sessions, stream, expect, ..plan }
    }
}

impl Sample {
    fn take(
        server: &Service,
        data: &Path,
        after: Duration,
        n_messages: u64,
    ) -> anyhow::Result<Self> {
        let descriptors = format!("/proc/{}/fd", server.pid());
        Ok(Self {
            after,
            resident_bytes: usage::resident_bytes(server.pid())?,
            n_descriptors: fs::read_dir(&descriptors).context("reading descriptors")?.count(),
            disk_bytes: bytes_below(data)?,
            n_messages,
        })
    }

    fn disk_per_message(&self) -> f64 {
        self.disk_bytes as f64 / self.n_messages.max(1) as f64
    }
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).context("reading the data folder")? {
        let entry = entry?;
        // A file may go while the folder is read.
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

/// The slope of a line through the points by least squares: y per unit of x.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let n = points.clone().count() as f64;
    let (sum_x, sum_y) =
        points.clone().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (above, below) = points.fold((0.0, 0.0), |(above, below), (x, y)| {
        (above + (x - mean_x) * (y - mean_y), below + (x - mean_x).powi(2))
    });
    above / below
}

impl Findings {
    /// What is wrong with the run, if anything.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    fn warm(&self) -> &[Sample] {
        &self.samples[self.samples.len() / WARMUP..]
    }

    /// MiB by which resident memory grows in an hour, warmed up.
    fn growth(&self) -> f64 {
        let point = |sample: &Sample| {
            let hours = sample.after.as_secs_f64() / 3600.0;
            (hours, sample.resident_bytes as f64 / f64::from(1 << 20))
        };
        slope(self.warm().iter().map(point))
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let samples = self.samples.iter().map(|sample| {
            json!({
                "seconds": sample.after.as_secs(),
                "resident_bytes": sample.resident_bytes,
                "descriptors": sample.n_descriptors,
                "disk_bytes": sample.disk_bytes,
                "messages": sample.n_messages,
            })
        });
        json!({
            "resident_mib_per_hour": self.growth(),
            "faults": self.faults,
            "samples": samples.collect::<Vec<_>>(),
        })
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "minutes  resident MiB  descriptors   messages  bytes of disk a message")?;
        for sample in self.samples.iter().step_by((self.samples.len() / 12).max(1)) {
            writeln!(
                f,
                "{:>7.1} {:>13.1} {:>12} {:>10} {:>25.0}",
                sample.after.as_secs_f64() / 60.0,
                sample.resident_bytes as f64 / f64::from(1 << 20),
                sample.n_descriptors,
                sample.n_messages,
                sample.disk_per_message()
            )?;
        }
        writeln!(f, "\nresident memory grows by {:.1} MiB an hour, warmed up", self.growth())?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "FAULT  {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        let line = (0..10).map(|x| (f64::from(x), 3.0 - 2.0 * f64::from(x)));
        assert!((slope(line) + 2.0).abs() < 1e-9);
        let noisy = (0..10).map(|x| (f64::from(x), f64::from(x % 2)));
        assert!(slope(noisy).abs() < 0.1);
    }
}
