//! Compares what the load was told with what the server kept.
//!
//! A turn answered 200 must be in the store exactly once, as a question followed by an
//! answer. A turn that was refused or lost may be there or not, but never by half.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::load::{Plan, Report};
use crate::operator::Operator;

/// Turns of one session as the load saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turns {
    n_acknowledged: u64,
    n_unknown: u64,
}

/// The turns of a run by session: of all its sessions, or of a sample of them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    n_sessions: usize,
    sample: Vec<(String, Turns)>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Sessions in the ledger.
    pub n_sessions: usize,
    /// Sessions that were read back.
    pub n_read: usize,
    /// Acknowledged turns in those.
    pub n_turns: u64,
    /// Each session whose stored messages are not what was acknowledged.
    pub differences: Vec<String>,
}

impl Ledger {
    /// Of a run whose plan kept its numbers; keeps at most `n_sample` sessions, evenly
    /// spread over the run.
    pub fn of(plan: &Plan, report: &Report, n_sample: usize) -> Self {
        let mut sessions: BTreeMap<String, Turns> = BTreeMap::new();
        for number in &report.acknowledged {
            sessions.entry(plan.session((*number).into())).or_default().n_acknowledged += 1;
        }
        for number in &report.unacknowledged {
            sessions.entry(plan.session((*number).into())).or_default().n_unknown += 1;
        }
        let n_sessions = sessions.len();
        let step = n_sessions.div_ceil(n_sample.max(1)).max(1);
        Self { n_sessions, sample: sessions.into_iter().step_by(step).collect() }
    }

    /// Adds another run's sessions to these.
    pub fn add(&mut self, other: Self) {
        self.n_sessions += other.n_sessions;
        self.sample.extend(other.sample);
    }

    /// The sample's sessions and the turns acknowledged in each.
    pub fn promised(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sample.iter().map(|(session, turns)| (session.as_str(), turns.n_acknowledged))
    }

    /// Reads the sample's sessions back.
    pub async fn compare(&self, operator: &Operator, flow: &str) -> anyhow::Result<Comparison> {
        let mut found = Comparison { n_sessions: self.n_sessions, ..Comparison::default() };
        for (session, turns) in &self.sample {
            let roles = operator.stored_roles(flow, session).await?;
            found.n_read += 1;
            found.n_turns += turns.n_acknowledged;
            found.differences.extend(turns.difference(session, &roles));
        }
        Ok(found)
    }
}

impl Turns {
    /// What is not as it should be with a session's stored messages, if anything.
    fn difference(&self, session: &str, roles: &[String]) -> Option<String> {
        let in_pairs = roles.chunks(2).all(|pair| pair == ["userMessage", "apiMessage"]);
        if !in_pairs {
            return Some(format!("{session}: messages are not in pairs: {roles:?}"));
        }
        let (n_stored, n_least) = (roles.len() as u64 / 2, self.n_acknowledged);
        let n_most = n_least + self.n_unknown;
        (!(n_least..=n_most).contains(&n_stored))
            .then(|| format!("{session}: {n_stored} turns stored, {n_least} to {n_most} expected"))
    }
}

impl Comparison {
    /// As JSON, with the first few differences.
    pub fn to_json(&self) -> Value {
        json!({
            "sessions": self.n_sessions,
            "read_back": self.n_read,
            "turns": self.n_turns,
            "different": self.differences.len(),
            "first_differences": self.differences.iter().take(10).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(n_turns: usize) -> Vec<String> {
        ["userMessage", "apiMessage"]
            .iter()
            .cycle()
            .take(n_turns * 2)
            .map(|r| (*r).into())
            .collect()
    }

    #[test]
    fn an_acknowledged_turn_must_be_there_once() {
        let turns = Turns { n_acknowledged: 2, n_unknown: 0 };
        assert_eq!(turns.difference("s", &roles(2)), None);
        assert!(turns.difference("s", &roles(1)).is_some());
        assert!(turns.difference("s", &roles(3)).is_some());
    }

    #[test]
    fn a_lost_turn_may_be_there_but_not_by_half() {
        let turns = Turns { n_acknowledged: 1, n_unknown: 1 };
        assert_eq!(turns.difference("s", &roles(1)), None);
        assert_eq!(turns.difference("s", &roles(2)), None);
        assert!(turns.difference("s", &roles(2)[..3]).is_some());
    }
}
