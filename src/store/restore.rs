//! Makes a new store from what a backup holds. The indexes are made anew, so
//! that a damaged one does not come back. The format is written last: what an
//! interrupted restore left is never taken for a store.

use std::path::Path;

use parlor_schemas::{Halves, SessionKey};

use super::answer_keys::AnswerPlace;
use super::answers;
use super::backup::BackupItem;
use super::disk::Disk;
use super::error::StoreError;
use super::keys::{self, TurnPlace};
use super::lock::FolderLock;
use super::record;
use super::rows::{self, Changes};
use super::runs;
use super::{HISTORY, META, note_format};

/// Changes of one batch (see the writer's figure).
const CHANGES_A_BATCH: usize = 128;

/// Bytes of pages that sled may keep meanwhile.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// A store that is being made.
#[derive(Debug)]
pub struct Restore {
    disk: Disk,
    changes: Changes,
    next_ordinal: u64,
    conversation: Option<(SessionKey, u64)>,
    _lock: FolderLock,
}

impl Restore {
    /// Begins in a folder that is missing or empty.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], and those of opening a store.
    pub fn begin(data_dir: &Path) -> Result<Self, StoreError> {
        if data_dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(StoreError::NotEmpty);
        }
        let mut lock = FolderLock::take(data_dir)?;
        lock.note_store_made()?;
        let disk = Disk::open(data_dir.join("sled"), CACHE_BYTES)?;
        let (changes, conversation) = (Vec::new(), None);
        Ok(Self { disk, changes, next_ordinal: 0, conversation, _lock: lock })
    }

    /// Puts one item in. The turns of a conversation must come together and
    /// in their order.
    ///
    /// # Errors
    /// Those of writing; [`StoreError::DamagedRecord`].
    pub fn put(&mut self, item: BackupItem) -> Result<(), StoreError> {
        match item {
            BackupItem::Row { tree, .. } if tree == HISTORY || tree == META => {
                let what = format!("a row of {tree} in the backup");
                Err(StoreError::DamagedRecord { what, why: "no backup holds such rows" })
            }
            BackupItem::Row { tree, key, value } => {
                let tree = self.disk.tree(&tree)?;
                tree.insert(key, value).map(drop).map_err(StoreError::read)
            }
            BackupItem::Turn { key, seq, record, answer } => {
                self.put_turn(key, seq, &record, answer.as_deref())
            }
        }
    }

    fn put_turn(
        &mut self,
        key: SessionKey,
        seq: u64,
        record: &[u8],
        answer: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let damaged = |why| StoreError::DamagedRecord {
            what: format!("turn {seq} of session {} in the backup", key.session),
            why,
        };
        let record = record::decode(record).map_err(damaged)?;
        let unreadable = || damaged("its remembered answer cannot be read");
        let answer =
            answer.map(|bytes| answers::decode(bytes).ok_or_else(unreadable)).transpose()?;
        let ordinal = match &self.conversation {
            Some((current, ordinal)) if *current == key => *ordinal,
            _ => self.begin_conversation(&key),
        };
        let place = TurnPlace { ordinal, seq };
        self.changes.extend(rows::added(&key.chatflow, place, record.halves, &record.body)?);
        if let Some(answer) = answer {
            let at = AnswerPlace::of(place, &record.body);
            self.changes.extend(answers::added(at, &answer)?);
        }
        if record.halves != Halves::NONE {
            self.changes.extend(rows::chat_entry(&key, &record.body.chat_id, ordinal));
        }
        self.conversation = Some((key, ordinal));
        if self.changes.len() < CHANGES_A_BATCH { Ok(()) } else { self.write() }
    }

    fn begin_conversation(&mut self, key: &SessionKey) -> u64 {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        self.changes.push((keys::session(key), Some(keys::session_value(ordinal))));
        self.changes.push((keys::owner(ordinal), Some(keys::owner_value(key))));
        ordinal
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let tree = self.disk.tree(HISTORY)?;
        let changes = runs::gather(&tree, std::mem::take(&mut self.changes))?;
        tree.apply_batch(rows::batch(changes)).map_err(StoreError::read)
    }

    /// Finishes: from here on the folder holds a store.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let counter = self.next_ordinal.to_be_bytes().to_vec();
        self.changes.push((keys::NEXT_ORDINAL.to_vec(), Some(counter)));
        self.write()?;
        self.disk.sync()?;
        note_format(&self.disk)
    }
}
