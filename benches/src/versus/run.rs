//! The order of rounds: in each, every server once, so that a machine that slows down
//! meanwhile slows all of them. Results are written after every round.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::host::raise_open_files;
use super::options::Options;
use super::results::{Results, Subject};
use super::rivals::{self, Rival};
use super::round::Stand;
use super::write;
use crate::machine::Machine;
use crate::service::Service;
use crate::turns::programs::{self, Programs};
use crate::turns::run::progress;

/// Measures everything that was chosen and writes it.
pub async fn run(options: &Options) -> anyhow::Result<Results> {
    if options.render {
        let out = options.out_dir().context("--render needs --out beside --quick")?;
        let results = write::read(&out)?;
        write::all(&results, &out, options.readme.as_deref())?;
        return Ok(results);
    }
    progress("building");
    let programs = Programs::find(&options.programs, options.takes("parlor"))?;
    let rivals: Vec<_> =
        rivals::all(&programs).into_iter().filter(|rival| options.takes(rival.name())).collect();
    ensure!(!rivals.is_empty(), "--only names no server; see --help");
    let above = options.programs.dir.clone().map_or_else(programs::folder, Ok)?;
    let scratch = tempfile::Builder::new().prefix("versus-").tempdir_in(&above);
    let scratch = scratch.with_context(|| format!("a folder in {}", above.display()))?;
    let open_files = raise_open_files();
    let upstream = programs.start_upstream(&[], scratch.path())?;
    let comparison = Comparison { options, upstream, rivals, scratch };
    let results = comparison.measure(open_files).await;
    progress("");
    results
}

/// What all rounds share. The processes end, and their folder goes, when it is dropped.
struct Comparison<'a> {
    options: &'a Options,
    upstream: Service,
    rivals: Vec<Box<dyn Rival>>,
    // Last, so that the processes are gone before their folder is.
    scratch: TempDir,
}

impl Comparison<'_> {
    async fn measure(&self, open_files: u64) -> anyhow::Result<Results> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut results = Results {
            machine: Machine::look(self.scratch.path()).to_json(),
            started_at: since.as_secs(),
            seconds: 0.0,
            cell_seconds: self.options.lengths().cell.as_secs_f64(),
            open_files,
            subjects: self.rivals.iter().map(|rival| self.subject(rival.as_ref())).collect(),
        };
        let started = Instant::now();
        for number in 0..self.options.lengths().n_rounds {
            for (rival, subject) in self.rivals.iter().zip(&mut results.subjects) {
                if subject.absent.is_none() {
                    self.add_round(rival.as_ref(), subject, number).await?;
                }
            }
            results.seconds = started.elapsed().as_secs_f64();
            if let Some(out) = self.options.out_dir() {
                write::all(&results, &out, self.options.readme.as_deref())?;
            }
        }
        Ok(results)
    }

    /// A server before its first round, installed.
    fn subject(&self, rival: &dyn Rival) -> Subject {
        progress(&format!("installing {}", rival.title()));
        let cache = self.cache(rival);
        let installed = rival.install(&cache);
        Subject {
            name: rival.name().into(),
            title: rival.title().into(),
            version: rival.version(&cache),
            is_stateless: rival.is_stateless(),
            setting: rival.setting(self.options.workers),
            absent: installed.err().map(|error| format!("not installed: {error:#}")),
            rounds: Vec::new(),
        }
    }

    async fn add_round(
        &self,
        rival: &dyn Rival,
        subject: &mut Subject,
        number: u32,
    ) -> anyhow::Result<()> {
        let (options, upstream) = (self.options, &self.upstream);
        let (cache, lengths) = (self.cache(rival), options.lengths());
        let data = self.scratch.path().join(format!("{}-{number}", rival.name()));
        std::fs::create_dir(&data).with_context(|| format!("creating {}", data.display()))?;
        let stand = Stand { options, lengths, rival, cache: &cache, data: &data, upstream, number };
        subject.rounds.push(stand.round().await);
        // A history of one server must not fill the disk for the next.
        std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))
    }

    fn cache(&self, rival: &dyn Rival) -> PathBuf {
        let base = self.options.rivals.as_deref().unwrap_or_else(|| self.scratch.path());
        let base = std::path::absolute(base).unwrap_or_else(|_| Path::new(".").join(base));
        base.join(rival.name())
    }
}
