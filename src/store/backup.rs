//! Reads a store for a backup, while turns go on being written.
//!
//! A backup holds every turn that was acknowledged before it began and no
//! later one, none of them by half, and all other rows as they were at that
//! moment. What is deleted while it is read may or may not be in it, and so
//! may a message that an import puts back into a turn.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use parlor_schemas::{SessionKey, Timestamp};

use super::answers;
use super::error::StoreError;
use super::export::{first, walk};
use super::history::History;
use super::keys::{self, TurnPlace};
use super::mark::Mark;
use super::queue::Job;
use super::rows;

/// Rows of other trees that one page takes, and their bytes.
const ROWS_A_PAGE: usize = 256;
const BYTES_A_PAGE: usize = 1 << 20;

/// Something to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupItem {
    /// A row as it lies in its tree.
    Row {
        /// Name of the tree.
        tree: String,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// A turn. Turns come by conversation, in their order.
    Turn {
        /// The conversation.
        key: SessionKey,
        /// Place in it.
        seq: u64,
        /// The record's bytes, whose checksum was right.
        record: Vec<u8>,
        /// The bytes of the answer that is remembered for its `Idempotency-Key`.
        answer: Option<Vec<u8>>,
    },
}

/// A backup that is being read.
#[derive(Debug)]
pub struct Backup {
    history: History,
    mark: Arc<Mark>,
    /// The trees that are left; the first one was read up to a key.
    trees: VecDeque<Arc<str>>,
    after: Option<Vec<u8>>,
    at: Option<TurnPlace>,
    n_damaged: u64,
}

impl History {
    /// Notes this moment as the one that a backup is of.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub async fn begin_backup(&self) -> Result<Backup, StoreError> {
        let mark = Arc::new(Mark::default());
        self.queue.ask(Job::Mark(mark.clone())).await?;
        let (trees, at) = (mark.trees().into(), mark.last_ordinal().map(|_| first(0)));
        Ok(Backup { history: self.clone(), mark, trees, after: None, at, n_damaged: 0 })
    }
}

impl Backup {
    /// The next items, possibly none of them; `None` at the end.
    ///
    /// # Errors
    /// Those of reading, but not a damaged record: that is counted.
    pub async fn next(&mut self) -> Result<Option<Vec<BackupItem>>, StoreError> {
        if let Some(tree) = self.trees.front().cloned() {
            let (mark, after) = (self.mark.clone(), self.after.take());
            let page =
                self.history.blocking(move |history| rows_page(&history, &mark, &tree, after));
            let (items, end) = page.await?;
            if end.is_none() {
                self.trees.pop_front();
            }
            self.after = end;
            return Ok(Some(items));
        }
        let (Some(at), Some(last)) = (self.at, self.mark.last_ordinal()) else { return Ok(None) };
        let mark = self.mark.clone();
        let page = self.history.blocking(move |history| page(&history, &mark, at, last));
        let (items, n_damaged, next) = page.await?;
        self.at = next;
        self.n_damaged += n_damaged;
        Ok(Some(items))
    }

    /// Turns so far that could not be kept because they are damaged.
    pub fn n_damaged(&self) -> u64 {
        self.n_damaged
    }
}

/// One page of a tree as it was at the mark, and where it ends, unless that is
/// the tree's end.
fn rows_page(
    history: &History,
    mark: &Mark,
    tree: &Arc<str>,
    after: Option<Vec<u8>>,
) -> Result<(Vec<BackupItem>, Option<Vec<u8>>), StoreError> {
    let low = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let (mut rows, mut n_bytes, mut end) = (BTreeMap::new(), 0, None);
    for row in history.disk.tree(tree)?.range::<&[u8], _>((low, Bound::Unbounded)) {
        let (key, value) = row.map_err(StoreError::read)?;
        n_bytes += key.len() + value.len();
        rows.insert(key.to_vec(), value);
        if rows.len() == ROWS_A_PAGE || n_bytes >= BYTES_A_PAGE {
            end = Some(key.to_vec());
            break;
        }
    }
    for (key, old) in mark.take_before(tree, after.as_deref(), end.as_deref()) {
        match old {
            Some(value) => _ = rows.insert(key, value),
            None => _ = rows.remove(&key),
        }
    }
    let item = |(key, value): (Vec<u8>, sled::IVec)| BackupItem::Row {
        tree: tree.to_string(),
        key,
        value: value.to_vec(),
    };
    Ok((rows.into_iter().map(item).collect(), end))
}

type Page = (Vec<BackupItem>, u64, Option<TurnPlace>);

fn page(history: &History, mark: &Mark, at: TurnPlace, last: u64) -> Result<Page, StoreError> {
    let (tree, now) = (history.tree()?, Timestamp::now());
    let (mut items, mut n_damaged) = (Vec::new(), 0);
    let is_kept =
        |ordinal: u64, key: &SessionKey| !history.deletions.is_buried(&key.chatflow, ordinal);
    let next = walk(&tree, at, last, is_kept, |key, place, head| {
        // Asked after the turn was met, so that no later one slips through.
        if !mark.holds(place) {
            return Ok(0);
        }
        match record(&tree, place, head) {
            Ok(None) => {}
            Ok(Some(record)) => {
                let answer = answers::of_turn(&tree, place, &record, now)?;
                let n_bytes = record.len() + answer.as_ref().map_or(0, Vec::len);
                items.push(BackupItem::Turn { key: key.clone(), seq: place.seq, record, answer });
                return Ok(n_bytes);
            }
            Err(StoreError::DamagedRecord { .. }) => n_damaged += 1,
            Err(other) => return Err(other),
        }
        Ok(0)
    })?;
    Ok((items, n_damaged, next))
}

/// A turn's bytes. One that lost or got a message between the reading of its
/// parts is whole when it is read anew; one that is gone then is deleted.
pub(super) fn record(
    tree: &sled::Tree,
    place: TurnPlace,
    head: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut head = sled::IVec::from(head);
    loop {
        match rows::payload(tree, place, &head) {
            Err(StoreError::DamagedRecord { what, why }) => {
                match tree.get(keys::turn(place)).map_err(StoreError::read)? {
                    None => return Ok(None),
                    Some(now) if now == head => {
                        return Err(StoreError::DamagedRecord { what, why });
                    }
                    Some(now) => head = now,
                }
            }
            other => return other.map(Some),
        }
    }
}
