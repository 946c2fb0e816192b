//! What can be chosen about the comparison.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::turns::options::ProgramOptions;

/// Compares Parlor with Flowise, LiteLLM, Portkey, Langflow and the floor of one bare
/// proxied call.
///
/// Each server is started on a free loopback port with a folder of its own, measured and
/// ended; the model server and the load are the same for all. Servers are installed below
/// --rivals, which takes minutes and internet the first time.
#[derive(Clone, Debug, Parser)]
#[command(name = "versus", version)]
pub struct Options {
    /// Folder that the other servers are installed in, outside the repository; a temporary
    /// one if left out, which means that they are installed each time.
    #[arg(long)]
    pub rivals: Option<PathBuf>,
    /// Measure only these: parlor, flowise, litellm, portkey, langflow, floor.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// A trial: shortest cells, one round, 200 sessions. Its figures mean nothing, so it
    /// writes nothing unless --out is given.
    #[arg(long)]
    pub quick: bool,
    /// Rounds; each starts every server anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// Seconds in which a cell sends; a slow server may take half a minute more to answer.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Connections of the closed loads.
    #[arg(long, value_delimiter = ',', default_value = "1,32,256,1000")]
    pub connections: Vec<usize>,
    /// Milliseconds that the model server waits before an answer.
    #[arg(long, value_delimiter = ',', default_value = "0,60,500")]
    pub delays: Vec<u64>,
    /// Sessions after which memory is read again.
    #[arg(long, default_value_t = 10_000)]
    pub sessions: u64,
    /// Workers of each server that can have more than one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: u32,
    /// Connections of the overload at most; Parlor's own limit of turns is 4,096,
    /// and 1,024 while it is late.
    #[arg(long, default_value_t = 5_000)]
    pub overload_connections: usize,
    /// Folder for results.json, results.md and the plots; benches/versus if left out.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// A file in which the text between `<!-- versus:begin -->` and `<!-- versus:end -->`
    /// is replaced by the summary.
    #[arg(long)]
    pub readme: Option<PathBuf>,
    /// Measure nothing: write tables and plots anew from the results.json that is there.
    #[arg(long)]
    pub render: bool,
    /// Our own programs.
    #[command(flatten)]
    pub programs: ProgramOptions,
}

/// How long each part is, which `--quick` cuts short.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Rounds.
    pub n_rounds: u32,
    /// In which a closed load sends.
    pub cell: Duration,
    /// In which the ladder's steps and the overload send.
    pub open: Duration,
    /// The first load after a start, uncounted: interpreters compile meanwhile.
    pub warmup: Duration,
    /// Bisections of the ladder after its doublings.
    pub n_bisections: u32,
    /// Sessions after which memory is read again.
    pub n_sessions: u64,
}

impl Options {
    /// How long each part is.
    pub fn lengths(&self) -> Lengths {
        let cell = Duration::from_secs_f64(self.seconds.clamp(0.2, 60.0));
        if self.quick {
            let cell = Duration::from_millis(400);
            let (open, warmup) = (cell, cell);
            return Lengths { n_rounds: 1, cell, open, warmup, n_bisections: 1, n_sessions: 200 };
        }
        Lengths {
            n_rounds: self.rounds,
            cell,
            open: cell.max(Duration::from_secs(2)),
            warmup: Duration::from_secs(2),
            n_bisections: 3,
            n_sessions: self.sessions,
        }
    }

    /// Whether a server takes part.
    pub fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Where results go, if anywhere.
    pub fn out_dir(&self) -> Option<PathBuf> {
        let usual = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("versus");
        match &self.out {
            Some(out) => Some(out.clone()),
            None => (!self.quick).then(usual),
        }
    }
}
