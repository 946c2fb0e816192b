//! What the server knows of the places that its nodes call: how often they
//! failed for good, and which of them are left alone for a while. The tally is
//! one for the process, since the budget of retries is the process's too.
//!
//! # Layout
//! - `breakers`: a circuit breaker for each address; `circuit`: one of them

mod breakers;
mod circuit;

pub use breakers::Breakers;
pub(crate) use breakers::Passage;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::NodeError;

/// The tally of this process.
pub static ERRORS: UpstreamErrors = UpstreamErrors::new();

/// The kinds in the order of their counters.
const KINDS: [&str; 5] = ["timeout", "limited", "status_4xx", "status_5xx", "broken"];

/// Errors that nothing made good any more, by kind: neither another try nor a
/// node that took them as an answer.
#[derive(Debug)]
pub struct UpstreamErrors([AtomicU64; KINDS.len()]);

impl UpstreamErrors {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; KINDS.len()])
    }

    /// Counts an error where it ends: in a turn or an upsert that fails, or in
    /// what an agent is told. What is not the provider's is left out.
    pub fn count(&self, error: &NodeError) {
        let kind = match error {
            NodeError::UpstreamTimeout { .. } => 0,
            NodeError::UpstreamStatus { status: 429, .. } => 1,
            NodeError::UpstreamStatus { status: 500.., .. } => 3,
            NodeError::UpstreamStatus { .. } => 2,
            NodeError::UpstreamBroken { .. } => 4,
            _ => return,
        };
        self.0[kind].fetch_add(1, Ordering::Relaxed);
    }

    /// The kinds and how often each came.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_counted_under_its_kind_and_the_callers_own_under_none() {
        let provider = || "OpenAI".to_owned();
        let status = |status| NodeError::UpstreamStatus {
            provider: provider(),
            status,
            message: String::new(),
            retry_after_s: None,
        };
        let errors = UpstreamErrors::new();
        for error in [
            NodeError::UpstreamTimeout { provider: provider(), seconds: 1 },
            status(429),
            status(401),
            status(503),
            NodeError::UpstreamBroken { provider: provider(), problem: String::new() },
            NodeError::Cancelled,
        ] {
            errors.count(&error);
        }
        assert!(errors.counts().all(|(_, count)| count == 1), "{errors:?}");
    }
}
