//! How values are spread, counted in buckets without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sum is kept in millionths, because there is no atomic fraction.
const PARTS: f64 = 1e6;

/// Values in buckets, each for those up to its bound.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last is for what is above all of them.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one; `bounds` go up.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts a value, which is not negative.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        self.buckets[bucket.unwrap_or(self.bounds.len())].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add((value * PARTS) as u64, Ordering::Relaxed);
    }

    /// Bounds with the number of values up to each, the last without a bound.
    pub fn cumulated(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.buckets).scan(0, |total, (bound, bucket)| {
            *total += bucket.load(Ordering::Relaxed);
            Some((bound, *total))
        })
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.sum.load(Ordering::Relaxed) as f64 / PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it_and_buckets_cumulate() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        [0.05, 0.1, 0.5, 3.0].into_iter().for_each(|value| histogram.observe(value));
        let cumulated: Vec<_> = histogram.cumulated().collect();
        assert_eq!(cumulated, [(Some(0.1), 2), (Some(1.0), 3), (None, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (4, 3.65));
    }
}
