//! Points in time that a backup reads the store at. The database knows no
//! snapshots, so the writer tells each mark which turns came after it: what a
//! reader meets in the tree and the mark does not know as later was there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::commit::{Committer, Group};
use super::error::StoreError;
use super::keys::TurnPlace;
use super::queue::{Job, Reply};
use super::{HISTORY, META};

/// A row of another tree than the history's.
#[derive(Debug, Clone)]
pub(super) struct TreeRow {
    pub tree: Arc<str>,
    pub key: sled::IVec,
    pub value: sled::IVec,
}

/// One point in time. It costs nothing any more when its last holder drops it.
#[derive(Debug, Default)]
pub(super) struct Mark(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    next_ordinal: u64,
    /// Conversations that went on since: the first turn that does not count.
    later: HashMap<u64, u64>,
    rows: Vec<TreeRow>,
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

    /// The rows of all other trees, once.
    pub fn take_rows(&self) -> Vec<TreeRow> {
        std::mem::take(&mut self.lock().rows)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut rows = Vec::new();
        for name in self.disk.tree_names()? {
            if name == HISTORY || name == META {
                continue;
            }
            let tree: Arc<str> = name.as_str().into();
            for row in &self.disk.tree(&name)? {
                let (key, value) = row.map_err(StoreError::read)?;
                rows.push(TreeRow { tree: tree.clone(), key, value });
            }
        }
        let next_ordinal = ledger.next_ordinal();
        *mark.lock() = Noted { next_ordinal, later: HashMap::new(), rows };
        self.marks.0.push(Arc::downgrade(mark));
        Ok(())
    }
}
