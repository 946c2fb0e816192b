//! The writer after a failed write. sled takes no more writes then, and its
//! memory shows what the disk may not hold, so the database is closed and
//! opened anew. A turn of the failed group may have reached the disk all the
//! same: it is a *suspect*, removed before anything else is done, because its
//! caller was told that it is not stored.

use std::time::Instant;

use parlor_schemas::SessionKey;
use uuid::Uuid;

use super::HISTORY;
use super::answer_keys::AnswerPlace;
use super::answers;
use super::commit::{A_SECOND, Committer};
use super::error::StoreError;
use super::keys::{self, TurnPlace};
use super::ledger::Ledger;
use super::rows::{self, Changes};
use super::sweep::Sweep;

/// A turn that was refused after it may have reached the disk.
#[derive(Debug)]
pub(super) struct Suspect {
    pub key: SessionKey,
    pub seq: u64,
    pub answer_id: Uuid,
}

impl Committer {
    /// Opens the database again where a failed write closed it, and removes
    /// the suspects.
    pub fn recover(&mut self) -> Result<(), StoreError> {
        if self.ledger.is_some() {
            return Ok(());
        }
        // Opening writes too: on a full disk it can only fail.
        if !self.disk.has_room() {
            return Err(StoreError::DiskFull);
        }
        // Opening reads a long log: not for each job that comes meanwhile.
        if self.tried_to_recover.is_some_and(|tried| tried.elapsed() < A_SECOND) {
            return Err(StoreError::Recovering);
        }
        let recovered = self.disk.reopen().and_then(|()| self.load());
        match recovered.and_then(|()| self.remove_suspects()) {
            Ok(()) => {
                tracing::info!("the database is open again after a failed write");
                self.tried_to_recover = None;
                Ok(())
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the database cannot be opened again yet");
                self.close();
                self.tried_to_recover = Some(Instant::now());
                Err(StoreError::Recovering)
            }
        }
    }

    /// Takes the state of the history from the disk.
    pub fn load(&mut self) -> Result<(), StoreError> {
        let tree = self.disk.tree(HISTORY)?;
        let graves = self.deletions.reload(&tree)?;
        let sweep = |(chatflow, grave)| (Sweep::new(chatflow, grave), None);
        self.sweeps = graves.into_iter().map(sweep).collect();
        self.ledger = Some(Ledger::load(&tree, self.deletions.clone())?);
        Ok(())
    }

    fn remove_suspects(&mut self) -> Result<(), StoreError> {
        let tree = self.disk.tree(HISTORY)?;
        let mut changes = Vec::new();
        for suspect in &self.suspects {
            changes.extend(self.without(&tree, suspect)?);
        }
        self.write_history(&tree, changes)?;
        self.sync_if_due(true)?;
        self.suspects.clear();
        Ok(())
    }

    fn without(&self, tree: &sled::Tree, suspect: &Suspect) -> Result<Changes, StoreError> {
        let key = &suspect.key;
        let Some(ordinal) = rows::ordinal_of(tree, &self.deletions, key)? else {
            return Ok(Vec::new());
        };
        let place = TurnPlace { ordinal, seq: suspect.seq };
        match rows::read(tree, place)? {
            Some(record) if record.body.answer_id == suspect.answer_id => {
                let mut changes = rows::removed(&key.chatflow, place, &record);
                changes.extend(answers::removed(tree, AnswerPlace::of(place, &record.body))?);
                if let Some(head) = tree.get(keys::turn(place)).map_err(StoreError::read)? {
                    changes.extend(rows::removed_record(place, &head));
                }
                Ok(changes)
            }
            _ => Ok(Vec::new()),
        }
    }
}
