//! What a run counts while it goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::pace::Slot;
use crate::client::Failure;

/// Latencies are kept in microseconds, to three digits, up to two minutes.
const MAX_MICROS: u64 = 120_000_000;

/// A request that leaves this long after its time is counted as late: there was no
/// free connection, or the load generator had no processor.
const LATE: Duration = Duration::from_millis(1);

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The right answer.
    Right {
        /// Time to the first token from when the request was due, if streamed.
        first_token: Option<Duration>,
        /// Tokens, if streamed.
        n_tokens: u64,
    },
    /// Status 200 with a wrong answer.
    Wrong(&'static str),
    /// Another status.
    Refused(u16),
    /// No reply.
    Failed(Failure),
}

/// Counts of a run in progress.
#[derive(Debug)]
pub struct Tally {
    pub(super) right: Histogram<u64>,
    pub(super) refused: Histogram<u64>,
    pub(super) first_token: Histogram<u64>,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) n_tokens: u64,
    pub(super) n_late: u64,
    pub(super) acknowledged: Vec<u32>,
    pub(super) unacknowledged: Vec<u32>,
}

impl Tally {
    /// An empty one.
    pub fn new() -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, MAX_MICROS, 3);
        Ok(Self {
            right: histogram()?,
            refused: histogram()?,
            first_token: histogram()?,
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            n_tokens: 0,
            n_late: 0,
            acknowledged: Vec::new(),
            unacknowledged: Vec::new(),
        })
    }

    /// Counts one request that was sent.
    pub fn count(
        &mut self,
        slot: Slot,
        sent: Instant,
        took: Duration,
        outcome: Outcome,
        keeps_ledger: bool,
    ) {
        self.n_late += u64::from(sent - slot.due > LATE);
        if keeps_ledger {
            // Status 200 is the acknowledgement, even of a turn whose text is wrong.
            let acknowledged = matches!(outcome, Outcome::Right { .. } | Outcome::Wrong(_));
            let list = if acknowledged { &mut self.acknowledged } else { &mut self.unacknowledged };
            // A plan's bound on requests is far below 2^32.
            list.push(slot.number as u32);
        }
        match outcome {
            Outcome::Right { first_token, n_tokens } => {
                self.right.saturating_record(micros(took));
                first_token.iter().for_each(|t| self.first_token.saturating_record(micros(*t)));
                self.n_tokens += n_tokens;
                self.status(200);
            }
            Outcome::Wrong(why) => {
                self.failure(format!("wrong: {why}"));
                self.status(200);
            }
            Outcome::Refused(status) => {
                self.refused.saturating_record(micros(took));
                self.status(status);
            }
            Outcome::Failed(failure) => self.failure(failure.to_string()),
        }
    }

    fn status(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    fn failure(&mut self, why: String) {
        *self.failures.entry(why).or_default() += 1;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(MAX_MICROS)
}
