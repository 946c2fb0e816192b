//! What a finished run found, as figures, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::plan::{Mode, Plan};
use super::tally::Tally;

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Half were faster.
    pub p50_ms: f64,
    /// Nine of ten were faster.
    pub p90_ms: f64,
    /// All but one in a hundred were faster.
    pub p99_ms: f64,
    /// All but one in a thousand were faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    /// Of latencies in microseconds; nothing of none.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        (!histogram.is_empty()).then(|| Self {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1000.0,
        })
    }

    /// As JSON, milliseconds.
    pub fn to_json(&self) -> Value {
        json!({
            "p50": self.p50_ms, "p90": self.p90_ms, "p99": self.p99_ms,
            "p99.9": self.p999_ms, "max": self.max_ms,
        })
    }
}

/// What a finished run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// From the first request's time to the last reply.
    pub elapsed: Duration,
    /// The rate that was asked for, if one was.
    pub intended_rate: Option<f64>,
    /// Requests that the plan intended.
    pub n_intended: u64,
    /// Of these, never sent: no connection was free until well after the end.
    pub n_unsent: u64,
    /// Sent more than a millisecond after their time.
    pub n_late: u64,
    /// Right answers.
    pub n_right: u64,
    /// Right answers per second.
    pub rate: f64,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Wrong answers and missing replies by kind.
    pub failures: BTreeMap<String, u64>,
    /// Latency of right answers, if there were any.
    pub latency: Option<Latency>,
    /// Latency of replies with another status than 200.
    pub refused: Option<Latency>,
    /// Time to the first token of streamed answers.
    pub first_token: Option<Latency>,
    /// Tokens of streamed answers.
    pub n_tokens: u64,
    /// Numbers of the requests answered 200, if the plan keeps them.
    pub acknowledged: Vec<u32>,
    /// Numbers of the requests sent and not answered 200, if the plan keeps them.
    pub unacknowledged: Vec<u32>,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        tally: Tally,
        elapsed: Duration,
        n_intended: u64,
        n_unsent: u64,
    ) -> Self {
        let n_right = tally.right.len();
        let intended_rate = match plan.mode {
            Mode::Open(rate) => Some(rate),
            Mode::Closed => None,
        };
        Self {
            elapsed,
            intended_rate,
            n_intended,
            n_unsent,
            n_late: tally.n_late,
            n_right,
            rate: n_right as f64 / elapsed.as_secs_f64(),
            latency: Latency::of(&tally.right),
            refused: Latency::of(&tally.refused),
            first_token: Latency::of(&tally.first_token),
            statuses: tally.statuses,
            failures: tally.failures,
            n_tokens: tally.n_tokens,
            acknowledged: tally.acknowledged,
            unacknowledged: tally.unacknowledged,
        }
    }

    /// Whether every request was answered, and rightly.
    pub fn is_clean(&self) -> bool {
        self.n_right == self.n_intended
    }

    /// Whether each intended request is in exactly one count. Anything else is a fault of
    /// the load generator itself.
    pub fn adds_up(&self) -> bool {
        let wrong_or_lost: u64 = self.failures.values().sum();
        let refused: u64 =
            self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, n)| n).sum();
        self.n_right + wrong_or_lost + refused + self.n_unsent == self.n_intended
    }

    /// As JSON; latencies in milliseconds.
    pub fn to_json(&self) -> Value {
        json!({
            "seconds": self.elapsed.as_secs_f64(),
            "intended_per_second": self.intended_rate,
            "per_second": self.rate,
            "intended": self.n_intended,
            "right": self.n_right,
            "unsent": self.n_unsent,
            "sent_late": self.n_late,
            "statuses": self.statuses,
            "failures": self.failures,
            "latency_ms": self.latency.map(|latency| latency.to_json()),
            "refused_ms": self.refused.map(|latency| latency.to_json()),
            "first_token_ms": self.first_token.map(|latency| latency.to_json()),
            "tokens": self.n_tokens,
            "adds_up": self.adds_up(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "right answers  {} in {seconds:.1} s: {:.0}/s", self.n_right, self.rate)?;
        if let Some(rate) = self.intended_rate {
            let (unsent, late) = (self.n_unsent, self.n_late);
            writeln!(f, "intended       {rate:.0}/s; {unsent} never sent, {late} sent late")?;
        }
        writeln!(f, "statuses       {}", counts(&self.statuses))?;
        if !self.failures.is_empty() {
            writeln!(f, "failures       {}", counts(&self.failures))?;
        }
        if let Some(latency) = &self.latency {
            writeln!(f, "latency ms     {latency}")?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "refused ms     {refused}")?;
        }
        if let Some(first_token) = &self.first_token {
            writeln!(f, "first token ms {first_token}")?;
            writeln!(
                f,
                "tokens         {}: {:.0}/s",
                self.n_tokens,
                self.n_tokens as f64 / seconds
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self;
        write!(f, "p50 {p50_ms:.2}  p90 {p90_ms:.2}  p99 {p99_ms:.2}  ")?;
        write!(f, "p99.9 {p999_ms:.2}  max {max_ms:.2}")
    }
}

fn counts<K: fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let parts: Vec<_> = counts.iter().map(|(key, n)| format!("{key}: {n}")).collect();
    parts.join(", ")
}
