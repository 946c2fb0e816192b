//! The results as tables. Medians, with the range of the rounds behind them.

use std::fmt::Write as _;

use super::figures::{number, shown, shown_percent};
use super::results::{Cell, Results, Round, Spread, Subject};
use super::round::TAIL_LIMIT_MS;

/// Connections whose processor time, latency and streams stand for the rest in the summary.
const USUAL_CONNECTIONS: usize = 32;

/// What the column of that name promises.
const N_SESSIONS: u64 = 10_000;

const MIB: f64 = 1_048_576.0;

/// One row for each server, and what the first is in terms of Flowise.
pub fn summary(results: &Results) -> String {
    let mut page = String::new();
    let tail = format!("rate at p99 < {TAIL_LIMIT_MS:.0} ms");
    let head = [
        "server",
        "right",
        "best rate /s",
        &tail,
        "p50 ms",
        "p99 ms",
        "CPU s per 1,000",
        "idle MiB",
        "loaded MiB",
        "10 k sessions MiB",
        "start ms",
        "first token ms",
        "2x overload: goodput",
        "refused p99 ms",
    ];
    row(&mut page, head.map(str::to_owned));
    row(&mut page, head.map(|_| "---".to_owned()));
    results.subjects.iter().for_each(|subject| row(&mut page, summary_row(subject)));
    page.push('\n');
    notes(&mut page, results);
    page
}

fn summary_row(subject: &Subject) -> [String; 14] {
    let usual = |figure: fn(&Cell) -> Option<f64>| subject.cell(USUAL_CONNECTIONS, 0, figure);
    let each = |figure: fn(&Round) -> Option<f64>| subject.each(figure);
    let bytes = |figure: fn(&Round) -> Option<u64>| {
        let mib = subject.each(|round| figure(round).map(|bytes| bytes as f64 / MIB));
        shown(mib)
    };
    let sessions = bytes(|round| round.after_sessions.map(|after| after.bytes));
    [
        name(subject),
        shown_percent(each(right_share)),
        shown(each(|round| some_positive(round.best_rate()))),
        shown(each(|round| round.held_rate)),
        shown(usual(|cell| cell.latency_ms.map(|l| l.p50))),
        shown(usual(|cell| cell.latency_ms.map(|l| l.p99))),
        shown(usual(Cell::cpu_per_1000)),
        bytes(|round| round.idle_bytes),
        bytes(|round| round.loaded_bytes),
        if subject.is_stateless { "keeps none".into() } else { sessions + &fewer(subject) },
        shown(each(|round| round.start_ms)),
        shown(each(first_token)),
        shown_percent(each(Round::goodput)),
        shown(each(|round| round.overload.as_ref()?.refused_ms.map(|refused| refused.p99))),
    ]
}

/// What a server was too slow for within the time of this part is not told as done.
fn fewer(subject: &Subject) -> String {
    let after = subject.rounds.iter().filter_map(|round| round.after_sessions);
    let least = after.map(|after| after.n_sessions).min().unwrap_or(u64::MAX);
    if least < N_SESSIONS { format!(" after {least} only") } else { String::new() }
}

fn name(subject: &Subject) -> String {
    let mark = if subject.is_stateless { " (stateless)" } else { "" };
    let died = subject.rounds.iter().filter_map(|round| round.died.as_deref());
    let why = subject.absent.as_deref().into_iter().chain(died).next();
    let why = why.map(|why| format!(": **{}**", plain(why))).unwrap_or_default();
    format!("{}{mark}{why}", subject.title)
}

fn notes(page: &mut String, results: &Results) {
    let machine = &results.machine;
    let told = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    let n_rounds = results.subjects.iter().map(|subject| subject.rounds.len()).max().unwrap_or(0);
    let _ = writeln!(
        page,
        "{} cores ({}), Linux {}, data on {}; model server, load and server share them, one \
         server at a time. Rounds with fresh starts: {n_rounds}; seconds a cell: {}; medians, \
         ranges in brackets. Latency and CPU at {USUAL_CONNECTIONS} connections, model answering \
         at once; first token at {USUAL_CONNECTIONS} streams of 16 tokens, 10 ms apart. Stateless \
         servers keep no history and do less.",
        machine["cores"],
        told("processor"),
        told("kernel"),
        told("file_system"),
        number(results.cell_seconds),
    );
    against_flowise(page, results);
}

/// What the aims are about: the first server's figures by Flowise's.
fn against_flowise(page: &mut String, results: &Results) {
    let find = |name: &str| results.subjects.iter().find(|subject| subject.name == name);
    let (Some(parlor), Some(flowise)) = (find("parlor"), find("flowise")) else { return };
    let ratio = |figure: &dyn Fn(&Subject) -> Option<Spread>, upside_down: bool| {
        let (own, other) = (figure(parlor)?.median, figure(flowise)?.median);
        Some(if upside_down { other / own } else { own / other })
    };
    let rate = ratio(&|s| s.each(|round| some_positive(round.best_rate())), false);
    let cpu = ratio(&|s| s.cell(USUAL_CONNECTIONS, 0, Cell::cpu_per_1000), true);
    let memory = ratio(&|s| s.each(|round| round.loaded_bytes.map(|b| b as f64)), true);
    if let (Some(rate), Some(cpu), Some(memory)) = (rate, cpu, memory) {
        let _ = writeln!(
            page,
            "\nBeside Flowise: {} times the rate, 1/{} of the CPU a request, 1/{} of the memory \
             under load.",
            number(rate),
            number(cpu),
            number(memory)
        );
    }
}

/// Every cell, and how each server was set.
pub fn details(results: &Results) -> String {
    let mut page = String::from("## Settings\n\n");
    for subject in &results.subjects {
        let _ = writeln!(page, "- {} {}: {}", subject.title, subject.version, subject.setting);
    }
    page.push_str("\n## Closed loads\n\n");
    let head = [
        "server",
        "model ms",
        "connections",
        "right",
        "rate /s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "CPU s per 1,000",
        "rounds",
    ];
    row(&mut page, head.map(str::to_owned));
    row(&mut page, head.map(|_| "---".to_owned()));
    for subject in &results.subjects {
        for (delay_ms, connections) in keys(subject) {
            row(&mut page, detail_row(subject, delay_ms, connections));
        }
    }
    let share = disturbance(results);
    let _ = writeln!(page, "\nOther programs took up to {:.0} % of the machine.", 100.0 * share);
    page
}

fn detail_row(subject: &Subject, delay_ms: u64, connections: usize) -> [String; 11] {
    let figure = |f: fn(&Cell) -> Option<f64>| subject.cell(connections, delay_ms, f);
    let right = figure(|cell| Some(cell.success()));
    [
        subject.title.clone(),
        delay_ms.to_string(),
        connections.to_string(),
        right.map_or_else(|| why_none(subject, delay_ms, connections), |r| shown_percent(Some(r))),
        shown(figure(|cell| Some(cell.per_second))),
        shown(figure(|cell| cell.latency_ms.map(|l| l.p50))),
        shown(figure(|cell| cell.latency_ms.map(|l| l.p90))),
        shown(figure(|cell| cell.latency_ms.map(|l| l.p99))),
        shown(figure(|cell| cell.latency_ms.map(|l| l.p999))),
        shown(figure(Cell::cpu_per_1000)),
        right.map_or(0, |right| right.n).to_string(),
    ]
}

fn why_none(subject: &Subject, delay_ms: u64, connections: usize) -> String {
    let cells = subject.rounds.iter().flat_map(|round| &round.cells);
    let mut these = cells.filter(|c| c.delay_ms == delay_ms && c.connections == connections);
    these.find_map(|cell| cell.error.as_deref()).map_or_else(|| "-".into(), plain)
}

/// The cells that there are, delays first.
fn keys(subject: &Subject) -> Vec<(u64, usize)> {
    let cells = subject.rounds.iter().flat_map(|round| &round.cells);
    let mut keys: Vec<_> = cells.map(|cell| (cell.delay_ms, cell.connections)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn disturbance(results: &Results) -> f64 {
    let rounds = results.subjects.iter().flat_map(|subject| &subject.rounds);
    let cells = rounds.flat_map(|round| round.cells.iter().chain(&round.ladder));
    cells.map(|cell| cell.other_share).fold(0.0, f64::max)
}

/// The part of all requests of a round's closed loads that was answered rightly.
fn right_share(round: &Round) -> Option<f64> {
    let sum = |count: fn(&Cell) -> u64| round.cells.iter().map(count).sum::<u64>();
    let n_intended = sum(|cell| cell.n_intended);
    (n_intended > 0).then(|| sum(|cell| cell.n_right) as f64 / n_intended as f64)
}

fn first_token(round: &Round) -> Option<f64> {
    let usual = round.streams.iter().find(|cell| cell.connections == USUAL_CONNECTIONS)?;
    usual.first_token_ms.map(|first| first.p50)
}

fn some_positive(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

fn row<const N: usize>(page: &mut String, cells: [String; N]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// A text that cannot break a table.
fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '|' | '\n' | '`' | '<') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::results::{AfterSessions, Percentiles};

    /// A server with one round for each rate.
    fn subject(name: &str, title: &str, rates: &[f64]) -> Subject {
        let latency = Percentiles { p50: 1.0, p90: 2.0, p99: 3.0, p999: 4.0 };
        let cell = |rate: &f64| Cell {
            connections: 32,
            n_intended: 1000,
            n_right: 1000,
            per_second: *rate,
            latency_ms: Some(latency),
            cpu_seconds: 0.5,
            ..Cell::default()
        };
        let round = |rate: &f64| Round {
            cells: vec![cell(rate)],
            loaded_bytes: Some(100 << 20),
            after_sessions: Some(AfterSessions { n_sessions: 10_000, bytes: 64 << 20 }),
            ..Round::default()
        };
        Subject {
            name: name.into(),
            title: title.into(),
            version: "1".into(),
            is_stateless: false,
            setting: "one worker".into(),
            absent: None,
            rounds: rates.iter().map(round).collect(),
        }
    }

    fn results(subjects: Vec<Subject>) -> Results {
        let machine = serde_json::json!({"cores": 2, "processor": "p"});
        let (seconds, cell_seconds, open_files) = (1.0, 2.0, 1);
        Results { machine, started_at: 0, seconds, cell_seconds, open_files, subjects }
    }

    #[test]
    fn a_row_tells_medians_and_ranges() {
        let page = summary(&results(vec![subject("parlor", "Parlor", &[900.0, 1000.0, 1200.0])]));
        let row = page.lines().nth(2).unwrap();
        let expected = "| Parlor | 100 % | 1,000 (900 to 1,200) | - | 1.00 | 3.00 | 0.500 | - | 100 \
            | 64.0 | - | - | - | - |";
        assert_eq!(row, expected);
    }

    #[test]
    fn fewer_sessions_than_promised_are_told() {
        let mut slow = subject("x", "X", &[1.0]);
        slow.rounds[0].after_sessions = Some(AfterSessions { n_sessions: 300, bytes: 1 << 20 });
        let page = summary(&results(vec![slow]));
        assert!(page.contains("| 1.00 after 300 only |"), "{page}");
    }

    #[test]
    fn a_server_that_died_is_a_row_that_says_so() {
        let mut dead = subject("flowise", "Flowise", &[]);
        dead.rounds.push(Round { died: Some("died (x): a | b".into()), ..Round::default() });
        let page = summary(&results(vec![dead]));
        assert!(page.contains("| Flowise: **died (x): a   b** | - | - |"), "{page}");
    }

    #[test]
    fn the_aims_are_told_as_ratios_to_flowise() {
        let all = vec![subject("parlor", "P", &[5000.0]), subject("flowise", "F", &[50.0])];
        let page = summary(&results(all));
        assert!(page.contains("100 times the rate, 1/1.00 of the CPU"), "{page}");
    }

    #[test]
    fn a_cell_without_figures_says_why() {
        let mut broken = subject("x", "X", &[1.0]);
        broken.rounds[0].cells[0].error = Some("did not end".into());
        let page = details(&results(vec![broken]));
        assert!(page.contains("| X | 0 | 32 | did not end | - |"), "{page}");
    }
}
