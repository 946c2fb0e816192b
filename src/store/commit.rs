//! The one writer: a thread that takes all jobs that wait, applies them,
//! brings them to the disk with one sync, and only then answers.
//!
//! It never ends silently. A panic in a job is that job's answer; a failed
//! write closes the database, answers everybody that nothing was saved, and
//! opens it again (see [`super::recovery`]).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::deletions::Deletions;
use super::disk::Disk;
use super::error::StoreError;
use super::ledger::Ledger;
use super::mark::Marks;
use super::planning::plan;
use super::purge::Purge;
use super::queue::{Answer, Job, Queued, Reply};
use super::recovery::Suspect;
use super::rows::{self, Changes};
use super::runs;
use super::sweep::Sweep;
use super::tally::CommitTally;
use super::{Durability, HISTORY};

/// Jobs behind one sync.
const MAX_GROUP: usize = 512;

/// Jobs in one batch; a group is cut into several, each job whole in one of
/// them. sled stops all readers while it applies a batch, and frees what one
/// replaced at a bounded rate per batch: measured when a turn had seven rows,
/// over 500,000 turns, batches of 512 took 6.4 GB of memory and batches of 16
/// took 0.2 GB. A turn has two or three rows since, so that 64 are as many rows,
/// and take as much.
const MAX_BATCH: usize = 64;

/// How long an acknowledged turn may be off the disk under
/// [`Durability::EverySecond`], and how long a failed database rests before
/// it is tried again without a job.
pub(super) const A_SECOND: Duration = Duration::from_secs(1);

/// Starts the writer. It ends when the queue is closed and empty.
///
/// # Errors
/// When the history cannot be read or no thread can be started.
pub(super) fn start(
    disk: Arc<Disk>,
    deletions: Arc<Deletions>,
    durability: Durability,
    tally: Arc<CommitTally>,
    queue: Receiver<Queued>,
) -> Result<JoinHandle<()>, StoreError> {
    let mut committer = Committer {
        disk,
        deletions,
        durability,
        tally,
        ledger: None,
        sweeps: VecDeque::new(),
        purges: VecDeque::new(),
        suspects: Vec::new(),
        marks: Marks::default(),
        unsynced_since: None,
        disk_is_full: false,
        tried_to_recover: None,
    };
    committer.load()?;
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || committer.run(&queue))
        .map_err(StoreError::io("starting a thread"))
}

pub(super) struct Committer {
    pub disk: Arc<Disk>,
    pub deletions: Arc<Deletions>,
    /// `None` after a failed write, until the database is open again.
    pub ledger: Option<Ledger>,
    pub sweeps: VecDeque<(Sweep, Option<Reply>)>,
    pub purges: VecDeque<(Purge, Reply)>,
    pub suspects: Vec<Suspect>,
    /// Backups that are being read.
    pub marks: Marks,
    /// When opening the database again failed last.
    pub tried_to_recover: Option<Instant>,
    durability: Durability,
    tally: Arc<CommitTally>,
    /// Since when something applied is not on the disk.
    unsynced_since: Option<Instant>,
    disk_is_full: bool,
}

/// Jobs between their batch and their answer.
#[derive(Default)]
pub(super) struct Group {
    pub applied: Vec<(Reply, Answer)>,
    pub appended: Vec<Suspect>,
    must_sync: bool,
}

impl Committer {
    fn run(mut self, queue: &Receiver<Queued>) {
        while let Some(jobs) = self.next_jobs(queue) {
            // A defect that escapes the guards of single jobs is treated as a
            // failed write; askers whose reply was dropped hear of it too.
            let (n_jobs, began) = (jobs.len(), Instant::now());
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(jobs)));
            if n_jobs > 0 {
                self.tally.jobs.observe(n_jobs as f64);
                self.tally.seconds.observe(began.elapsed().as_secs_f64());
            }
            if committed.is_err()
                && catch_unwind(AssertUnwindSafe(|| self.fail(Group::default()))).is_err()
            {
                self.ledger = None;
            }
        }
        if self.ledger.is_some() && self.disk.sync().is_err() {
            self.fail(Group::default());
        }
        // Suspects must not look stored after the next start.
        if !self.suspects.is_empty() {
            let _ = self.recover();
        }
    }

    /// The jobs that wait, or none when it is time for a sync, a sweep or a
    /// recovery; `None` at the end.
    fn next_jobs(&self, queue: &Receiver<Queued>) -> Option<Vec<Queued>> {
        let first = match self.patience() {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => queue.recv_timeout(patience),
        };
        match first {
            Ok(first) => {
                Some(std::iter::once(first).chain(queue.try_iter().take(MAX_GROUP - 1)).collect())
            }
            Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// How long to wait for a job; `None` is for ever.
    fn patience(&self) -> Option<Duration> {
        match self.unsynced_since {
            _ if self.ledger.is_none() => Some(A_SECOND),
            _ if self.has_slices() && !self.disk_is_full => Some(Duration::ZERO),
            Some(since) => Some(A_SECOND.saturating_sub(since.elapsed())),
            None if !self.has_slices() => None,
            None => Some(A_SECOND),
        }
    }

    fn has_slices(&self) -> bool {
        !self.sweeps.is_empty() || !self.purges.is_empty()
    }

    fn commit(&mut self, mut jobs: Vec<Queued>) {
        match self.recover() {
            Ok(()) => {}
            Err(StoreError::DiskFull) => return refuse(jobs, || StoreError::DiskFull),
            Err(_) => return refuse(jobs, || StoreError::Recovering),
        }
        self.disk_is_full = !self.disk.has_room();
        if self.disk_is_full {
            refuse(std::mem::take(&mut jobs), || StoreError::DiskFull);
        }
        let mut group = Group::default();
        let applied = self
            .apply(jobs, &mut group)
            .and_then(|()| self.purge(&mut group))
            .and_then(|()| self.sweep(&mut group));
        if applied.and_then(|()| self.sync_if_due(group.must_sync)).is_err() {
            return self.fail(group);
        }
        for (reply, answer) in group.applied {
            reply.send(answer);
        }
    }

    /// Applies jobs in batches. An error is a failed write; what is wrong with
    /// a single job is answered to its asker.
    fn apply(&mut self, jobs: Vec<Queued>, group: &mut Group) -> Result<(), StoreError> {
        let tree = self.disk.tree(HISTORY)?;
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            if let Some(ledger) = &mut self.ledger {
                ledger.trim();
            }
            let mut changes = Vec::new();
            for Queued { job, reply, .. } in jobs.by_ref().take(MAX_BATCH) {
                self.apply_job(&tree, job, reply, group, &mut changes)?;
            }
            self.write_history(&tree, changes)?;
        }
        Ok(())
    }

    fn apply_job(
        &mut self,
        tree: &sled::Tree,
        job: Job,
        reply: Reply,
        group: &mut Group,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let job = match job {
            Job::ForgetMessages(chatflow, filter) => {
                self.purges.push_back((Purge::new(chatflow, filter), reply));
                return Ok(());
            }
            // All look at the tree, where the jobs before them must be found.
            Job::Import(_) | Job::Mark(_) | Job::ForgetAnswers(_) => {
                self.write_history(tree, std::mem::take(changes))?;
                return self.apply_whole(tree, &job, reply, group);
            }
            job => job,
        };
        let Some(ledger) = &mut self.ledger else { return Err(StoreError::Recovering) };
        let planned = catch_unwind(AssertUnwindSafe(|| plan(ledger, tree, &job)));
        let plan = match planned.unwrap_or(Err(StoreError::Panicked)) {
            Ok(plan) => plan,
            Err(error) => {
                reply.send(Err(error));
                return Ok(());
            }
        };
        changes.extend(plan.changes);
        if let Some(place) = plan.place {
            self.marks.note(place);
        }
        if let Some((chatflow, grave)) = plan.grave {
            self.sweeps.push_back((Sweep::new(chatflow, grave), Some(reply)));
            return Ok(());
        }
        match job {
            Job::ChangeRows { tree, changes } => {
                group.must_sync = true;
                let tree = self.disk.tree(tree)?;
                self.marks.keep(&tree, &changes)?;
                self.write(&tree, changes)?;
            }
            Job::Append(append) => group.appended.push(Suspect {
                seq: append.seq,
                answer_id: append.turn.body.answer_id,
                key: append.key,
            }),
            _ => {}
        }
        group.applied.push((reply, Ok(0)));
        Ok(())
    }

    /// Writes changes of the history as one batch.
    pub fn write_history(&mut self, tree: &sled::Tree, changes: Changes) -> Result<(), StoreError> {
        let gathered = catch_unwind(AssertUnwindSafe(|| runs::gather(tree, changes)));
        self.write(tree, gathered.unwrap_or(Err(StoreError::Panicked))?)
    }

    fn write(&mut self, tree: &sled::Tree, changes: Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        // sled panics over some states that a failed write left behind.
        match catch_unwind(AssertUnwindSafe(|| tree.apply_batch(rows::batch(changes)))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "applying a batch failed");
                Err(StoreError::NotStored)
            }
            Err(_) => Err(StoreError::Panicked),
        }
    }

    /// One slice of the oldest sweep.
    fn sweep(&mut self, group: &mut Group) -> Result<(), StoreError> {
        if self.disk_is_full {
            return Ok(());
        }
        let Some((mut sweep, reply)) = self.sweeps.pop_front() else { return Ok(()) };
        let tree = self.disk.tree(HISTORY)?;
        let slice = match sweep.next_slice(&tree) {
            Ok(slice) => slice,
            // What cannot be read now stays hidden and is swept after a restart.
            Err(error) => {
                if let Some(reply) = reply {
                    reply.send(Err(error));
                }
                return Ok(());
            }
        };
        self.write_history(&tree, slice.changes)?;
        if !slice.is_last {
            self.sweeps.push_back((sweep, reply));
            return Ok(());
        }
        self.deletions.forget_grave(&sweep.chatflow, sweep.grave);
        if let Some(reply) = reply {
            group.applied.push((reply, Ok(sweep.n_messages)));
        }
        Ok(())
    }

    /// One slice of the oldest purge.
    fn purge(&mut self, group: &mut Group) -> Result<(), StoreError> {
        if self.disk_is_full {
            return Ok(());
        }
        let Some((mut purge, reply)) = self.purges.pop_front() else { return Ok(()) };
        let tree = self.disk.tree(HISTORY)?;
        let planned = purge.next_slice(&tree, &self.deletions).and_then(|mut slice| {
            let Some(ledger) = &mut self.ledger else { return Err(StoreError::Recovering) };
            slice.changed.iter().for_each(|key| ledger.doubt(key));
            for key in &slice.empty {
                if let Some((changes, grave)) = ledger.plan_forget(&tree, key)? {
                    slice.changes.extend(changes);
                    self.sweeps.push_back((Sweep::new(key.chatflow, grave), None));
                }
            }
            Ok(slice)
        });
        match planned {
            Err(error) => reply.send(Err(error)),
            Ok(slice) => {
                self.write_history(&tree, slice.changes)?;
                if slice.is_last {
                    group.applied.push((reply, Ok(purge.n_messages)));
                } else {
                    self.purges.push_back((purge, reply));
                }
            }
        }
        Ok(())
    }

    pub fn sync_if_due(&mut self, must_sync: bool) -> Result<(), StoreError> {
        let Some(since) = self.unsynced_since else { return Ok(()) };
        let due = match self.durability {
            Durability::Always => true,
            Durability::EverySecond => must_sync || since.elapsed() >= A_SECOND,
        };
        if due {
            self.disk.sync()?;
            self.unsynced_since = None;
        }
        Ok(())
    }

    /// A write failed: opens the database anew and tells everybody concerned.
    fn fail(&mut self, group: Group) {
        self.suspects.extend(group.appended);
        let swept = std::mem::take(&mut self.sweeps).into_iter().filter_map(|(_, reply)| reply);
        let purged = std::mem::take(&mut self.purges).into_iter().map(|(_, reply)| reply);
        let replies: Vec<_> =
            group.applied.into_iter().map(|(reply, _)| reply).chain(swept).chain(purged).collect();
        self.close();
        // Before the answers, so that who tries again at once may succeed.
        let _ = self.recover();
        for reply in replies {
            reply.send(Err(StoreError::NotStored));
        }
    }

    pub fn close(&mut self) {
        self.ledger = None;
        self.unsynced_since = None;
        self.sweeps.clear();
        self.purges.clear();
        self.disk.close();
    }
}

fn refuse(jobs: Vec<Queued>, why: impl Fn() -> StoreError) {
    for Queued { reply, .. } in jobs {
        reply.send(Err(why()));
    }
}
