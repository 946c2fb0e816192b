//! The order of the stages. Floor and Parlor take turns at each number of connections,
//! so that a machine that slows down meanwhile slows both.

use std::io::{IsTerminal, Write as _, stderr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::findings::{Findings, Kept, Loads, ParlorFindings, SessionMemory};
use super::options::Options;
use super::programs::{self, Programs};
use super::stage::Stage;
use crate::answer;
use crate::ledger::{Comparison, Ledger};
use crate::load::{self, Mode, Plan, Sessions, Target};
use crate::machine::Machine;
use crate::operator::Operator;
use crate::service::Service;
use crate::usage;

/// Connections of every stage that is not about their number.
const N_CONNECTIONS: usize = 64;

/// Conversations that go on at a time.
const N_CONVERSATIONS: u64 = 64;

/// Sessions that are read back from each stage.
const N_READ_BACK: usize = 200;

/// Memory is read when the process has had this long to rest.
const REST: Duration = Duration::from_secs(1);

/// Runs all stages.
pub async fn run(options: &Options) -> anyhow::Result<Findings> {
    progress("building");
    let programs = Programs::find(&options.programs, !options.floor_only)?;
    let above = options.programs.dir.clone().map_or_else(programs::folder, Ok)?;
    let scratch = tempfile::Builder::new().prefix("turns-").tempdir_in(&above);
    let scratch = scratch.with_context(|| format!("a folder in {}", above.display()))?;
    let upstream = programs.start_upstream(&[], scratch.path())?;
    let floor = programs.start_floor(&upstream, scratch.path())?;
    let bench = Bench { options, programs, scratch, upstream, floor };
    let findings = bench.measure().await;
    progress("");
    findings
}

/// What all stages share. The processes end, and their folder goes, when it is dropped.
struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    upstream: Service,
    floor: Service,
    // Last, so that the processes are gone before their folder is.
    scratch: TempDir,
}

/// A Parlor that has the measured chatflow, and what it has acknowledged.
struct Subject {
    service: Service,
    operator: Operator,
    flow: String,
    ledger: Ledger,
}

impl Bench<'_> {
    async fn measure(&self) -> anyhow::Result<Findings> {
        let machine = Machine::look(self.scratch.path());
        if self.options.floor_only {
            let floor = self.floor_alone().await?;
            let floor_paced = self.paced_floor().await?;
            return Ok(Findings { machine, floor, floor_paced, parlor: None });
        }
        let data = self.scratch.path().join("data");
        let mut subject = self.start_parlor(&data).await?;
        let start_empty = subject.service.ready_after;
        let version = subject.operator.version().await?;
        let idle_bytes = subject.resident_after_rest().await?;
        subject.import().await?;
        let (floor, fresh) = self.peaks(&mut subject).await?;
        let floor_paced = self.paced_floor().await?;
        let loads = self.loads(&mut subject, fresh).await?;
        let loaded_bytes = subject.resident_after_rest().await?;
        let kept = self.kept(subject, &data).await?;
        let sessions = self.session_memory().await?;
        let parlor = ParlorFindings {
            version,
            start_empty,
            idle_bytes,
            loaded_bytes,
            sessions,
            loads,
            kept,
        };
        Ok(Findings { machine, floor, floor_paced, parlor: Some(parlor) })
    }

    async fn floor_alone(&self) -> anyhow::Result<Vec<Stage>> {
        let mut floor = Vec::new();
        for n in &self.options.connections {
            floor.push(self.floor_stage(*n, Mode::Closed).await?);
        }
        Ok(floor)
    }

    /// Floor and Parlor at each number of connections.
    async fn peaks(&self, subject: &mut Subject) -> anyhow::Result<(Vec<Stage>, Vec<Stage>)> {
        let (mut floor, mut fresh) = (Vec::new(), Vec::new());
        for n in &self.options.connections {
            floor.push(self.floor_stage(*n, Mode::Closed).await?);
            let stage = self.stage("new sessions", subject, |plan| plan.n_connections = *n);
            fresh.push(stage.await?);
        }
        Ok((floor, fresh))
    }

    /// The stages that are not about the number of connections.
    async fn loads(&self, subject: &mut Subject, fresh: Vec<Stage>) -> anyhow::Result<Loads> {
        let mode = Mode::Open(self.options.rate);
        let n_turns = self.options.session_turns;
        let sessions = Sessions::Rotating { n_sessions: N_CONVERSATIONS, n_turns };
        Ok(Loads {
            fresh,
            paced: self.stage("fixed rate", subject, |plan| plan.mode = mode).await?,
            rotating: self.stage("conversations", subject, |p| p.sessions = sessions).await?,
            streamed: self.stage("streams", subject, |plan| plan.stream = true).await?,
        })
    }

    /// Reads a sample of all sessions back, ends the server with no warning, starts it on
    /// the same folder and reads the same sample again.
    async fn kept(&self, subject: Subject, data: &Path) -> anyhow::Result<Kept> {
        progress("reading back");
        let stored = subject.compare().await?;
        let Subject { service, flow, ledger, .. } = subject;
        service.kill()?;
        let survivor = Subject { flow, ledger, ..self.start_parlor(data).await? };
        let start_with_history = survivor.service.ready_after;
        progress("reading back after kill -9");
        let survived = survivor.compare().await?;
        Ok(Kept { stored, survived, start_with_history })
    }

    async fn paced_floor(&self) -> anyhow::Result<Stage> {
        self.floor_stage(N_CONNECTIONS, Mode::Open(self.options.rate)).await
    }

    async fn floor_stage(&self, n_connections: usize, mode: Mode) -> anyhow::Result<Stage> {
        progress(&format!("floor, {n_connections} connections"));
        let target = Target::Path("/".into());
        let duration = self.options.duration();
        let mut plan = Plan::closed(self.floor.address, target, n_connections, duration);
        plan.mode = mode;
        plan.expect = Some(answer::text(answer::DEFAULT_TOKENS));
        Stage::run(&plan, self.options.warmup(), &self.floor, &self.upstream).await
    }

    /// One stage with Parlor: the usual plan with one thing changed.
    async fn stage(
        &self,
        name: &str,
        subject: &mut Subject,
        change: impl FnOnce(&mut Plan),
    ) -> anyhow::Result<Stage> {
        let mut plan = subject.plan(self.options.duration());
        change(&mut plan);
        progress(&format!("parlor, {name}, {} connections", plan.n_connections));
        let warmup = self.options.warmup();
        let stage = Stage::run(&plan, warmup, &subject.service, &self.upstream).await?;
        subject.ledger.add(Ledger::of(&plan, &stage.report, N_READ_BACK));
        Ok(stage)
    }

    async fn start_parlor(&self, data: &Path) -> anyhow::Result<Subject> {
        progress("starting parlor");
        let service = self.programs.start_parlor(&self.upstream, data, self.scratch.path())?;
        let operator = Operator::new(service.address, &self.programs.operator());
        operator.ping().await.context("parlor listens but does not answer")?;
        Ok(Subject { service, operator, flow: String::new(), ledger: Ledger::default() })
    }

    /// Measured on a server of its own: after other loads the allocator has free memory
    /// that new sessions would take without the process growing.
    async fn session_memory(&self) -> anyhow::Result<SessionMemory> {
        let mut subject = self.start_parlor(&self.scratch.path().join("sessions")).await?;
        subject.import().await?;
        let n_sessions = self.options.idle_sessions;
        progress(&format!("{n_sessions} idle sessions"));
        subject.open_sessions(n_sessions / 10).await?;
        let before_bytes = subject.resident_after_rest().await?;
        subject.open_sessions(n_sessions).await?;
        let after_bytes = subject.resident_after_rest().await?;
        Ok(SessionMemory { n_sessions, before_bytes, after_bytes })
    }
}

impl Subject {
    async fn import(&mut self) -> anyhow::Result<()> {
        self.flow = self.operator.import_flow().await.context("importing the chatflow")?;
        Ok(())
    }

    fn plan(&self, duration: Duration) -> Plan {
        let target = Target::Flow(self.flow.clone());
        let plan = Plan::closed(self.service.address, target, N_CONNECTIONS, duration);
        let expect = Some(answer::text(answer::DEFAULT_TOKENS));
        Plan { expect, keeps_ledger: true, ..plan }
    }

    /// One turn in each of so many new sessions.
    async fn open_sessions(&self, n_sessions: u64) -> anyhow::Result<()> {
        let plan = self.plan(Duration::from_secs(600));
        let plan = Plan { max_requests: Some(n_sessions), keeps_ledger: false, ..plan };
        let report = load::run(&plan).await?;
        ensure!(report.n_right == n_sessions, "opening sessions: {}", report.to_json());
        Ok(())
    }

    async fn resident_after_rest(&self) -> anyhow::Result<u64> {
        tokio::time::sleep(REST).await;
        usage::resident_bytes(self.service.pid())
    }

    async fn compare(&self) -> anyhow::Result<Comparison> {
        self.ledger.compare(&self.operator, &self.flow).await.context("reading sessions back")
    }
}

/// Says what is going on, in one line that the next one replaces, if somebody watches.
pub fn progress(what: &str) {
    if stderr().is_terminal() {
        // A terminal that is gone is no reason to stop measuring.
        let _ = write!(stderr(), "\r\x1b[K{what}");
    }
}
