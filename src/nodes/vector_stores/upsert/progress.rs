//! How far an upsert is, told to who watches it.

use std::sync::{Mutex, PoisonError};

use super::{UpsertCounts, UpsertWatch};

/// The counts of one upsert.
pub(super) struct Progress<'a> {
    counts: Mutex<UpsertCounts>,
    watch: &'a dyn UpsertWatch,
}

impl<'a> Progress<'a> {
    /// Counts from zero.
    pub(super) fn new(watch: &'a dyn UpsertWatch) -> Self {
        Self { counts: Mutex::default(), watch }
    }

    /// Changes the counts and tells them.
    pub(super) fn note(&self, change: impl FnOnce(&mut UpsertCounts)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        let now = *counts;
        drop(counts);
        self.watch.progress(now);
    }
}
