//! What is deleted but not yet swept, and how often a chatflow's history was
//! cleared. The writer changes it; every reader asks it.
//!
//! Sweeping a long history takes minutes, but deleted means deleted at once:
//! a grave hides its conversations from the moment it is dug.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use parlor_schemas::ChatflowId;

use super::error::StoreError;
use super::keys::{self, Grave};

/// Graves and epochs by chatflow.
#[derive(Debug, Default)]
pub(super) struct Deletions(RwLock<HashMap<ChatflowId, OfChatflow>>);

#[derive(Debug, Default)]
struct OfChatflow {
    epoch: u64,
    graves: Vec<Grave>,
}

impl Deletions {
    /// Counts the times that the chatflow's history was cleared since the start.
    pub fn epoch(&self, chatflow: &ChatflowId) -> u64 {
        self.read().get(chatflow).map_or(0, |of| of.epoch)
    }

    /// Turns that began before this moment may not be stored after it.
    pub fn next_epoch(&self, chatflow: ChatflowId) {
        self.write().entry(chatflow).or_default().epoch += 1;
    }

    /// Whether a conversation is deleted.
    pub fn is_buried(&self, chatflow: &ChatflowId, ordinal: u64) -> bool {
        let covers = |grave: &Grave| match *grave {
            Grave::One(one) => one == ordinal,
            Grave::Below(bound) => ordinal < bound,
        };
        self.read().get(chatflow).is_some_and(|of| of.graves.iter().any(covers))
    }

    /// Whether a conversation of an unknown chatflow may be deleted: its owner
    /// is swept before the last of its turns.
    pub fn may_be_buried(&self, ordinal: u64) -> bool {
        let all = self.read();
        all.values().flat_map(|of| &of.graves).any(|grave| match *grave {
            Grave::One(one) => one == ordinal,
            Grave::Below(bound) => ordinal < bound,
        })
    }

    pub fn bury(&self, chatflow: ChatflowId, grave: Grave) {
        self.write().entry(chatflow).or_default().graves.push(grave);
    }

    /// The grave is swept: nothing of it is left to hide.
    pub fn forget_grave(&self, chatflow: &ChatflowId, grave: Grave) {
        let mut all = self.write();
        let Some(of) = all.get_mut(chatflow) else { return };
        if let Some(at) = of.graves.iter().position(|other| *other == grave) {
            of.graves.swap_remove(at);
        }
        // Only chatflows that were cleared keep a place in memory.
        if of.graves.is_empty() && of.epoch == 0 {
            all.remove(chatflow);
        }
    }

    /// Takes the graves as the disk has them, and returns them.
    pub fn reload(&self, tree: &sled::Tree) -> Result<Vec<(ChatflowId, Grave)>, StoreError> {
        let found: Result<Vec<_>, _> = tree.scan_prefix(keys::GRAVES).keys().collect();
        let found = found.map_err(StoreError::read)?;
        let graves: Vec<_> = found.iter().filter_map(|key| keys::grave_of(key)).collect();
        let mut all = self.write();
        all.values_mut().for_each(|of| of.graves.clear());
        for (chatflow, grave) in &graves {
            all.entry(*chatflow).or_default().graves.push(*grave);
        }
        Ok(graves)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<ChatflowId, OfChatflow>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ChatflowId, OfChatflow>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grave_hides_exactly_what_it_names_until_it_is_swept() {
        let deletions = Deletions::default();
        let (one, other) = (ChatflowId::random(), ChatflowId::random());
        deletions.bury(one, Grave::Below(5));
        deletions.bury(one, Grave::One(9));
        let buried: Vec<_> = (0..12).filter(|n| deletions.is_buried(&one, *n)).collect();
        assert_eq!(buried, [0, 1, 2, 3, 4, 9]);
        assert!(!deletions.is_buried(&other, 1));
        deletions.forget_grave(&one, Grave::Below(5));
        assert!(!deletions.is_buried(&one, 1) && deletions.is_buried(&one, 9));
    }
}
