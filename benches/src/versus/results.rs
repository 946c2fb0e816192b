//! What was found, as it is written to `results.json` and read back for other tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::load::report::Latency;

/// A whole comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where.
    pub machine: Value,
    /// Seconds since 1970 at its start.
    pub started_at: u64,
    /// How long it took.
    pub seconds: f64,
    /// Seconds in which a cell sent.
    pub cell_seconds: f64,
    /// Limit of open files.
    pub open_files: u64,
    /// Who took part, in the order of the tables.
    pub subjects: Vec<Subject>,
}

/// One server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// As `--only` names it.
    pub name: String,
    /// As tables name it.
    pub title: String,
    /// What it says of its version, or what was installed.
    pub version: String,
    /// Whether it keeps no sessions, and so does less.
    pub is_stateless: bool,
    /// How many workers it had and how that was set.
    pub setting: String,
    /// Why it could not be measured at all.
    pub absent: Option<String>,
    /// One for each round.
    pub rounds: Vec<Round>,
}

/// What was found of one server in one round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// From the start of the process to the first right answer.
    pub start_ms: Option<f64>,
    /// Resident bytes two seconds later.
    pub idle_bytes: Option<u64>,
    /// The most resident bytes during the cells.
    pub loaded_bytes: Option<u64>,
    /// Resident bytes after many sessions.
    pub after_sessions: Option<AfterSessions>,
    /// Closed loads.
    pub cells: Vec<Cell>,
    /// Streamed answers, closed loads with a pause between the model's tokens.
    pub streams: Vec<Cell>,
    /// The search for the rate at which the tail passes its limit.
    pub ladder: Vec<Cell>,
    /// The highest rate at which it did not.
    pub held_rate: Option<f64>,
    /// Twice its own best rate.
    pub overload: Option<Cell>,
    /// Why the round ended early.
    pub died: Option<String>,
}

/// Memory after many sessions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AfterSessions {
    /// Sessions of one turn that were answered rightly since the start.
    pub n_sessions: u64,
    /// Resident bytes.
    pub bytes: u64,
}

/// One load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Connections: all that were in flight, or the most.
    pub connections: usize,
    /// What the model server waited.
    pub delay_ms: u64,
    /// Requests per second that were asked for, in an open load.
    pub offered: Option<f64>,
    /// Requests that were due.
    pub n_intended: u64,
    /// Answered with the right text.
    pub n_right: u64,
    /// Right answers per second, from the first request to the last answer.
    pub per_second: f64,
    /// Of right answers.
    pub latency_ms: Option<Percentiles>,
    /// Of replies with another status than 200.
    pub refused_ms: Option<Percentiles>,
    /// To the first token.
    pub first_token_ms: Option<Percentiles>,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Wrong answers and missing replies by kind.
    pub failures: BTreeMap<String, u64>,
    /// Processor seconds of all the server's processes.
    pub cpu_seconds: f64,
    /// The part of the machine that went to other programs.
    pub other_share: f64,
    /// Why there are no figures.
    pub error: Option<String>,
}

/// Of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    #[serde(rename = "p99.9")]
    pub p999: f64,
}

impl From<Latency> for Percentiles {
    fn from(latency: Latency) -> Self {
        let Latency { p50_ms, p90_ms, p99_ms, p999_ms, .. } = latency;
        Self { p50: p50_ms, p90: p90_ms, p99: p99_ms, p999: p999_ms }
    }
}

/// A median and the range around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the figures are lower; between the two middle ones if their number is even.
    pub median: f64,
    /// The lowest.
    pub least: f64,
    /// The highest.
    pub most: f64,
    /// How many.
    pub n: usize,
}

impl Spread {
    /// Of the figures that there are; nothing of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|f| f.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let upper = figures[middle];
        let median =
            if figures.len() % 2 == 1 { upper } else { (figures[middle - 1] + upper) / 2.0 };
        Some(Self { median, least, most, n: figures.len() })
    }
}

impl Cell {
    /// The part of the intended requests that was answered rightly.
    pub fn success(&self) -> f64 {
        self.n_right as f64 / self.n_intended.max(1) as f64
    }

    /// Processor seconds for a thousand right answers.
    pub fn cpu_per_1000(&self) -> Option<f64> {
        (self.n_right > 0).then(|| self.cpu_seconds * 1000.0 / self.n_right as f64)
    }

    /// Whether the tail of all that was due stayed within a limit: what was not answered
    /// rightly took for ever.
    pub fn holds(&self, limit_ms: f64) -> bool {
        self.success() >= 0.99 && self.latency_ms.is_some_and(|latency| latency.p99 <= limit_ms)
    }
}

impl Subject {
    /// A figure of the closed load with so many connections, over all rounds.
    pub fn cell(
        &self,
        connections: usize,
        delay_ms: u64,
        figure: impl Fn(&Cell) -> Option<f64>,
    ) -> Option<Spread> {
        let cells = self.rounds.iter().flat_map(|round| &round.cells);
        let these = cells.filter(|c| c.connections == connections && c.delay_ms == delay_ms);
        Spread::of(these.filter(|cell| cell.error.is_none()).filter_map(figure))
    }

    /// A figure of each round.
    pub fn each(&self, figure: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(figure))
    }
}

impl Round {
    /// The best rate of right answers with a model that answers at once, in whatever load.
    pub fn best_rate(&self) -> f64 {
        let all = self.cells.iter().chain(&self.ladder);
        let at_once = all.filter(|cell| cell.delay_ms == 0);
        at_once.map(|cell| cell.per_second).fold(0.0, f64::max)
    }

    /// Right answers under overload, as a part of the best rate.
    pub fn goodput(&self) -> Option<f64> {
        let best = self.best_rate();
        self.overload.as_ref().filter(|_| best > 0.0).map(|cell| cell.per_second / best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn a_median_stands_between_the_least_and_the_most() {
        let spread = Spread::of([9.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most, spread.n), (2.0, 1.0, 9.0, 3));
        assert_eq!(Spread::of([1.0, 2.0]).map(|spread| spread.median), Some(1.5));
        assert_eq!(Spread::of([f64::NAN]), None);
    }

    #[test]
    fn percentiles_are_those_of_the_histogram_to_three_digits() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).unwrap();
        (1..=10_000).for_each(|micros| histogram.record(micros).unwrap());
        let found = Percentiles::from(Latency::of(&histogram).unwrap());
        let close = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(close(found.p50, 5.0) && close(found.p90, 9.0), "{found:?}");
        assert!(close(found.p99, 9.9) && close(found.p999, 9.99), "{found:?}");
    }

    #[test]
    fn a_tail_holds_only_if_nearly_all_were_answered() {
        let latency_ms = Some(Percentiles { p99: 50.0, ..Percentiles::default() });
        let cell = Cell { n_intended: 100, n_right: 99, latency_ms, ..Cell::default() };
        assert!(cell.holds(100.0) && !cell.holds(49.0));
        assert!(!Cell { n_right: 98, ..cell }.holds(100.0));
    }

    #[test]
    fn processor_time_is_told_for_a_thousand_right_answers() {
        let cell = Cell { n_right: 500, cpu_seconds: 2.0, ..Cell::default() };
        assert_eq!(cell.cpu_per_1000(), Some(4.0));
        assert_eq!(Cell::default().cpu_per_1000(), None);
    }
}
