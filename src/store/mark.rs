//! Points in time that a backup reads the store at. The database knows no
//! snapshots, so the writer tells each mark what comes after it: which turns,
//! and what other rows were before they changed. So nothing is copied at the
//! mark, and a reader takes as long as it likes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::commit::{Committer, Group};
use super::error::StoreError;
use super::keys::TurnPlace;
use super::queue::{Job, Reply};
use super::rows::Changes;
use super::{HISTORY, META};

/// A row of another tree than the history's, by the tree's name and the key.
type RowPlace = (Arc<str>, Vec<u8>);

/// Rows as they were; `None` where there was none.
pub(super) type Before = Vec<(Vec<u8>, Option<sled::IVec>)>;

/// One point in time. It costs nothing any more when its last holder drops it.
#[derive(Debug, Default)]
pub(super) struct Mark(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    next_ordinal: u64,
    /// Conversations that went on since: the first turn that does not count.
    later: HashMap<u64, u64>,
    /// The other trees there were, in the order in which they are read.
    trees: Vec<Arc<str>>,
    /// Rows that changed since and were not read yet.
    before: BTreeMap<RowPlace, Option<sled::IVec>>,
    /// The tree that is being read, and the last key that was, or none where
    /// all were: what these rows were matters no more.
    read: Option<(Arc<str>, Option<Vec<u8>>)>,
}

impl Mark {
    /// Whether a turn that was met in the tree was there at the mark.
    pub fn holds(&self, place: TurnPlace) -> bool {
        let noted = self.lock();
        place.ordinal < noted.next_ordinal
            && noted.later.get(&place.ordinal).is_none_or(|first| place.seq < *first)
    }

    /// The last conversation there was, or `None` before the first.
    pub fn last_ordinal(&self) -> Option<u64> {
        self.lock().next_ordinal.checked_sub(1)
    }

    /// The trees there were, but for the history, in order.
    pub fn trees(&self) -> Vec<Arc<str>> {
        self.lock().trees.clone()
    }

    /// What rows of a tree were that changed since the mark, after `low` and up
    /// to `high`, or to the tree's end. Ask after these rows were met: what
    /// changed before they were met is known then. It is told once only.
    pub fn take_before(&self, tree: &Arc<str>, low: Option<&[u8]>, high: Option<&[u8]>) -> Before {
        let noted = &mut *self.lock();
        let place = |key: &[u8]| (tree.clone(), key.to_vec());
        let is_in = |(own, key): &RowPlace| {
            own == tree
                && low.is_none_or(|low| low < key.as_slice())
                && high.is_none_or(|high| key.as_slice() <= high)
        };
        let from = low.map_or(Bound::Included(place(&[])), |low| Bound::Excluded(place(low)));
        let met = noted.before.range((from, Bound::Unbounded)).map(|(place, _)| place.clone());
        let met: Vec<RowPlace> = met.take_while(is_in).collect();
        noted.read = Some((tree.clone(), high.map(<[u8]>::to_vec)));
        let take = |place: RowPlace| {
            let old = noted.before.remove(&place)?;
            Some((place.1, old))
        };
        met.into_iter().filter_map(take).collect()
    }

    /// Notes what a row was, unless that is known or was read already.
    fn keep(&self, place: &RowPlace, old: Option<&sled::IVec>) {
        let mut noted = self.lock();
        if !noted.was_read(place) && !noted.before.contains_key(place) {
            noted.before.insert(place.clone(), old.cloned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn was_read(&self, (tree, key): &RowPlace) -> bool {
        let Some((reading, last)) = &self.read else { return false };
        tree < reading || (tree == reading && last.as_ref().is_none_or(|last| key <= last))
    }
}

/// The marks that somebody still reads at.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Weak<Mark>>);

impl Marks {
    /// Tells the marks of a turn before it is written.
    pub fn note(&mut self, place: TurnPlace) {
        self.0.retain(|mark| {
            let Some(mark) = mark.upgrade() else { return false };
            mark.lock().later.entry(place.ordinal).or_insert(place.seq);
            true
        });
    }

    /// Tells the marks what rows of another tree are, before they change.
    ///
    /// # Errors
    /// Those of reading.
    pub fn keep(&mut self, tree: &sled::Tree, changes: &Changes) -> Result<(), StoreError> {
        self.0.retain(|mark| mark.strong_count() > 0);
        if self.0.is_empty() {
            return Ok(());
        }
        let name: Arc<str> = String::from_utf8_lossy(&tree.name()).into();
        for (key, _) in changes {
            let old = tree.get(key).map_err(StoreError::read)?;
            let place = (name.clone(), key.clone());
            let marks = self.0.iter().filter_map(Weak::upgrade);
            marks.for_each(|mark| mark.keep(&place, old.as_ref()));
        }
        Ok(())
    }
}

impl Committer {
    /// Does a job that looks at the tree. An error is a failed write.
    pub fn apply_whole(
        &mut self,
        tree: &sled::Tree,
        job: &Job,
        reply: Reply,
        group: &mut Group,
    ) -> Result<(), StoreError> {
        let answer = match job {
            Job::Import(turns) => self.import(tree, turns, &mut group.appended)?,
            Job::ForgetAnswers(up_to) => self.forget_answers(tree, *up_to)?,
            Job::Mark(mark) => self.mark(mark).map(|()| 0),
            _ => Ok(0),
        };
        match answer {
            Ok(_) => group.applied.push((reply, answer)),
            Err(_) => reply.send(answer),
        }
        Ok(())
    }

    fn mark(&mut self, mark: &Arc<Mark>) -> Result<(), StoreError> {
        let Some(ledger) = &self.ledger else { return Err(StoreError::Recovering) };
        let names = self.disk.tree_names()?.into_iter();
        let names = names.filter(|name| name != HISTORY && name != META);
        let mut trees: Vec<Arc<str>> = names.map(Into::into).collect();
        trees.sort();
        *mark.lock() = Noted { next_ordinal: ledger.next_ordinal(), trees, ..Noted::default() };
        self.marks.0.push(Arc::downgrade(mark));
        Ok(())
    }
}
