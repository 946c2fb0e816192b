//! What a crash run found.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};

use super::conversation::Fault;
use super::writer::{Counts, Writer};

/// Faults that are told one by one.
const MAX_TOLD: usize = 20;

/// All kinds, for a report that names those that did not happen too.
const KINDS: [(Fault, &str); 7] = [
    (Fault::Lost, "lost"),
    (Fault::Doubled, "doubled"),
    (Fault::Reordered, "reordered"),
    (Fault::Half, "half"),
    (Fault::Foreign, "foreign"),
    (Fault::Revived, "revived"),
    (Fault::OtherAnswer, "other_answer"),
];

/// Counts, and what was wrong.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How often the server was killed.
    pub n_kills: u32,
    /// Turns answered with their text.
    pub n_acknowledged: u64,
    /// Turns answered with an error, or never sent.
    pub n_refused: u64,
    /// Turns whose end nobody heard.
    pub n_unknown: u64,
    /// Conversations.
    pub n_sessions: usize,
    /// Conversations read back, each as often as it was.
    pub n_compared: u64,
    faults: Vec<Fault>,
    told: Vec<String>,
    starts: Vec<Duration>,
}

impl Findings {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn started(&mut self, ready_after: Duration) {
        self.starts.push(ready_after);
    }

    pub(super) fn fault(&mut self, session: &str, fault: Fault, place: &str) {
        self.faults.push(fault);
        if self.told.len() < MAX_TOLD {
            self.told.push(format!("{session}: {fault:?} {place}"));
        }
    }

    pub(super) fn count(&mut self, n_kills: u32, writers: &[Writer]) {
        let sum = |of: fn(&Counts) -> u64| writers.iter().map(|writer| of(&writer.counts)).sum();
        self.n_kills = n_kills;
        self.n_acknowledged = sum(|counts| counts.n_acknowledged);
        self.n_refused = sum(|counts| counts.n_refused);
        self.n_unknown = sum(|counts| counts.n_unknown);
        self.n_sessions = writers.iter().map(|writer| writer.conversations.len()).sum();
    }

    /// How far the run is, in one line.
    pub(super) fn line(&self, n_planned: u32) -> String {
        let start = self.starts.last().map_or(0, Duration::as_millis);
        format!(
            "kill {} of {n_planned}: {} turns acknowledged, {} faults, listening again after {start} ms",
            self.n_kills,
            self.n_acknowledged,
            self.faults.len(),
        )
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut faults = serde_json::Map::new();
        for (fault, name) in KINDS {
            let n = self.faults.iter().filter(|own| **own == fault).count();
            faults.insert(name.to_owned(), n.into());
        }
        json!({
            "kills": self.n_kills,
            "turns_acknowledged": self.n_acknowledged,
            "turns_refused": self.n_refused,
            "turns_unknown": self.n_unknown,
            "sessions": self.n_sessions,
            "sessions_compared": self.n_compared,
            "longest_start_ms": self.starts.iter().max().map_or(0, Duration::as_millis) as u64,
            "faults": faults,
            "first_faults": self.told,
        })
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} kills, {} turns acknowledged in {} sessions, {} refused, {} of unknown fate",
            self.n_kills, self.n_acknowledged, self.n_sessions, self.n_refused, self.n_unknown
        )?;
        for (fault, name) in KINDS {
            let n = self.faults.iter().filter(|own| **own == fault).count();
            writeln!(f, "{n:>8} {}", name.replace('_', " "))?;
        }
        self.told.iter().try_for_each(|told| writeln!(f, "FAULT  {told}"))
    }
}
