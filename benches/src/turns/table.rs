//! The findings as a page of text, 80 columns wide.

use std::fmt::{self, Display, Formatter};

use super::findings::{Findings, ParlorFindings, millis};
use super::stage::Stage;
use crate::ledger::Comparison;
use crate::load::report::Latency;

/// Writes the findings for people.
#[derive(Debug)]
pub struct Table<'a>(pub &'a Findings);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let findings = self.0;
        machine(f, findings)?;
        if let Some(parlor) = &findings.parlor {
            memory_and_start(f, parlor)?;
        }
        peaks(f, findings)?;
        paced(f, findings)?;
        if let Some(parlor) = &findings.parlor {
            shapes(f, parlor)?;
            checks(f, parlor)?;
        }
        shares(f, findings)?;
        findings.faults().iter().try_for_each(|fault| writeln!(f, "FAULT  {fault}"))
    }
}

fn machine(f: &mut Formatter<'_>, findings: &Findings) -> fmt::Result {
    let m = &findings.machine;
    let gib = m.memory_bytes as f64 / f64::from(1 << 30);
    writeln!(f, "{} cores, {}, {gib:.0} GiB", m.n_cores, m.processor)?;
    writeln!(f, "Linux {}, data on {}", m.kernel, m.file_system)?;
    if m.keeps_data_in_memory() {
        writeln!(f, "The data lies in memory: durable turns cost nothing here (see --dir).")?;
    }
    writeln!(f, "Server, model server and load share the cores; the model answers at once.\n")
}

fn memory_and_start(f: &mut Formatter<'_>, parlor: &ParlorFindings) -> fmt::Result {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (empty, full) = (millis(parlor.start_empty), millis(parlor.kept.start_with_history));
    let sessions = &parlor.sessions;
    writeln!(
        f,
        "start to listening   {empty:.0} ms empty, {full:.0} ms after kill -9, with history"
    )?;
    writeln!(
        f,
        "resident memory      {:.1} MiB idle, {:.1} MiB after the load",
        mib(parlor.idle_bytes),
        mib(parlor.loaded_bytes)
    )?;
    writeln!(
        f,
        "one idle session     {:.0} bytes ({} sessions of one turn)\n",
        sessions.bytes_each(),
        sessions.n_sessions
    )
}

fn peaks(f: &mut Formatter<'_>, findings: &Findings) -> fmt::Result {
    writeln!(f, "Peak, a new session for each turn")?;
    writeln!(f, "       ----------- Parlor -----------   ------------ floor -----------")?;
    writeln!(f, " conns turns/s  p50 ms  p99 ms cpu us   calls/s  p50 ms  p99 ms cpu us  share")?;
    for (index, floor) in findings.floor.iter().enumerate() {
        let parlor = findings.parlor.as_ref().and_then(|parlor| parlor.loads.fresh.get(index));
        let cells = parlor.map_or_else(|| " ".repeat(31), cells);
        let share = parlor.map(|stage| 100.0 * stage.report.rate / floor.report.rate);
        let share = share.map_or_else(String::new, |share| format!("{share:.0} %"));
        writeln!(f, "{:>6}{cells}  {} {share:>6}", floor.n_connections, self::cells(floor))?;
    }
    writeln!(f)
}

/// Rate, two percentiles and processor time: 31 columns.
fn cells(stage: &Stage) -> String {
    let Latency { p50_ms, p99_ms, .. } = latency(stage);
    let (rate, micros) = (stage.report.rate, stage.server_micros());
    format!("{rate:>8.0}{p50_ms:>8.2}{p99_ms:>8.2}{micros:>7.1}")
}

fn paced(f: &mut Formatter<'_>, findings: &Findings) -> fmt::Result {
    let floor = &findings.floor_paced;
    let rate = floor.report.intended_rate.unwrap_or_default();
    writeln!(f, "At {rate:.0} a second, latency from when each was due")?;
    paced_row(f, "floor", floor)?;
    if let Some(parlor) = &findings.parlor {
        paced_row(f, "Parlor", &parlor.loads.paced)?;
        let (without, with) = (latency(floor), latency(&parlor.loads.paced));
        let (p50_ms, p99_ms) = (with.p50_ms - without.p50_ms, with.p99_ms - without.p99_ms);
        writeln!(f, "  added  p50 {p50_ms:.2}  p99 {p99_ms:.2} ms")?;
    }
    writeln!(f)
}

fn paced_row(f: &mut Formatter<'_>, name: &str, stage: &Stage) -> fmt::Result {
    writeln!(f, "{name:>7}  {} ms, cpu {:.0} us", latency(stage), stage.server_micros())
}

/// Zeros for a stage that had no right answer; it is listed as a fault.
fn latency(stage: &Stage) -> Latency {
    stage.report.latency.unwrap_or_default()
}

fn shapes(f: &mut Formatter<'_>, parlor: &ParlorFindings) -> fmt::Result {
    writeln!(f, "Other turns, {} connections", parlor.loads.rotating.n_connections)?;
    writeln!(f, "               turns/s  p50 ms  p99 ms cpu us")?;
    writeln!(f, "conversations {}  64 at a time", cells(&parlor.loads.rotating))?;
    writeln!(f, "streamed      {}", cells(&parlor.loads.streamed))?;
    if let Some(first) = parlor.loads.streamed.report.first_token {
        writeln!(f, "  first token         {:>8.2}{:>8.2}", first.p50_ms, first.p99_ms)?;
    }
    writeln!(f)
}

fn checks(f: &mut Formatter<'_>, parlor: &ParlorFindings) -> fmt::Result {
    writeln!(f, "Turns that were answered and are in the store exactly once")?;
    writeln!(f, "  while it runs  {}", read_back(&parlor.kept.stored))?;
    writeln!(f, "  after kill -9  {}\n", read_back(&parlor.kept.survived))
}

fn read_back(found: &Comparison) -> String {
    let Comparison { n_sessions, n_read, n_turns, differences } = found;
    let n_wrong = differences.len();
    format!("{n_turns} turns in {n_read} of {n_sessions} sessions read: {n_wrong} sessions differ")
}

/// Where the cores went: what is not the server's could have been, on a larger machine.
fn shares(f: &mut Formatter<'_>, findings: &Findings) -> fmt::Result {
    let parlor = findings.parlor.as_ref().and_then(|parlor| parlor.loads.fresh.last());
    let Some(stage) = parlor.or(findings.floor.last()) else { return Ok(()) };
    let all = stage.server_time + stage.upstream_time + stage.load_time;
    let share = |time: std::time::Duration| 100.0 * time.as_secs_f64() / all.as_secs_f64();
    writeln!(
        f,
        "Processor time at {} connections: server {:.0} %, model server {:.0} %, load {:.0} %.",
        stage.n_connections,
        share(stage.server_time),
        share(stage.upstream_time),
        share(stage.load_time)
    )?;
    let percent = 100.0 * findings.disturbance();
    writeln!(f, "Other programs took up to {percent:.0} % of the machine in a stage.")?;
    if percent > 10.0 {
        writeln!(f, "That is too much: measure again when it is quiet.")?;
    }
    Ok(())
}
