//! How the writer's groups went, for metrics.

use crate::metrics::histogram::Histogram;

/// Seconds from a fast disk's sync to a stuck one's.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Jobs behind one sync, up to the largest group.
const JOBS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// What is known of the groups so far.
#[derive(Debug)]
pub struct CommitTally {
    /// How long groups took, with their sync.
    pub seconds: Histogram,
    /// How many jobs they had.
    pub jobs: Histogram,
}

impl Default for CommitTally {
    fn default() -> Self {
        Self { seconds: Histogram::new(SECONDS), jobs: Histogram::new(JOBS) }
    }
}
