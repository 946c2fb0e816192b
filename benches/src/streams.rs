//! Many streams at a time, each as slow as a model writes: does Parlor keep up, and what
//! does it add to the first token? The same load goes to the model server directly and
//! through Parlor, one after the other, so that the machine's own limits show.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use serde_json::{Value, json};

use crate::answer;
use crate::load::report::Latency;
use crate::load::{Mode, Plan, Target};
use crate::operator::Operator;
use crate::service::Service;
use crate::turns::options::ProgramOptions;
use crate::turns::programs::{self, Programs};
use crate::turns::run::progress;
use crate::turns::stage::Stage;
use crate::usage;

/// Measures many concurrent streams of a steady number of tokens per second.
#[derive(Clone, Debug, Parser)]
#[command(name = "streams", version)]
pub struct Options {
    /// Streams that run at the same time.
    #[arg(long, value_delimiter = ',', default_value = "100,500,1000,2000")]
    pub streams: Vec<usize>,
    /// Tokens per second of one stream.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub tokens_per_second: u64,
    /// Seconds that one stream lasts.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub stream_seconds: u64,
    /// Seconds for each stage.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// What takes part.
    #[command(flatten)]
    pub programs: ProgramOptions,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// One number of streams: directly and through Parlor.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Streams at a time.
    pub n_streams: usize,
    /// The model server alone.
    pub direct: Stage,
    /// The same through Parlor.
    pub parlor: Stage,
    /// Resident memory of Parlor right after the load.
    pub resident_bytes: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Findings {
    options: Options,
    pairs: Vec<Pair>,
}

/// Runs all stages; every process that it starts is ended.
pub async fn run(options: &Options) -> anyhow::Result<Findings> {
    progress("building");
    let programs = Programs::find(&options.programs, true)?;
    let above = options.programs.dir.clone().map_or_else(programs::folder, Ok)?;
    let scratch = tempfile::Builder::new().prefix("streams-").tempdir_in(&above)?;
    let gap_ms = 1000 / options.tokens_per_second;
    let args = ["--tokens", &options.n_tokens().to_string(), "--token-gap-ms", &gap_ms.to_string()];
    let upstream = programs.start_upstream(&args.map(str::to_owned), scratch.path())?;
    let data = scratch.path().join("data");
    let server = programs.start_parlor(&upstream, &data, scratch.path())?;
    let operator = Operator::new(server.address, &programs.operator());
    let flow = operator.import_flow().await.context("importing the chatflow")?;
    let mut pairs = Vec::new();
    for &n_streams in &options.streams {
        progress(&format!("{n_streams} streams, directly"));
        let direct = options.plan(n_streams, &upstream, Target::Model);
        let direct = Stage::run(&direct, Duration::ZERO, &upstream, &upstream).await?;
        progress(&format!("{n_streams} streams, through parlor"));
        let plan = options.plan(n_streams, &server, Target::Flow(flow.clone()));
        let parlor = Stage::run(&plan, Duration::ZERO, &server, &upstream).await?;
        let resident_bytes = usage::resident_bytes(server.pid())?;
        pairs.push(Pair { n_streams, direct, parlor, resident_bytes });
    }
    progress("");
    Ok(Findings { options: options.clone(), pairs })
}

impl Options {
    fn n_tokens(&self) -> usize {
        // Both are bounded by the command line.
        (self.tokens_per_second * self.stream_seconds) as usize
    }

    /// How long one stream takes when nothing is late: the first token comes at once.
    fn ideal(&self) -> Duration {
        let gap = Duration::from_millis(1000 / self.tokens_per_second);
        gap * u32::try_from(self.n_tokens().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Streams begin one after the other, at the rate that keeps so many running:
    /// were they all in step, every token of the machine would fall due at once.
    fn plan(&self, n_streams: usize, server: &Service, target: Target) -> Plan {
        let rate = n_streams as f64 / self.ideal().as_secs_f64();
        let n_connections = n_streams + n_streams / 4 + 16;
        let duration = Duration::from_secs(self.seconds);
        let plan = Plan::closed(server.address, target, n_connections, duration);
        let expect = Some(answer::text(self.n_tokens()));
        Plan { mode: Mode::Open(rate), stream: true, expect, ..plan }
    }
}

impl Findings {
    /// What is wrong with the run, if anything.
    pub fn faults(&self) -> Vec<String> {
        let stages = self.pairs.iter().flat_map(|pair| [&pair.direct, &pair.parlor]);
        stages.filter_map(Stage::fault).collect()
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let pairs = self.pairs.iter().map(|pair| {
            json!({
                "streams": pair.n_streams,
                "direct": pair.direct.to_json(),
                "parlor": pair.parlor.to_json(),
                "resident_bytes": pair.resident_bytes,
            })
        });
        json!({
            "tokens_per_second_each": self.options.tokens_per_second,
            "ideal_seconds": self.options.ideal().as_secs_f64(),
            "pairs": pairs.collect::<Vec<_>>(),
        })
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ideal = self.options.ideal();
        writeln!(
            f,
            "Streams of {} tokens/s, {:.2} s each; late = last token after its time.\n",
            self.options.tokens_per_second,
            ideal.as_secs_f64()
        )?;
        writeln!(
            f,
            "streams  through   first token ms    late ms           us CPU    MiB\n\
             {:18}p50      p99      p50      p99      a token",
            ""
        )?;
        for pair in &self.pairs {
            row(f, pair.n_streams, "model", &pair.direct, ideal, None)?;
            row(f, pair.n_streams, "parlor", &pair.parlor, ideal, Some(pair.resident_bytes))?;
        }
        self.faults().iter().try_for_each(|fault| writeln!(f, "FAULT  {fault}"))
    }
}

fn row(
    f: &mut Formatter<'_>,
    n_streams: usize,
    through: &str,
    stage: &Stage,
    ideal: Duration,
    resident: Option<u64>,
) -> fmt::Result {
    let first = stage.report.first_token.unwrap_or_default();
    let whole = stage.report.latency.unwrap_or_default();
    let late = |ms: f64| (ms - ideal.as_secs_f64() * 1000.0).max(0.0);
    let Latency { p50_ms, p99_ms, .. } = first;
    let cpu = stage.server_time.as_secs_f64() * 1e6 / stage.report.n_tokens.max(1) as f64;
    write!(f, "{n_streams:>7}  {through:<7} {p50_ms:>6.2} {p99_ms:>8.2}")?;
    write!(f, " {:>8.2} {:>8.2} {cpu:>10.1}", late(whole.p50_ms), late(whole.p99_ms))?;
    match resident {
        Some(bytes) => writeln!(f, " {:>7.1}", bytes as f64 / f64::from(1 << 20)),
        None => writeln!(f),
    }
}
