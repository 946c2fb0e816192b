//! How many turns are taken on: of the whole server, of a chatflow, of an API
//! key. The only place where they are counted. What was counted is given back
//! by drop, so neither a caller who leaves nor a panic can keep a place.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlor_schemas::ChatflowId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::handle::Limits;

/// Every turn enters and leaves, so one lock for all of them would be felt.
const N_STRIPES: usize = 16;

/// Turns that a late server may have, streams aside: more than a thousand callers who ask at
/// once, and a fraction of a second's work.
const LATE_TURNS: usize = 1_024;

/// Whose limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Server,
    Chatflow,
    Key,
}

/// The turns that were admitted and have not left.
pub(crate) struct Admission {
    limits: Limits,
    permits: Arc<Semaphore>,
    chatflows: Arc<Shares<ChatflowId>>,
    keys: Arc<Shares<Arc<str>>>,
    /// One more reference for each turn that is answered in one piece.
    whole: Arc<()>,
}

/// The place of one turn.
pub(crate) struct TurnPermit {
    _permit: OwnedSemaphorePermit,
    _of_chatflow: Share<ChatflowId>,
    _of_key: Option<Share<Arc<str>>>,
    _whole: Option<Arc<()>>,
}

/// What is asked for.
pub(crate) struct Wish {
    pub(crate) chatflow: ChatflowId,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) is_streamed: bool,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        let permits = Arc::new(Semaphore::new(limits.max_turns));
        Self {
            limits,
            permits,
            chatflows: Arc::default(),
            keys: Arc::default(),
            whole: Arc::default(),
        }
    }

    /// Takes a place for a turn, or none at all. A late server takes fewer. Streams are left
    /// out of that: they go on at their models' pace, and gather while they wait.
    pub(crate) fn admit(&self, wish: Wish, is_late: bool) -> Result<TurnPermit, Refusal> {
        let Wish { chatflow, key, is_streamed } = wish;
        let n_whole = Arc::strong_count(&self.whole) - 1;
        if is_late && !is_streamed && n_whole >= LATE_TURNS {
            return Err(Refusal::Server);
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Refusal::Server)?;
        let of_chatflow = self.chatflows.enter(chatflow, self.limits.max_chatflow_turns);
        let of_chatflow = of_chatflow.ok_or(Refusal::Chatflow)?;
        let of_key = match key {
            None => None,
            Some(key) => Some(self.keys.enter(key, self.limits.max_key_turns).ok_or(Refusal::Key)?),
        };
        let whole = (!is_streamed).then(|| self.whole.clone());
        Ok(TurnPermit {
            _permit: permit,
            _of_chatflow: of_chatflow,
            _of_key: of_key,
            _whole: whole,
        })
    }

    /// Turns that were admitted and have not left.
    pub(crate) fn n_admitted(&self) -> usize {
        self.limits.max_turns.saturating_sub(self.permits.available_permits())
    }

    /// Chatflows and keys that have such turns.
    pub(crate) fn n_sharers(&self) -> usize {
        self.chatflows.len() + self.keys.len()
    }
}

/// Counts by owner. Who has none is not kept, so there are never more entries
/// than turns.
struct Shares<K> {
    stripes: [Mutex<HashMap<K, usize>>; N_STRIPES],
    hasher: RandomState,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self { stripes: Default::default(), hasher: RandomState::new() }
    }
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// One more, unless the owner has `most` already.
    fn enter(self: &Arc<Self>, owner: K, most: usize) -> Option<Share<K>> {
        let mut counts = self.stripe(&owner);
        let n_before = counts.get(&owner).copied().unwrap_or_default();
        if n_before >= most {
            return None;
        }
        counts.insert(owner.clone(), n_before + 1);
        drop(counts);
        Some(Share { shares: self.clone(), owner })
    }

    fn leave(&self, owner: &K) {
        let mut counts = self.stripe(owner);
        match counts.get_mut(owner) {
            Some(count @ 2..) => *count -= 1,
            _ => drop(counts.remove(owner)),
        }
    }

    fn len(&self) -> usize {
        let len = |stripe: &Mutex<HashMap<K, usize>>| {
            stripe.lock().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.stripes.iter().map(len).sum()
    }

    fn stripe(&self, owner: &K) -> MutexGuard<'_, HashMap<K, usize>> {
        let at = self.hasher.hash_one(owner) as usize % N_STRIPES;
        self.stripes[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One turn among its owner's.
struct Share<K: Hash + Eq + Clone> {
    shares: Arc<Shares<K>>,
    owner: K,
}

impl<K: Hash + Eq + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        self.shares.leave(&self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max_turns: usize, max_chatflow_turns: usize, max_key_turns: usize) -> Admission {
        let limits = Limits { max_turns, max_chatflow_turns, max_key_turns, ..Limits::default() };
        Admission::new(limits)
    }

    fn chatflow(n: u8) -> ChatflowId {
        ChatflowId::from_bytes([n; 16])
    }

    fn wish(chatflow: ChatflowId, key: Option<Arc<str>>) -> Wish {
        Wish { chatflow, key, is_streamed: false }
    }

    fn key(name: &str) -> Option<Arc<str>> {
        Some(name.into())
    }

    #[test]
    fn a_refused_turn_takes_no_place_anywhere() {
        let admission = admission(3, 2, 1);
        let first = admission.admit(wish(chatflow(1), key("a")), false).unwrap();
        assert_eq!(admission.admit(wish(chatflow(2), key("a")), false).err(), Some(Refusal::Key));
        let second = admission.admit(wish(chatflow(1), key("b")), false).unwrap();
        assert_eq!(admission.admit(wish(chatflow(1), None), false).err(), Some(Refusal::Chatflow));
        assert_eq!((admission.n_admitted(), admission.n_sharers()), (2, 3));
        let third = admission.admit(wish(chatflow(2), None), false).unwrap();
        assert_eq!(
            admission.admit(wish(chatflow(3), key("c")), false).err(),
            Some(Refusal::Server)
        );
        drop((first, second, third));
        assert_eq!((admission.n_admitted(), admission.n_sharers()), (0, 0));
    }

    #[test]
    fn a_late_server_takes_a_part_of_its_turns() {
        let limits = Limits { max_turns: 2_000, ..Limits::default() };
        let admission = Admission::new(limits);
        let admit = |is_late| admission.admit(wish(chatflow(1), None), is_late);
        let places: Vec<_> = (0..LATE_TURNS).map(|_| admit(true).unwrap()).collect();
        assert_eq!(admit(true).err(), Some(Refusal::Server));
        assert!(admit(false).is_ok());
        let stream = Wish { is_streamed: true, ..wish(chatflow(1), None) };
        assert!(admission.admit(stream, true).is_ok());
        drop(places);
        assert!(admit(true).is_ok());
    }

    #[test]
    fn threads_that_come_and_go_leave_nothing_behind() {
        let admission = admission(64, 3, 2);
        std::thread::scope(|scope| {
            for n in 0..8_u8 {
                let admission = &admission;
                scope.spawn(move || {
                    for round in 0..1_000 {
                        let named = key(if round % 2 == 0 { "a" } else { "b" });
                        let permit = admission.admit(wish(chatflow(n % 3), named), false);
                        assert!(admission.n_sharers() <= 5);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!((admission.n_admitted(), admission.n_sharers()), (0, 0));
    }
}
