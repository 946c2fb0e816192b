//! The turns of each chat that run or wait, so that a person can stop their
//! own. A chat's turn is not stored yet and its session may have another name,
//! so neither the store nor a session's actor could find it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlor_schemas::{ChatId, ChatflowId};
use tokio_util::sync::CancellationToken;

/// Every turn enters and leaves, so one lock for all of them would be felt.
const N_STRIPES: usize = 16;

type ChatKey = (ChatflowId, ChatId);
type Tokens = HashMap<ChatKey, Vec<(u64, CancellationToken)>>;

/// Cancellation tokens of pending turns, by chat.
#[derive(Default)]
pub(crate) struct RunningTurns {
    stripes: [Mutex<Tokens>; N_STRIPES],
    hasher: RandomState,
    next_number: AtomicU64,
}

impl RunningTurns {
    /// Notes a turn until the entry is dropped.
    pub(crate) fn enter(self: &Arc<Self>, chat: ChatKey, cancel: CancellationToken) -> Entry {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        self.stripe(&chat).entry(chat.clone()).or_default().push((number, cancel));
        Entry { turns: self.clone(), chat, number }
    }

    /// Cancels the turns of a chat; says whether there was one. A chat that
    /// does not exist takes as long as one that is silent.
    pub(crate) fn abort(&self, chat: &ChatKey) -> bool {
        let tokens = self.stripe(chat).get(chat).cloned().unwrap_or_default();
        // Outside the lock: a cancelled turn may leave while it is told.
        tokens.iter().for_each(|(_, cancel)| cancel.cancel());
        !tokens.is_empty()
    }

    /// Cancels all turns.
    pub(crate) fn abort_all(&self) {
        for stripe in &self.stripes {
            let tokens: Vec<_> = {
                let stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
                stripe.values().flatten().map(|(_, cancel)| cancel.clone()).collect()
            };
            tokens.iter().for_each(CancellationToken::cancel);
        }
    }

    fn leave(&self, chat: &ChatKey, number: u64) {
        let mut tokens = self.stripe(chat);
        let Some(of_chat) = tokens.get_mut(chat) else { return };
        of_chat.retain(|(other, _)| *other != number);
        if of_chat.is_empty() {
            tokens.remove(chat);
        }
    }

    fn stripe(&self, chat: &ChatKey) -> MutexGuard<'_, Tokens> {
        let at = self.hasher.hash_one(chat) as usize % N_STRIPES;
        self.stripes[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn's place among its chat's.
pub(crate) struct Entry {
    turns: Arc<RunningTurns>,
    chat: ChatKey,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.turns.leave(&self.chat, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(flow: u8, id: &str) -> ChatKey {
        (ChatflowId::from_bytes([flow; 16]), ChatId::parse(id).unwrap())
    }

    #[test]
    fn a_chat_is_aborted_whole_and_no_neighbour_with_it() {
        let turns = Arc::new(RunningTurns::default());
        let chats = [chat(1, "c"), chat(1, "c"), chat(1, "c1"), chat(2, "c")];
        let tokens = chats.clone().map(|_| CancellationToken::new());
        let _entries: Vec<_> =
            (0..4).map(|n| turns.enter(chats[n].clone(), tokens[n].clone())).collect();
        assert!(turns.abort(&chats[0]));
        let cancelled: Vec<_> = tokens.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(cancelled, [true, true, false, false]);
    }

    #[test]
    fn aborting_all_reaches_every_chat() {
        let turns = Arc::new(RunningTurns::default());
        let tokens: Vec<_> = (0..40).map(|_| CancellationToken::new()).collect();
        let enter = |(n, token): (u8, &CancellationToken)| turns.enter(chat(n, "c"), token.clone());
        let _entries: Vec<_> = (0..).zip(&tokens).map(enter).collect();
        turns.abort_all();
        assert!(tokens.iter().all(CancellationToken::is_cancelled));
    }

    #[test]
    fn a_turn_that_ended_is_forgotten_and_its_companion_is_not() {
        let turns = Arc::new(RunningTurns::default());
        let first = turns.enter(chat(1, "c"), CancellationToken::new());
        let second = turns.enter(chat(1, "c"), CancellationToken::new());
        drop(first);
        assert!(turns.abort(&chat(1, "c")));
        drop(second);
        assert!(!turns.abort(&chat(1, "c")));
        assert!(turns.stripes.iter().all(|stripe| stripe.lock().unwrap().is_empty()));
    }
}
