//! `load`: sends predictions at a rate or as fast as connections carry them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use parlor_benches::ledger::Ledger;
use parlor_benches::load::{self, Mode, Plan, Report, Sessions, Target};
use parlor_benches::operator::Operator;
use parlor_benches::{answer, client};

/// Sends predictions and checks every answer. Loopback addresses only.
///
/// With --rate the load is open: latency counts from when a request was due, whether or
/// not a connection was free. Without it each connection sends as soon as it has its
/// answer. Exits with status 1 if any request was not answered rightly.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The server, http://127.0.0.1:PORT.
    #[arg(long)]
    url: String,
    /// The chatflow to ask.
    #[arg(long, required_unless_present = "path")]
    flow: Option<String>,
    /// POST to this path instead, and check the answer's text only.
    #[arg(long, conflicts_with_all = ["flow", "stream", "verify"])]
    path: Option<String>,
    /// Requests per second.
    #[arg(long)]
    rate: Option<f64>,
    /// Connections; with --rate the most that are in flight.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long to send.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Send for so many seconds first, uncounted.
    #[arg(long, default_value_t = 1)]
    warmup: u64,
    /// Stop after so many requests, if that is sooner.
    #[arg(long)]
    requests: Option<u64>,
    /// Take turns among so many sessions instead of a new one for each request.
    #[arg(long)]
    sessions: Option<u64>,
    /// Leave a session for a fresh one after so many turns; 0 never does.
    #[arg(long, default_value_t = 20, requires = "sessions")]
    session_turns: u64,
    /// Ask for streamed answers; measure the time to the first token.
    #[arg(long)]
    stream: bool,
    /// Tokens of the model server's fixed answer; 0 takes any answer.
    #[arg(long, default_value_t = answer::DEFAULT_TOKENS)]
    tokens: usize,
    /// Seconds after which an answer is given up.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
    /// The key of the chatflow, as each request brings it.
    #[arg(long, env = "LOAD_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Read sessions back as operator NAME:PASSWORD and compare them with what was answered.
    #[arg(long, value_name = "NAME:PASSWORD", env = "LOAD_VERIFY", hide_env_values = true)]
    verify: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let plan = plan_of(options)?;
    if options.warmup > 0 {
        load::run(&plan.again_for(Duration::from_secs(options.warmup))).await?;
    }
    let report = load::run(&plan).await?;
    show(&report, options.json);
    ensure!(report.adds_up(), "the counts do not add up, so they cannot be trusted");
    if let Some(name_and_password) = &options.verify {
        verify(&plan, &report, name_and_password).await?;
    }
    ensure!(report.is_clean(), "not every request was answered rightly");
    Ok(())
}

fn plan_of(options: &Options) -> anyhow::Result<Plan> {
    let address = client::loopback(&options.url)?;
    let path = || Target::Path(options.path.clone().unwrap_or_default());
    let target = options.flow.clone().map_or_else(path, Target::Flow);
    let duration = Duration::from_secs(options.seconds);
    let plan = Plan::closed(address, target, options.connections, duration);
    let n_turns = options.session_turns;
    let rotating = |n_sessions| Sessions::Rotating { n_sessions, n_turns };
    Ok(Plan {
        mode: options.rate.map_or(Mode::Closed, Mode::Open),
        max_requests: options.requests,
        sessions: options.sessions.map_or(Sessions::New, rotating),
        stream: options.stream,
        key: options.key.clone(),
        expect: (options.tokens > 0).then(|| answer::text(options.tokens)),
        timeout: Duration::from_secs(options.timeout),
        keeps_ledger: options.verify.is_some(),
        ..plan
    })
}

fn show(report: &Report, as_json: bool) {
    if as_json {
        println!("{:#}", report.to_json());
    } else {
        print!("{report}");
    }
}

async fn verify(plan: &Plan, report: &Report, name_and_password: &str) -> anyhow::Result<()> {
    let Target::Flow(flow) = &plan.target else { return Ok(()) };
    let operator = Operator::new(plan.address, name_and_password);
    let found = Ledger::of(plan, report, 1000).compare(&operator, flow).await?;
    eprintln!("read back {} of {} sessions", found.n_read, found.n_sessions);
    ensure!(found.differences.is_empty(), "store and answers differ: {}", found.to_json());
    Ok(())
}
