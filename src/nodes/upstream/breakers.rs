//! Circuit breakers: an address whose calls mostly fail is not called for a
//! while. The address that is called is all that counts: whose key it was, or
//! whose chatflow, is not part of it. What is kept is bounded, whatever
//! addresses come.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::circuit::{Admitted, Circuit};

const N_SHARDS: usize = 16;
/// Addresses of one shard; the one that was called longest ago is forgotten.
const MOST_IN_SHARD: usize = 64;

/// The breakers of a server.
#[derive(Debug)]
pub struct Breakers {
    /// How long an address is left alone at first.
    first: Duration,
    shards: [Mutex<Vec<Known>>; N_SHARDS],
    /// Random, so that nobody can choose addresses that fall into one shard.
    hasher: RandomState,
    n_refused: AtomicU64,
}

/// An address that was called.
#[derive(Debug)]
struct Known {
    hash: u64,
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
    last_called: Instant,
    circuit: Arc<Mutex<Circuit>>,
}

/// A call that is let through, until it is known how it went. Dropped before
/// that, it says nothing of its address.
#[derive(Debug)]
pub(crate) struct Passage {
    circuit: Arc<Mutex<Circuit>>,
    admitted: Admitted,
    first: Duration,
    is_over: bool,
}

impl Breakers {
    /// Breakers that leave an address alone for so long at first.
    pub fn new(first: Duration) -> Self {
        Self {
            first,
            shards: Default::default(),
            hasher: RandomState::new(),
            n_refused: AtomicU64::new(0),
        }
    }

    /// Addresses whose calls are refused now.
    pub fn n_open(&self) -> usize {
        let now = Instant::now();
        let open = |known: &Known| lock(&known.circuit).is_open(now);
        let in_shard =
            |shard: &Mutex<Vec<Known>>| lock(shard).iter().filter(|known| open(known)).count();
        self.shards.iter().map(in_shard).sum()
    }

    /// Calls that were refused since the start.
    pub fn n_refused(&self) -> u64 {
        self.n_refused.load(Ordering::Relaxed)
    }

    /// Lets a call through, or says in how many seconds to try again.
    pub(crate) fn admit(&self, url: &Url, now: Instant) -> Result<Passage, u64> {
        let circuit = self.circuit(url, now);
        let admitted = lock(&circuit).admit(now).map_err(|wait| {
            self.n_refused.fetch_add(1, Ordering::Relaxed);
            // Rounded up: who comes back early is refused again.
            (wait.as_secs_f64().ceil() as u64).max(1)
        })?;
        Ok(Passage { circuit, admitted, first: self.first, is_over: false })
    }

    /// Nothing is allocated for an address that is known.
    fn circuit(&self, url: &Url, now: Instant) -> Arc<Mutex<Circuit>> {
        let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
        let port = url.port_or_known_default();
        let hash = self.hasher.hash_one((scheme, host, port));
        // The remainder is below 16.
        let place = usize::try_from(hash % N_SHARDS as u64).unwrap_or_default();
        let mut shard = lock(&self.shards[place]);
        let found = shard.iter_mut().find(|known| {
            known.hash == hash
                && *known.host == *host
                && *known.scheme == *scheme
                && known.port == port
        });
        if let Some(known) = found {
            known.last_called = now;
            return known.circuit.clone();
        }
        if shard.len() >= MOST_IN_SHARD {
            forget_oldest(&mut shard);
        }
        let circuit = Arc::new(Mutex::new(Circuit::new(now)));
        shard.push(Known {
            hash,
            scheme: scheme.into(),
            host: host.into(),
            port,
            last_called: now,
            circuit: circuit.clone(),
        });
        circuit
    }
}

fn forget_oldest(shard: &mut Vec<Known>) {
    let oldest = shard.iter().enumerate().min_by_key(|(_, known)| known.last_called);
    if let Some((place, _)) = oldest {
        shard.swap_remove(place);
    }
}

impl Passage {
    /// The head of an answer came.
    pub(crate) fn answered(&mut self) {
        lock(&self.circuit).answered(&mut self.admitted);
    }

    /// An answer came whole.
    pub(crate) fn succeeded(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            lock(&self.circuit).succeeded(self.admitted, Instant::now());
        }
    }

    /// The address failed; `random` is from 0 to 1. Says whether it is left
    /// alone from now on.
    pub(crate) fn failed(&mut self, random: f64) -> bool {
        if std::mem::replace(&mut self.is_over, true) {
            return false;
        }
        lock(&self.circuit).failed(self.admitted, Instant::now(), self.first, random)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.circuit).abandoned(self.admitted, Instant::now());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(5);

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn fail(breakers: &Breakers, address: &Url, n_calls: usize) {
        for _ in 0..n_calls {
            if let Ok(mut passage) = breakers.admit(address, Instant::now()) {
                passage.failed(0.0);
            }
        }
    }

    #[test]
    fn an_address_that_fails_is_refused_and_its_neighbours_are_not() {
        let breakers = Breakers::new(FIRST);
        fail(&breakers, &url("https://a.example/v1/chat?key=1"), 25);
        let now = Instant::now();
        let wait_s = breakers.admit(&url("https://a.example:443/other"), now).unwrap_err();
        assert!((1..=5).contains(&wait_s), "{wait_s}");
        for other in ["http://a.example", "https://b.example", "https://a.example:8443"] {
            assert!(breakers.admit(&url(other), now).is_ok(), "{other}");
        }
        assert_eq!((breakers.n_open(), breakers.n_refused()), (1, 6));
    }

    #[test]
    fn calls_whose_callers_left_open_nothing() {
        let breakers = Breakers::new(FIRST);
        let address = url("https://a.example");
        for _ in 0..100 {
            drop(breakers.admit(&address, Instant::now()).unwrap());
        }
        fail(&breakers, &address, 19);
        assert_eq!(breakers.n_open(), 0);
    }

    #[test]
    fn a_flood_of_addresses_keeps_the_table_bounded_and_what_is_called_stays() {
        let breakers = Breakers::new(Duration::from_secs(60));
        let address = url("https://a.example");
        fail(&breakers, &address, 20);
        let begun = Instant::now();
        for n in 0..10_000_u32 {
            // Each a moment after the other, whatever the clock can tell apart.
            let now = begun + Duration::from_micros(u64::from(n));
            let _ = breakers.admit(&url(&format!("https://{n}.example")), now);
            let _ = breakers.admit(&address, now);
        }
        let n_known: usize = breakers.shards.iter().map(|shard| lock(shard).len()).sum();
        assert_eq!(n_known, N_SHARDS * MOST_IN_SHARD);
        assert_eq!(breakers.n_open(), 1, "who keeps failing was forgotten in the flood");
    }
}
