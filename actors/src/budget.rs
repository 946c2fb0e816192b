//! How often a session may fail before it is left alone for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Failures (panics) that a session may have within [`WINDOW`].
const MOST_FAILURES: usize = 5;
/// The span in which failures are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The recent failures of one session.
#[derive(Debug, Default)]
pub(crate) struct RestartBudget {
    failures: VecDeque<Instant>,
}

impl RestartBudget {
    /// Notes a failure.
    pub(crate) fn spend(&mut self, now: Instant) {
        if self.failures.len() == MOST_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
    }

    /// Seconds to wait before the session may run again; `None` when it may now.
    pub(crate) fn exhausted_for(&self, now: Instant) -> Option<u64> {
        if self.failures.len() < MOST_FAILURES {
            return None;
        }
        let oldest = *self.failures.front()?;
        let left = WINDOW.checked_sub(now.duration_since(oldest))?;
        Some(left.as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_within_a_minute_exhaust_the_budget_until_the_first_is_a_minute_old() {
        let mut budget = RestartBudget::default();
        let start = Instant::now();
        for second in 0..5 {
            assert_eq!(budget.exhausted_for(start), None);
            budget.spend(start + Duration::from_secs(second));
        }
        assert_eq!(budget.exhausted_for(start + Duration::from_secs(10)), Some(51));
        assert_eq!(budget.exhausted_for(start + Duration::from_secs(61)), None);
    }
}
