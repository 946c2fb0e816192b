//! What the supervisors show of themselves: numbers, and the names of those
//! that are busiest, never of all.

use std::sync::Arc;

use parlor_schemas::SessionKey;

/// One arbiter's sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardView {
    /// Sessions in memory.
    pub n_live: usize,
    /// Work that they run or that waits in them.
    pub n_pending: usize,
    /// Those with the most work, the busiest first. Sessions at rest are left out.
    pub busiest: Vec<Busy<SessionKey>>,
}

/// A vector store that is being filled, by its identity: type, address and collection.
pub type BusyStore = Busy<Arc<str>>;

/// Something that has work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy<T> {
    /// What it is.
    pub what: T,
    /// Work that it runs or that waits for it.
    pub n_pending: usize,
}

/// The busiest, at most so many of them.
pub fn busiest<T>(mut all: Vec<Busy<T>>, most: usize) -> Vec<Busy<T>> {
    all.sort_by_key(|busy| std::cmp::Reverse(busy.n_pending));
    all.truncate(most);
    all
}
