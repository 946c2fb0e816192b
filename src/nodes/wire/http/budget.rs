//! A limit to retries over the whole process: when a provider is down, each
//! call must not turn into three.

use std::sync::atomic::{AtomicU32, Ordering};

/// A token bucket. One retry costs a token; each call deposits a tenth of one.
pub(crate) struct RetryBudget {
    tenths: AtomicU32,
}

const START: u32 = 30;
const CAP: u32 = 100;
const COST: u32 = 10;

impl RetryBudget {
    /// A bucket of three tokens; it holds ten at most.
    pub(crate) const fn new() -> Self {
        Self { tenths: AtomicU32::new(START) }
    }

    /// Counts a call.
    pub(crate) fn deposit(&self) {
        let added = |tenths: u32| Some((tenths + 1).min(CAP));
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// Takes a token, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let taken = |tenths: u32| tenths.checked_sub(COST);
        self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n_retries(budget: &RetryBudget) -> usize {
        std::iter::from_fn(|| budget.withdraw().then_some(())).count()
    }

    #[test]
    fn p8_a_new_budget_allows_three_retries_and_ten_calls_earn_one() {
        let budget = RetryBudget::new();
        assert_eq!(n_retries(&budget), 3);

        (0..9).for_each(|_| budget.deposit());
        assert_eq!(n_retries(&budget), 0);
        budget.deposit();

        assert_eq!(n_retries(&budget), 1);
    }

    #[test]
    fn p8_a_quiet_time_saves_up_ten_retries_at_most() {
        let budget = RetryBudget::new();

        (0..1000).for_each(|_| budget.deposit());

        assert_eq!(n_retries(&budget), 10);
    }
}
