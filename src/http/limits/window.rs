//! Fixed windows by key in a bounded number of places. Each shard has two
//! generations: when the young one is full, it becomes the old one and the old
//! one is forgotten. So a flood of keys costs a constant time each, and
//! forgets first what was used longest ago.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const N_SHARDS: usize = 16;

/// So many in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub max: u32,
    pub window_s: u32,
}

/// Where somebody stands after a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Hits in one window.
    pub limit: u32,
    /// Hits that are left in this window.
    pub remaining: u32,
    /// Until the window ends.
    pub resets_in: Duration,
    /// Whether this hit was one too many.
    pub is_refused: bool,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    limit: Limit,
    n_hits: u32,
    ends: Instant,
}

/// Windows by key.
#[derive(Debug)]
pub(super) struct Limiter<K> {
    shards: Vec<Mutex<Shard<K>>>,
    /// Random, so that nobody can choose keys that fall into one place.
    hasher: RandomState,
    /// Windows in one generation of one shard.
    most: usize,
}

#[derive(Debug)]
struct Shard<K> {
    young: HashMap<K, Window>,
    old: HashMap<K, Window>,
}

impl<K: Hash + Eq> Limiter<K> {
    /// Room for about so many windows.
    pub fn new(n_windows: usize) -> Self {
        let shard = || Mutex::new(Shard { young: HashMap::new(), old: HashMap::new() });
        Self {
            shards: std::iter::repeat_with(shard).take(N_SHARDS).collect(),
            hasher: RandomState::new(),
            most: (n_windows / N_SHARDS / 2).max(1),
        }
    }

    /// Counts `weight` hits of a key. A window begins with its first hit, and
    /// anew when the limit was changed.
    pub fn hit(&self, key: K, limit: Limit, weight: u32, now: Instant) -> Standing {
        let hash = self.hasher.hash_one(&key);
        // The remainder is below 16.
        let place = usize::try_from(hash % N_SHARDS as u64).unwrap_or_default();
        let mut shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
        let window = shard.window(key, limit, now, self.most);
        let is_refused = window.n_hits >= limit.max;
        window.n_hits = window.n_hits.saturating_add(weight);
        Standing {
            limit: limit.max,
            remaining: limit.max.saturating_sub(window.n_hits),
            resets_in: window.ends.saturating_duration_since(now),
            is_refused,
        }
    }
}

impl<K: Hash + Eq> Shard<K> {
    fn window(&mut self, key: K, limit: Limit, now: Instant, most: usize) -> &mut Window {
        let fresh =
            || Window { limit, n_hits: 0, ends: now + Duration::from_secs(limit.window_s.into()) };
        let is_live = |window: &Window| now < window.ends && window.limit == limit;
        if !self.young.contains_key(&key) {
            let window = self.old.remove(&key).filter(is_live).unwrap_or_else(fresh);
            if self.young.len() >= most {
                self.old = std::mem::take(&mut self.young);
            }
            return self.young.entry(key).or_insert(window);
        }
        let window = self.young.entry(key).or_insert_with(fresh);
        if !is_live(window) {
            *window = fresh();
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_A_MINUTE: Limit = Limit { max: 2, window_s: 60 };

    fn remaining(limiter: &Limiter<u32>, key: u32, now: Instant) -> (u32, bool) {
        let standing = limiter.hit(key, TWO_A_MINUTE, 1, now);
        (standing.remaining, standing.is_refused)
    }

    #[test]
    fn a_window_counts_down_refuses_and_begins_anew_when_it_ends() {
        let limiter = Limiter::new(100);
        let now = Instant::now();
        let answers = [(1, false), (0, false), (0, true), (0, true)];
        assert_eq!([(); 4].map(|()| remaining(&limiter, 1, now)), answers);
        assert_eq!(remaining(&limiter, 2, now), (1, false), "a neighbour pays");
        let almost = now + Duration::from_millis(59_999);
        assert_eq!(limiter.hit(1, TWO_A_MINUTE, 1, almost).resets_in, Duration::from_millis(1));
        assert_eq!(remaining(&limiter, 1, now + Duration::from_secs(60)), (1, false));
    }

    #[test]
    fn a_changed_limit_begins_a_new_window() {
        let limiter = Limiter::new(100);
        let now = Instant::now();
        for left in [1, 0, 0] {
            assert_eq!(remaining(&limiter, 1, now).0, left);
        }
        let other = Limit { max: 5, window_s: 60 };
        assert_eq!(limiter.hit(1, other, 1, now).remaining, 4);
    }

    #[test]
    fn a_flood_of_keys_keeps_the_number_of_windows_bounded() {
        let limiter = Limiter::new(320);
        let now = Instant::now();
        remaining(&limiter, 0, now);
        for key in 1..100_000 {
            remaining(&limiter, key, now);
            if key % 50 == 0 {
                remaining(&limiter, 0, now);
            }
        }
        let sizes = limiter.shards.iter().map(|shard| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        });
        assert!(sizes.sum::<usize>() <= 320);
        assert!(remaining(&limiter, 0, now).1, "who keeps coming was forgotten in the flood");
    }
}
