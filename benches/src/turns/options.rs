//! What can be chosen about the run.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

/// Measures what a durable, remembered turn costs in Parlor, against the floor of one
/// proxied call.
///
/// Starts a model server that answers at once, the floor and Parlor on free loopback
/// ports and folders of its own, and ends and removes them all. Exits with status 1 if
/// any turn was answered wrongly or is missing from the store.
#[derive(Clone, Debug, Parser)]
#[command(name = "turns", version)]
pub struct Options {
    /// Seconds for each stage; a short warm-up comes before it.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Connections at which the peak is measured.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub connections: Vec<usize>,
    /// Turns per second of the stage that measures latency.
    #[arg(long, default_value_t = 1000.0)]
    pub rate: f64,
    /// Turns of a conversation in the stage where conversations go on.
    #[arg(long, default_value_t = 20)]
    pub session_turns: u64,
    /// Sessions of one turn each, for the memory that an idle one takes.
    #[arg(long, default_value_t = 20_000)]
    pub idle_sessions: u64,
    /// What takes part.
    #[command(flatten)]
    pub programs: ProgramOptions,
    /// Measure the floor only.
    #[arg(long)]
    pub floor_only: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which programs take part, and where they work.
#[derive(Clone, Debug, Args)]
pub struct ProgramOptions {
    /// The server to measure; by default the release build beside this program.
    #[arg(long)]
    pub parlor: Option<PathBuf>,
    /// One more argument for `parlor serve`; may be given again.
    #[arg(long, allow_hyphen_values = true)]
    pub parlor_arg: Vec<String>,
    /// Take the programs as they are built, old or new.
    #[arg(long)]
    pub no_build: bool,
    /// Where the temporary folders are made; by default beside the programs, because
    /// many a system's /tmp is memory, where being durable costs nothing.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

impl Options {
    /// The time of a stage.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The time of a warm-up: long enough for connections, caches and the allocator.
    pub fn warmup(&self) -> Duration {
        (self.duration() / 8).clamp(Duration::from_millis(500), Duration::from_secs(3))
    }
}
