//! Kills the server again and again while clients write, and compares what
//! they were told with what is there after each restart.
//!
//! The model recites the questions that it is shown, so that each answer also
//! tells whether the conversation before it was whole, in order and nobody
//! else's. See `cargo run --release -p parlor-benches --bin crash -- --help`.

mod chance;
mod conversation;
mod findings;
mod writer;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

use self::chance::Chance;
use self::writer::{Round, Writer};
use crate::load::plan::fresh_prefix;
use crate::operator::Operator;
use crate::service::Service;
use crate::upstream::{self, Behaviour};

pub use self::conversation::Fault;
pub use self::findings::Findings;

/// How much longer a kill waits for the turns that are to come before it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at their number.
const PAUSE: Duration = Duration::from_millis(5);

/// Kills the server at random moments under load and looks for turns that were lost,
/// doubled, reordered, halved or mixed. Exits with status 1 if there is one.
#[derive(Clone, Debug, Parser)]
#[command(name = "crash", version)]
pub struct Options {
    /// How often the server is killed.
    #[arg(long, default_value_t = 20)]
    pub kills: u32,
    /// The longest time from a start to the next kill.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Turns to be acknowledged before each kill, also where that takes longer.
    #[arg(long, default_value_t = 0)]
    pub least: u64,
    /// Makes the same choices again; the moments still differ by the clock.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Clients, each with conversations of its own.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// The server to kill; by default the program `parlor` beside this one.
    #[arg(long)]
    pub parlor: Option<PathBuf>,
    /// Where the temporary folder is made; by default beside this program.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it all; `progress` hears of each kill.
///
/// # Errors
/// When the server does not start, or cannot be read back.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> anyhow::Result<Findings> {
    let stage = Stage::set(options)?;
    let mut chance = Chance::new(options.seed);
    let mut findings = Findings::default();
    let mut server = stage.start()?;
    let flow = stage.operator(&server).import_flow().await?;
    let mut writers: Vec<_> = (0..options.connections)
        .map(|n| Writer::new(format!("c{n}"), flow.clone(), Chance::new(chance.below(u64::MAX))))
        .collect();
    for n_kills in 1..=options.kills {
        let part = 0.1 + 0.9 * chance.below(1_000) as f64 / 1_000.0;
        let moment = Duration::from_secs_f64(options.seconds.max(0.1) * part);
        writers = round(writers, server, moment, options.least).await?;
        server = stage.start()?;
        findings.started(server.ready_after);
        let operator = stage.operator(&server);
        compare(&mut writers, &operator, &flow, &mut findings, |fresh| fresh).await?;
        findings.count(n_kills, &writers);
        progress(&findings.line(options.kills));
    }
    let operator = stage.operator(&server);
    compare(&mut writers, &operator, &flow, &mut findings, |_| true).await?;
    findings.count(options.kills, &writers);
    Ok(findings)
}

/// Lets the clients write until the moment has come, and kills the server.
async fn round(
    writers: Vec<Writer>,
    server: Service,
    moment: Duration,
    least: u64,
) -> anyhow::Result<Vec<Writer>> {
    let round = Arc::new(Round::default());
    let address = server.address;
    let tasks = writers.into_iter().map(|writer| tokio::spawn(writer.run(address, round.clone())));
    let tasks: Vec<_> = tasks.collect();
    let deadline = Instant::now() + moment + PATIENCE;
    tokio::time::sleep(moment).await;
    while round.n_acknowledged.load(Ordering::Relaxed) < least && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
    }
    // First the kill: nobody may stop writing before it.
    server.kill()?;
    round.stop.store(true, Ordering::Relaxed);
    let mut writers = Vec::with_capacity(tasks.len());
    for task in tasks {
        writers.push(task.await.context("a client failed")?);
    }
    Ok(writers)
}

/// Reads conversations back: those of which `is_due` (given whether something
/// was asked since) says so.
async fn compare(
    writers: &mut [Writer],
    operator: &Operator,
    flow: &str,
    findings: &mut Findings,
    is_due: impl Fn(bool) -> bool,
) -> anyhow::Result<()> {
    for writer in writers {
        for (session, fault) in writer.faults.drain(..) {
            findings.fault(&session, fault, "in what the model saw");
        }
        for conversation in &mut writer.conversations {
            if !is_due(conversation.is_fresh) {
                continue;
            }
            let stored = operator.stored_messages(flow, &conversation.session).await?;
            findings.n_compared += 1;
            for fault in conversation.compare(&stored) {
                findings.fault(&conversation.session, fault, "in the store");
            }
        }
    }
    Ok(())
}

/// What stays from one start of the server to the next.
struct Stage {
    parlor: PathBuf,
    model: SocketAddr,
    password: String,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set(options: &Options) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where this program is")?;
        let here = own.parent().map(Path::to_path_buf).context("this program is in no folder")?;
        let parlor = options.parlor.clone().unwrap_or_else(|| here.join("parlor"));
        anyhow::ensure!(parlor.is_file(), "{} is missing; build it first", parlor.display());
        let dir = options.dir.clone().unwrap_or(here);
        let folder = tempfile::Builder::new().prefix("crash-").tempdir_in(dir)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let model = listener.local_addr()?;
        let behaviour = Behaviour {
            delay: Duration::ZERO,
            token_gap: Duration::ZERO,
            n_tokens: 1,
            echo: false,
            recite: true,
        };
        // It serves until this process ends.
        std::thread::spawn(move || upstream::serve(listener, &behaviour, 1));
        Ok(Self { parlor, model, password: fresh_prefix(), folder })
    }

    fn start(&self) -> anyhow::Result<Service> {
        let mut command = Command::new(&self.parlor);
        command
            .env_clear()
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--no-example"])
            .args(["--provider-url", &format!("openai=http://{}/v1", self.model)])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .env("FLOWISE_USERNAME", "crash")
            .env("FLOWISE_PASSWORD", &self.password);
        Service::start("parlor", &mut command, self.folder.path())
    }

    fn operator(&self, server: &Service) -> Operator {
        Operator::new(server.address, &format!("crash:{}", self.password))
    }
}
