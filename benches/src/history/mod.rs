//! A long history: how fast it is opened, read and added to, and what it
//! takes on the disk beside other stores.

pub mod corpus;
pub mod rivals;

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::answer;
use crate::dice::Dice;
use crate::load::plan::{Plan, Target};
use crate::machine::Machine;
use crate::operator::Operator;
use crate::service::Service;
use crate::turns::options::ProgramOptions;
use crate::turns::programs::{self, Programs};
use crate::turns::run::progress;
use crate::turns::stage::Stage;
use crate::usage;
use corpus::Corpus;

/// Turns of one request that fills the store.
const TURNS_A_REQUEST: usize = 5_000;
/// Connections that add turns.
const N_WRITERS: usize = 16;

/// Measures a long history beside an empty one, and its size beside SQLite and redb
#[derive(clap::Parser, Clone, Debug)]
#[command(version)]
pub struct Options {
    /// Conversations
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub sessions: u64,
    /// Turns of each, two messages a turn
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub turns: u64,
    /// Pages that are read of each kind
    #[arg(long, default_value_t = 2_000)]
    pub reads: u64,
    /// Seconds of adding turns, to the empty and to the long history
    #[arg(long, default_value_t = 6)]
    pub seconds: u64,
    /// Leave SQLite and redb out
    #[arg(long)]
    pub no_rivals: bool,
    #[command(flatten)]
    programs: ProgramOptions,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Findings {
    corpus: Corpus,
    machine: Machine,
    fill: Duration,
    disk_bytes: u64,
    text_bytes: u64,
    rivals: Vec<(&'static str, u64)>,
    ready_after: Duration,
    resident_at_start: u64,
    resident_after_reads: u64,
    resident_after: u64,
    session_page: Histogram<u64>,
    date_page: Histogram<u64>,
    empty: Stage,
    long: Stage,
}

/// Runs all of it; every process that it starts is ended.
pub async fn run(options: &Options) -> anyhow::Result<Findings> {
    let corpus = Corpus { n_sessions: options.sessions, n_turns: options.turns };
    progress("building");
    let programs = Programs::find(&options.programs, true)?;
    let above = options.programs.dir.clone().map_or_else(programs::folder, Ok)?;
    let scratch = tempfile::Builder::new().prefix("history-").tempdir_in(&above)?;
    let room = Room { programs, folder: scratch.path().to_owned() };
    let upstream = room.programs.start_upstream(&[], &room.folder)?;

    progress("adding to an empty history");
    let (server, operator) = room.open(&upstream, "empty")?;
    let flow = operator.import_flow().await?;
    let empty = add(&flow, &server, &upstream, options.seconds).await?;
    server.kill()?;

    let (server, operator) = room.open(&upstream, "long")?;
    let flow = operator.import_flow().await?;
    let began = Instant::now();
    let text_bytes = fill(corpus, &operator, &flow).await?;
    let fill = began.elapsed();
    server.kill()?;
    let disk_bytes = size_of(&room.folder.join("long/sled"))?;

    progress("opening it after the kill");
    let (server, operator) = room.open(&upstream, "long")?;
    let ready_after = server.ready_after;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let resident_at_start = usage::resident_bytes(server.pid())?;
    progress("reading pages");
    let session_page = session_pages(corpus, &operator, &flow, options.reads).await?;
    let date_page = date_pages(corpus, &operator, &flow, options.reads).await?;
    let resident_after_reads = usage::resident_bytes(server.pid())?;
    progress("adding to it");
    let long = add(&flow, &server, &upstream, options.seconds).await?;
    let resident_after = usage::resident_bytes(server.pid())?;
    server.kill()?;

    let mut rivals = Vec::new();
    if !options.no_rivals {
        progress("the same in SQLite");
        rivals.push(("SQLite", rivals::sqlite(corpus, &room.folder)?));
        progress("the same in redb");
        rivals.push(("redb", rivals::redb(corpus, &room.folder)?));
    }
    progress("");
    let machine = Machine::look(&room.folder);
    Ok(Findings {
        corpus,
        machine,
        fill,
        disk_bytes,
        text_bytes,
        rivals,
        ready_after,
        resident_at_start,
        resident_after_reads,
        resident_after,
        session_page,
        date_page,
        empty,
        long,
    })
}

struct Room {
    programs: Programs,
    folder: PathBuf,
}

impl Room {
    fn open(&self, upstream: &Service, data: &str) -> anyhow::Result<(Service, Operator)> {
        let data = self.folder.join(data);
        let server = self.programs.start_parlor(upstream, &data, &self.folder)?;
        let operator = Operator::new(server.address, &self.programs.operator());
        Ok((server, operator))
    }
}

/// Turns of new sessions, as many as the server takes.
async fn add(
    flow: &str,
    server: &Service,
    upstream: &Service,
    seconds: u64,
) -> anyhow::Result<Stage> {
    let (target, duration) = (Target::Flow(flow.to_owned()), Duration::from_secs(seconds));
    let plan = Plan::closed(server.address, target, N_WRITERS, duration);
    let plan = Plan { expect: Some(answer::text(answer::DEFAULT_TOKENS)), ..plan };
    Stage::run(&plan, Duration::from_secs(1), server, upstream).await
}

/// Moves the history in; the bytes of what was said.
async fn fill(corpus: Corpus, operator: &Operator, flow: &str) -> anyhow::Result<u64> {
    let path = format!("/api/v1/messages/import?chatflow={flow}");
    let (mut n_done, mut n_text) = (0, 0);
    let mut turns = corpus.turns().peekable();
    while turns.peek().is_some() {
        let mut lines = String::new();
        let mut n_turns = 0;
        for turn in turns.by_ref().take(TURNS_A_REQUEST) {
            turn.write_lines(&mut lines);
            n_text += (turn.question.len() + turn.answer.len()) as u64;
            n_turns += 1;
        }
        let report = operator.post_lines(&path, &lines).await?;
        let imported = report["imported"].as_u64();
        let refusal = &report["refusals"][0];
        ensure!(imported == Some(2 * n_turns), "messages were refused, the first: {refusal}");
        n_done += 2 * n_turns;
        progress(&format!("moving in: {n_done} of {} messages", corpus.n_messages()));
    }
    Ok(n_text)
}

/// First pages of random sessions.
async fn session_pages(
    corpus: Corpus,
    operator: &Operator,
    flow: &str,
    n_reads: u64,
) -> anyhow::Result<Histogram<u64>> {
    let mut dice = Dice(0x5EED);
    timed(n_reads, operator, || {
        let session = corpus::session_id(dice.below(corpus.n_sessions));
        format!("/api/v1/chatmessage/{flow}?sessionId={session}&limit=20")
    })
    .await
}

/// First pages of random stretches of an hour.
async fn date_pages(
    corpus: Corpus,
    operator: &Operator,
    flow: &str,
    n_reads: u64,
) -> anyhow::Result<Histogram<u64>> {
    const HOUR_MS: i64 = 3_600_000;
    let span = u64::try_from((corpus.end_ms() - corpus::BEGINNING_MS - HOUR_MS).max(1))?;
    let mut dice = Dice(0xDA7E);
    timed(n_reads, operator, || {
        let from = corpus::BEGINNING_MS + i64::try_from(dice.below(span)).unwrap_or_default();
        let (start, end) = (corpus::date(from), corpus::date(from + HOUR_MS));
        format!("/api/v1/chatmessage/{flow}?startDate={start}&endDate={end}&limit=100")
    })
    .await
}

/// Reads pages one after the other on one connection; microseconds of each.
async fn timed(
    n_reads: u64,
    operator: &Operator,
    mut path: impl FnMut() -> String,
) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    let mut reader = operator.reader().await?;
    for _ in 0..n_reads {
        let path = path();
        let began = Instant::now();
        let rows = reader.get(&path).await?;
        times.record(u64::try_from(began.elapsed().as_micros())?)?;
        ensure!(rows > 2, "{path} gave no messages");
    }
    Ok(times)
}

fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut n_bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let found = entry.metadata()?;
        n_bytes += if found.is_dir() { size_of(&entry.path())? } else { found.len() };
    }
    Ok(n_bytes)
}

impl Findings {
    fn a_message(&self, n_bytes: u64) -> f64 {
        n_bytes as f64 / self.corpus.n_messages() as f64
    }

    /// What is wrong with the run, if anything.
    pub fn faults(&self) -> Vec<String> {
        [&self.empty, &self.long].into_iter().filter_map(Stage::fault).collect()
    }

    fn rates(&self) -> [f64; 2] {
        [&self.empty, &self.long].map(|stage| stage.report.rate)
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let page = |times: &Histogram<u64>| json!({"p50_us": times.value_at_quantile(0.5), "p99_us": times.value_at_quantile(0.99)});
        let [empty, long] = self.rates();
        json!({
            "machine": self.machine.to_json(),
            "messages": self.corpus.n_messages(),
            "sessions": self.corpus.n_sessions,
            "fill_s": self.fill.as_secs_f64(),
            "text_bytes_a_message": self.a_message(self.text_bytes),
            "disk_bytes_a_message": self.a_message(self.disk_bytes),
            "rival_bytes_a_message": self.rivals.iter()
                .map(|(name, bytes)| ((*name).to_owned(), json!(self.a_message(*bytes))))
                .collect::<serde_json::Map<_, _>>(),
            "ready_after_s": self.ready_after.as_secs_f64(),
            "resident_at_start": self.resident_at_start,
            "resident_after_reads": self.resident_after_reads,
            "resident_after": self.resident_after,
            "session_page": page(&self.session_page),
            "date_page": page(&self.date_page),
            "turns_per_second": {"empty": empty, "long": long},
        })
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let ms = |times: &Histogram<u64>, at: f64| times.value_at_quantile(at) as f64 / 1e3;
        let [empty, long] = self.rates();
        writeln!(
            f,
            "{} messages in {} sessions, {:.0} bytes of text each; {}\n",
            self.corpus.n_messages(),
            self.corpus.n_sessions,
            self.a_message(self.text_bytes),
            self.machine.processor
        )?;
        writeln!(f, "moved in          {:8.1} s", self.fill.as_secs_f64())?;
        writeln!(f, "ready after kill  {:8.2} s", self.ready_after.as_secs_f64())?;
        writeln!(f, "resident          {:8.1} MiB at the start", mib(self.resident_at_start))?;
        writeln!(
            f,
            "                  {:8.1} MiB after the pages",
            mib(self.resident_after_reads)
        )?;
        // The sessions that were added stay in memory for a while, 5 KB each.
        writeln!(f, "                  {:8.1} MiB after the turns", mib(self.resident_after))?;
        for (name, times) in
            [("page of a session", &self.session_page), ("page by date", &self.date_page)]
        {
            writeln!(f, "{name:<17} {:8.2} ms p50 {:8.2} ms p99", ms(times, 0.5), ms(times, 0.99))?;
        }
        writeln!(f, "added, empty      {empty:8.0} turns/s")?;
        writeln!(f, "added, long       {long:8.0} turns/s, {:.0} %", 100.0 * long / empty)?;
        writeln!(f, "on disk, Parlor   {:8.0} bytes a message", self.a_message(self.disk_bytes))?;
        for (name, bytes) in &self.rivals {
            writeln!(f, "on disk, {name:<8} {:8.0} bytes a message", self.a_message(*bytes))?;
        }
        self.faults().iter().try_for_each(|fault| writeln!(f, "FAULT  {fault}"))
    }
}
