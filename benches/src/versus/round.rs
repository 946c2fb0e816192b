//! Everything that is measured of one server between one start and its end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::cell::{ANSWER_LIMIT, measure, set_waits};
use super::host::{Host, free_port};
use super::ladder::Ladder;
use super::options::{Lengths, Options};
use super::results::{AfterSessions, Cell, Round};
use super::rivals::{Door, MakeShape, OPERATOR_NAME, Rival, Seat};
use crate::answer;
use crate::client::Connection;
use crate::load::plan::fresh_prefix;
use crate::load::{self, Mode, Plan, Target};
use crate::operator::Operator;
use crate::service::Service;
use crate::turns::run::progress;

/// The tail that the ladder looks for.
pub const TAIL_LIMIT_MS: f64 = 100.0;

/// A server that has not answered rightly after this long has failed.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Memory of an idle server is read when it has had this long to rest.
const REST: Duration = Duration::from_secs(2);

/// Between two loads a server may work off what is left of the last one.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);

/// A cell whose first answers of all its connections take longer is measured in the first
/// round only, if the model is slow as well.
const SLOW_CELL_SECONDS: f64 = 6.0;

/// Many sessions of one turn take no longer than this, however few they are then.
const SESSIONS_LIMIT_SECONDS: f64 = 300.0;

/// Milliseconds between the tokens of streamed answers.
const TOKEN_GAP_MS: u64 = 10;

/// A server that is measured, and with what.
pub struct Stand<'a> {
    /// What was chosen.
    pub options: &'a Options,
    /// How long each part is.
    pub lengths: Lengths,
    /// The server.
    pub rival: &'a dyn Rival,
    /// Where it is installed.
    pub cache: &'a Path,
    /// An empty folder, in which each of its starts has one for its data.
    pub data: &'a Path,
    /// The model server.
    pub upstream: &'a Service,
    /// Which round it is, from 0.
    pub number: u32,
}

/// A started server.
struct Subject<'a> {
    stand: &'a Stand<'a>,
    host: Host,
    target: Target,
    make: Option<MakeShape>,
    round: Round,
}

impl Stand<'_> {
    /// Measures it. What went wrong is in the round.
    pub async fn round(&self) -> Round {
        let mut round = match self.start("loads").await {
            Err(error) => return Round { died: Some(format!("{error:#}")), ..Round::default() },
            Ok(mut subject) => {
                if let Err(error) = subject.measure().await {
                    subject.round.died = Some(format!("{error:#}"));
                }
                subject.round
            }
        };
        match self.sessions(round.best_rate()).await {
            Ok(after_sessions) => round.after_sessions = after_sessions,
            Err(error) => round.died = round.died.or(Some(format!("{error:#}"))),
        }
        round
    }

    /// Memory after many sessions of one turn and nothing else, so on a start of its own.
    async fn sessions(&self, best_rate: f64) -> anyhow::Result<Option<AfterSessions>> {
        let n_sessions = self.lengths.n_sessions;
        let seconds = n_sessions as f64 / best_rate.max(0.1);
        let is_last = self.number + 1 == self.lengths.n_rounds;
        let is_too_slow = seconds > SLOW_CELL_SECONDS && !is_last;
        if self.rival.is_stateless() || best_rate == 0.0 || is_too_slow {
            return Ok(None);
        }
        let mut subject = self.start("sessions").await?;
        self.say(&format!("{n_sessions} sessions"));
        let duration = Duration::from_secs_f64((seconds * 2.0).clamp(5.0, SESSIONS_LIMIT_SECONDS));
        let plan = Plan { max_requests: Some(n_sessions), ..subject.plan(32, duration) };
        let cell = measure(&plan, 0, &subject.host, self.upstream).await;
        subject.must_live()?;
        subject.host.settle(SETTLE_LIMIT).await;
        tokio::time::sleep(REST).await;
        let bytes = subject.host.resident_bytes();
        Ok(Some(AfterSessions { n_sessions: cell.n_right, bytes }))
    }

    async fn start(&self, what: &str) -> anyhow::Result<Subject<'_>> {
        self.say("start");
        set_waits(self.upstream, 0, 0).await?;
        let (port, password, upstream) = (free_port()?, fresh_prefix(), self.upstream.url());
        let (cache, workers, data) = (self.cache, self.options.workers, self.data.join(what));
        std::fs::create_dir(&data).with_context(|| format!("creating {}", data.display()))?;
        let seat =
            Seat { cache, data: &data, port, upstream: &upstream, workers, password: &password };
        let address = ([127, 0, 0, 1], port).into();
        let log = data.with_extension("log");
        let host = Host::start(&mut self.rival.command(&seat)?, address, &log)?;
        // A flow is put in as soon as the server takes it.
        let later = Target::Flow(String::new());
        let (target, make) = match self.rival.door(&seat) {
            Door::Path(path) => (Target::Path(path.into()), None),
            Door::Shaped(shape) => (Target::Shaped(shape), None),
            Door::Flow => (later, None),
            Door::Made(make) => (later, Some(make)),
        };
        let round = Round::default();
        let mut subject = Subject { stand: self, host, target, make, round };
        subject.until_first_answer(&password).await?;
        Ok(subject)
    }

    fn say(&self, what: &str) {
        let title = self.rival.title();
        progress(&format!("round {}, {title}: {what}", self.number + 1));
    }
}

impl Subject<'_> {
    async fn measure(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(REST).await;
        self.round.idle_bytes = Some(self.host.resident_bytes());
        self.host.forget_peak();
        self.cells().await?;
        self.round.loaded_bytes = Some(self.host.peak_bytes());
        self.streams().await?;
        self.ladder().await?;
        self.overload().await
    }

    async fn until_first_answer(&mut self, password: &str) -> anyhow::Result<()> {
        let until = Instant::now() + START_LIMIT;
        loop {
            if let Some(died) = self.host.died() {
                bail!("{died}");
            }
            let answer = tokio::time::timeout(START_LIMIT / 4, self.first_answer(password)).await;
            match answer.context("it does not answer").flatten() {
                Ok(()) => break,
                Err(error) if Instant::now() > until => {
                    return Err(error).context("no right answer after its start");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        self.round.start_ms = Some(self.host.started.elapsed().as_secs_f64() * 1000.0);
        Ok(())
    }

    async fn first_answer(&mut self, password: &str) -> anyhow::Result<()> {
        if let Some(make) = &self.make {
            // Before it listens there is nothing to be put in.
            Connection::open(self.host.address).await?;
            self.target = Target::Shaped(make()?);
            self.make = None;
        }
        if self.target_is_missing() {
            let login = format!("{OPERATOR_NAME}:{password}");
            let operator = Operator::new(self.host.address, &login);
            let base_path = format!("{}/v1", self.stand.upstream.url());
            self.target = Target::Flow(operator.import_flow_at(&base_path).await?);
        }
        let plan = Plan { max_requests: Some(1), ..self.plan(1, Duration::from_secs(30)) };
        let report = load::run(&plan).await?;
        anyhow::ensure!(report.is_clean(), "the first answer was not right: {}", report.to_json());
        Ok(())
    }

    fn target_is_missing(&self) -> bool {
        matches!(&self.target, Target::Flow(id) if id.is_empty())
    }

    fn plan(&self, n_connections: usize, duration: Duration) -> Plan {
        let address = self.host.address;
        let plan = Plan::closed(address, self.target.clone(), n_connections, duration);
        let expect = Some(answer::text(answer::DEFAULT_TOKENS));
        Plan { expect, timeout: ANSWER_LIMIT, ..plan }
    }

    /// One load, after the last one is worked off.
    async fn load(&self, plan: &Plan, delay_ms: u64) -> Cell {
        self.host.settle(SETTLE_LIMIT).await;
        measure(plan, delay_ms, &self.host, self.stand.upstream).await
    }

    fn must_live(&mut self) -> anyhow::Result<()> {
        self.host.died().map_or(Ok(()), |died| bail!("{died}"))
    }

    async fn cells(&mut self) -> anyhow::Result<()> {
        let lengths = self.stand.lengths;
        let warmup = self.plan(32, lengths.warmup);
        self.load(&warmup, 0).await;
        for delay_ms in &self.stand.options.delays {
            set_waits(self.stand.upstream, *delay_ms, 0).await?;
            for n in &self.stand.options.connections {
                if self.is_too_slow_for(*n, *delay_ms) {
                    continue;
                }
                self.stand.say(&format!("{n} connections, model after {delay_ms} ms"));
                let cell = self.load(&self.plan(*n, lengths.cell), *delay_ms).await;
                self.round.cells.push(cell);
                self.must_live()?;
            }
        }
        set_waits(self.stand.upstream, 0, 0).await
    }

    fn is_too_slow_for(&self, n_connections: usize, delay_ms: u64) -> bool {
        let seconds = n_connections as f64 / self.round.best_rate().max(0.1);
        self.stand.number > 0 && delay_ms > 0 && seconds > SLOW_CELL_SECONDS
    }

    async fn streams(&mut self) -> anyhow::Result<()> {
        if !self.stand.rival.streams() {
            return Ok(());
        }
        set_waits(self.stand.upstream, 0, TOKEN_GAP_MS).await?;
        for n in [1, 32] {
            self.stand.say(&format!("{n} streams"));
            let plan = Plan { stream: true, ..self.plan(n, self.stand.lengths.cell) };
            let cell = self.load(&plan, 0).await;
            self.round.streams.push(cell);
            self.must_live()?;
        }
        set_waits(self.stand.upstream, 0, 0).await
    }

    async fn ladder(&mut self) -> anyhow::Result<()> {
        let first = self.round.best_rate() / 2.0;
        let mut ladder = Ladder::new(first, self.stand.lengths.n_bisections);
        while let Some(rate) = ladder.next() {
            self.stand.say(&format!("{rate:.0} a second"));
            // As many as there can be without a request waiting long for one of them.
            let n_connections = (rate.ceil() as usize).clamp(16, 1000);
            let plan = Plan {
                mode: Mode::Open(rate),
                timeout: Duration::from_secs(10),
                ..self.plan(n_connections, self.stand.lengths.open)
            };
            let cell = self.load(&plan, 0).await;
            ladder.took(cell.holds(TAIL_LIMIT_MS));
            self.round.ladder.push(cell);
            self.must_live()?;
        }
        self.round.held_rate = ladder.held();
        Ok(())
    }

    async fn overload(&mut self) -> anyhow::Result<()> {
        let rate = 2.0 * self.round.best_rate();
        if rate < 1.0 {
            return Ok(());
        }
        self.stand.say(&format!("overload, {rate:.0} a second"));
        let duration = self.stand.lengths.open * 2;
        // No more than there are requests: idle ones would be closed by the server.
        let n_requests = (rate * duration.as_secs_f64()).ceil() as usize;
        let n_connections = n_requests.clamp(1, self.stand.options.overload_connections);
        let plan = Plan { mode: Mode::Open(rate), ..self.plan(n_connections, duration) };
        let cell = self.load(&plan, 0).await;
        self.round.overload = Some(cell);
        self.must_live()
    }
}
