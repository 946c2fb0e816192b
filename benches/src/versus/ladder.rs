//! Finds the rate at which something stops to hold: doubling (or halving) until both
//! sides are known, then bisecting between them. The rates are ratios of each other, so
//! the middle is the geometric one.

/// No server here is asked less than once in two seconds.
const LEAST_RATE: f64 = 0.5;

/// A search in progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ladder {
    next: f64,
    held: Option<f64>,
    broke: Option<f64>,
    n_bisections: u32,
}

impl Ladder {
    /// A search that begins at a rate.
    pub fn new(first: f64, n_bisections: u32) -> Self {
        Self { next: first.max(LEAST_RATE), held: None, broke: None, n_bisections }
    }

    /// The rate to try, or nothing when the search is over.
    pub fn next(&self) -> Option<f64> {
        let is_known = self.held.is_some() && self.broke.is_some();
        let is_over = (is_known && self.n_bisections == 0) || self.next < LEAST_RATE;
        (!is_over).then_some(self.next)
    }

    /// Takes what came of the last rate.
    pub fn took(&mut self, holds: bool) {
        let was_known = self.held.is_some() && self.broke.is_some();
        if was_known {
            self.n_bisections = self.n_bisections.saturating_sub(1);
        }
        let side = if holds { &mut self.held } else { &mut self.broke };
        *side = Some(self.next);
        self.next = match (self.held, self.broke) {
            (Some(held), Some(broke)) => (held * broke).sqrt(),
            (Some(held), None) => held * 2.0,
            (None, Some(broke)) => broke / 2.0,
            (None, None) => self.next,
        };
    }

    /// The highest rate that held.
    pub fn held(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates tried and the answer, for something that holds up to `limit`.
    fn search(first: f64, limit: f64) -> (Vec<f64>, Option<f64>) {
        let mut ladder = Ladder::new(first, 3);
        let mut tried = Vec::new();
        while let Some(rate) = ladder.next() {
            tried.push(rate.round());
            ladder.took(rate <= limit);
        }
        (tried, ladder.held())
    }

    #[test]
    fn a_rate_is_doubled_until_it_breaks_and_then_bisected() {
        let (tried, held) = search(100.0, 1000.0);
        assert_eq!(tried, [100.0, 200.0, 400.0, 800.0, 1600.0, 1131.0, 951.0, 1037.0]);
        assert_eq!(held.map(f64::round), Some(951.0));
    }

    #[test]
    fn a_first_rate_that_breaks_is_halved() {
        let (tried, held) = search(64.0, 20.0);
        assert_eq!(tried[..3], [64.0, 32.0, 16.0]);
        assert!(held.is_some_and(|held| (16.0..=20.0).contains(&held)));
    }

    #[test]
    fn what_never_holds_has_no_rate() {
        let (tried, held) = search(8.0, 0.0);
        assert_eq!((tried.len(), held), (5, None));
    }
}
