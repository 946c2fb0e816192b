//! One collection: the moment that searches see, and how a next one takes its
//! place. Whoever writes waits for the one before; whoever reads for nobody.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use parlor_nodes::NodeError;
use parlor_nodes::vector_index::{Bits, Live, Place, Snapshot};
use uuid::Uuid;

use super::format::{self, SegmentMark, SegmentWriter};
use super::load::{self, Unreadable};
use super::manifest::{self, Entry, Manifest};
use super::merge;
use crate::store::error::StoreError;
use crate::store::lock::make_private_folder;

/// A collection that is open.
pub(super) struct Collection {
    folder: PathBuf,
    /// The folder below the data folder, for errors.
    shown: String,
    name: String,
    now: RwLock<Moment>,
    writing: Mutex<()>,
    is_gone: AtomicBool,
}

/// What is on disk, and what is in memory of it.
#[derive(Clone, Default)]
pub(super) struct Moment {
    pub(super) marks: Vec<SegmentMark>,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Collection {
    /// Reads a collection and removes what a crash left. Nothing is made on
    /// disk before the first upsert.
    pub(super) fn open(folder: PathBuf, shown: String, name: &str) -> Result<Self, StoreError> {
        let moment = read(&folder, name).map_err(|unreadable| unreadable.of(&shown))?;
        sweep(&folder, &moment);
        Ok(Self {
            folder,
            shown,
            name: name.to_owned(),
            now: RwLock::new(moment),
            writing: Mutex::new(()),
            is_gone: AtomicBool::new(false),
        })
    }

    /// The moment that a search sees from its beginning to its end.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).snapshot.clone()
    }

    /// About the memory that it takes.
    pub(super) fn n_bytes(&self) -> usize {
        self.snapshot().segments.iter().map(|live| live.segment.n_bytes()).sum()
    }

    pub(super) fn segment_writer(&self, n_dimensions: usize) -> Result<SegmentWriter, StoreError> {
        self.refuse_when_gone()?;
        if !self.folder.is_dir() {
            make_private_folder(&self.folder)?;
            self.folder.parent().map_or(Ok(()), super::sync_folder)?;
        }
        SegmentWriter::create(&self.folder, n_dimensions)
    }

    /// Makes an upsert visible and takes chunks out, in one step; how many
    /// were taken out.
    pub(super) fn commit(
        &self,
        written: Option<SegmentWriter>,
        stale: &[Uuid],
    ) -> Result<u64, NodeError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_when_gone()?;
        let mut next = Draft::after(&self.now.read().unwrap_or_else(PoisonError::into_inner));
        let n_before = next.n_changes;
        let written = match written {
            Some(mut writer) => {
                let n_dimensions = writer.n_dimensions();
                next.fits(n_dimensions)?;
                let mark = writer.finish()?;
                let live = self.load(&mark, n_dimensions)?;
                next.add(mark, live, n_dimensions);
                Some(writer)
            }
            None => None,
        };
        let n_deleted = next.take_out(stale);
        if next.n_changes == n_before {
            return Ok(0);
        }
        self.publish(next.into_moment(), written)?;
        self.merge();
        Ok(n_deleted)
    }

    fn load(&self, mark: &SegmentMark, n_dimensions: usize) -> Result<Live, StoreError> {
        let segment = load::segment(&self.folder, mark, n_dimensions);
        let segment = segment.map_err(|unreadable| unreadable.of(&self.shown))?;
        let mut dead = Bits::none(segment.n_rows());
        for row in segment.replaced_within() {
            dead.insert(row);
        }
        Ok(Live { segment: Arc::new(segment), dead: Arc::new(dead) })
    }

    /// Replaces the manifest, then the moment that searches see. Before the
    /// rename nothing has happened; after it the upsert holds.
    fn publish(&self, next: Moment, written: Option<SegmentWriter>) -> Result<(), StoreError> {
        next.manifest(&self.name).write(&self.folder)?;
        if let Some(writer) = written {
            writer.keep();
        }
        let kept: HashSet<String> = next.marks.iter().map(|mark| mark.name.clone()).collect();
        // The lock is held for this statement alone: searches wait for nothing.
        let last =
            std::mem::replace(&mut *self.now.write().unwrap_or_else(PoisonError::into_inner), next);
        let synced = Manifest::sync(&self.folder);
        // Until the rename is lasting the old manifest may come back with a power cut.
        if synced.is_ok() {
            let unnamed = last.marks.iter().filter(|mark| !kept.contains(&mark.name));
            unnamed.for_each(|mark| format::remove(&self.folder, &mark.name));
        }
        synced
    }

    /// Makes fewer segments of many, and drops the dead. What fails is tried
    /// again at the next commit.
    fn merge(&self) {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner).clone();
        let chosen = merge::choose(&now.snapshot);
        if chosen.is_empty() {
            return;
        }
        let merged = || -> Result<(), NodeError> {
            let n_dimensions = now.snapshot.n_dimensions;
            let mut writer = self.segment_writer(n_dimensions)?;
            merge::write(&now.snapshot, &chosen, &mut writer)?;
            let mark = writer.finish()?;
            let live = self.load(&mark, n_dimensions)?;
            let mut next = Draft::after(&now);
            next.replace(&chosen, mark, live);
            Ok(self.publish(next.into_moment(), Some(writer))?)
        };
        if let Err(error) = merged() {
            tracing::warn!("segments of {} could not be merged: {error}", self.shown);
        }
    }

    /// Removes the collection: searches that run end with what they see, later
    /// ones find nothing, and upserts are refused.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_gone.store(true, Ordering::SeqCst);
        let none = Moment::default();
        let last =
            std::mem::replace(&mut *self.now.write().unwrap_or_else(PoisonError::into_inner), none);
        drop(last);
        remove_folder(&self.folder)
    }

    fn refuse_when_gone(&self) -> Result<(), StoreError> {
        if self.is_gone.load(Ordering::SeqCst) {
            return Err(StoreError::Conflict("these vectors were deleted; begin the upsert again"));
        }
        Ok(())
    }
}

/// Removes a collection that nobody has open.
pub(super) fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    // Without its manifest the rest is rubbish that no crash brings back.
    for gone in [std::fs::remove_file(folder.join(manifest::FILE)), std::fs::remove_dir_all(folder)]
    {
        match gone {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { doing: "removing vectors", source: error });
            }
            _ => {}
        }
    }
    Ok(())
}

fn read(folder: &Path, name: &str) -> Result<Moment, Unreadable> {
    let Some(manifest) = Manifest::read(folder)? else { return Ok(Moment::default()) };
    if manifest.name != name {
        return Err(Unreadable::Damaged("its manifest is that of another collection"));
    }
    let n_dimensions = manifest.n_dimensions;
    let segment = |entry: &Entry| {
        let segment = Arc::new(load::segment(folder, &entry.mark, n_dimensions)?);
        Ok(Live { segment, dead: Arc::new(entry.dead()?) })
    };
    let segments = manifest.segments.iter().map(segment).collect::<Result<_, Unreadable>>()?;
    let marks = manifest.segments.into_iter().map(|entry| entry.mark).collect();
    Ok(Moment { marks, snapshot: Arc::new(Snapshot { n_dimensions, segments }) })
}

/// Removes files that the manifest does not name.
fn sweep(folder: &Path, moment: &Moment) {
    let Ok(entries) = folder.read_dir() else { return };
    let named: HashSet<&str> = moment.marks.iter().map(|mark| mark.name.as_str()).collect();
    for entry in entries.flatten() {
        let (path, file_name) = (entry.path(), entry.file_name());
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        let is_named = stem.is_some_and(|stem| named.contains(&*stem));
        if !is_named && file_name != manifest::FILE && path.is_file() {
            tracing::info!("a file that an interrupted upsert left among the vectors is removed");
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!("a file of vectors that is not needed stays for now: {error}");
            }
        }
    }
}

impl Moment {
    fn manifest(&self, name: &str) -> Manifest {
        let pairs = self.marks.iter().zip(&self.snapshot.segments);
        let segments = pairs.map(|(mark, live)| Entry::new(mark.clone(), &live.dead)).collect();
        Manifest { name: name.to_owned(), n_dimensions: self.snapshot.n_dimensions, segments }
    }
}

/// The next moment, while it is made.
struct Draft {
    marks: Vec<SegmentMark>,
    snapshot: Snapshot,
    n_changes: usize,
}

impl Draft {
    fn after(moment: &Moment) -> Self {
        let snapshot = (*moment.snapshot).clone();
        Self { marks: moment.marks.clone(), snapshot, n_changes: 0 }
    }

    fn fits(&self, n_dimensions: usize) -> Result<(), NodeError> {
        fits(&self.snapshot, n_dimensions)
    }

    /// Adds a segment: its chunks replace those of the same ids.
    fn add(&mut self, mark: SegmentMark, live: Live, n_dimensions: usize) {
        if self.snapshot.n_alive() == 0 {
            self.marks.clear();
            self.snapshot = Snapshot { n_dimensions, segments: Vec::new() };
        }
        for row in live.alive() {
            if let Some(place) = self.snapshot.find(live.segment.id(row)) {
                self.kill(place);
            }
        }
        self.marks.push(mark);
        self.snapshot.segments.push(live);
        self.n_changes += 1;
    }

    fn take_out(&mut self, ids: &[Uuid]) -> u64 {
        let mut n_taken = 0;
        for id in ids {
            if let Some(place) = self.snapshot.find(*id) {
                self.kill(place);
                n_taken += 1;
            }
        }
        n_taken
    }

    fn kill(&mut self, place: Place) {
        Arc::make_mut(&mut self.snapshot.segments[place.segment].dead).insert(place.row);
        self.n_changes += 1;
    }

    /// Puts one segment in the place of several.
    fn replace(&mut self, chosen: &[usize], mark: SegmentMark, live: Live) {
        let mut at = 0..self.marks.len();
        self.marks.retain(|_| at.next().is_none_or(|at| !chosen.contains(&at)));
        let mut at = 0..self.snapshot.segments.len();
        self.snapshot.segments.retain(|_| at.next().is_none_or(|at| !chosen.contains(&at)));
        self.marks.push(mark);
        self.snapshot.segments.push(live);
    }

    /// Segments of which nothing is alive are left out.
    fn into_moment(mut self) -> Moment {
        let is_alive: Vec<_> =
            self.snapshot.segments.iter().map(|live| live.n_alive() > 0).collect();
        let mut alive = is_alive.iter().copied();
        self.marks.retain(|_| alive.next().unwrap_or(true));
        let mut alive = is_alive.iter().copied();
        self.snapshot.segments.retain(|_| alive.next().unwrap_or(true));
        Moment { marks: self.marks, snapshot: Arc::new(self.snapshot) }
    }
}

/// Refuses vectors of another dimension than those that are there.
pub(super) fn fits(snapshot: &Snapshot, n_dimensions: usize) -> Result<(), NodeError> {
    let there = snapshot.n_dimensions;
    if there == n_dimensions || snapshot.n_alive() == 0 {
        return Ok(());
    }
    Err(NodeError::BadRequest(format!(
        "this collection holds vectors of {there} dimensions and the embeddings make {n_dimensions}: choose the embeddings that it was filled with, upsert into another collection, or delete this one's vectors first"
    )))
}
