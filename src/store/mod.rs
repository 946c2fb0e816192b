//! The store: message history, chatflows, credentials, keys and variables in
//! one sled database in the data folder.
//!
//! One thread writes everything and answers when it is on the disk. Nothing
//! here knows HTTP, an actor's address or a node; nothing outside knows sled.
//! A message that was acknowledged is never lost to a crash of the process,
//! and nothing that was refused shows up later.
//!
//! # Layout
//! - [`error`](StoreError): why the store could not do something
//! - `lock`, `disk`, `tidy`, `watch`: the data folder, the database file
//!   and its sync
//! - `keys`, `key_kinds`, `parcel`, `record`, `rows`: how a turn lies on disk
//! - `queue`, `commit`, `planning`, `recovery`, `ledger`: the writer, its jobs and what it knows
//! - `answers`, `answer_keys`: what repetitions of a request with an `Idempotency-Key` get
//! - `deletions`, `sweep`: what is deleted and how it is swept
//! - [`history`](History), `messages`: conversations and the Message API's view
//! - `export`, `intake`: conversations going out and coming in
//! - `mark`, [`Backup`], [`Restore`]: a moment of the store, kept and made anew
//! - [`archive`]: how a backup lies in files; `records`: SQLite's part of it
//! - [`verify_folder`], [`verify_backup`]: does everything fit together?
//! - [`blobs`]: uploaded files; [`vectors`]: the embedded vector index
//! - `table`: rows of the small trees, under [`Chatflows`], [`Credentials`],
//!   [`ApiKeys`] and [`Variables`]
//! - `indexed`, `listings`: rows in great numbers, under [`Feedbacks`], [`Leads`],
//!   [`UpsertJobs`] and [`UpsertHistory`]; [`ChunkLedger`]: which chunks upserts wrote

mod answer_keys;
mod answers;
mod api_keys;
pub mod archive;
mod backup;
pub mod blobs;
mod blocking;
mod chatflows;
mod chunk_ledger;
mod commit;
mod credentials;
mod deletions;
mod disk;
mod error;
mod export;
mod feedback;
#[cfg(test)]
mod fuzz;
mod history;
mod indexed;
mod intake;
mod key_kinds;
mod keys;
mod leads;
mod ledger;
mod listings;
mod lock;
mod mark;
mod messages;
mod parcel;
mod planning;
mod purge;
mod queue;
mod rated;
mod record;
mod records;
mod recovery;
mod restore;
mod rows;
mod run_walk;
mod runs;
mod sweep;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod tidy;
mod upsert_history;
mod upsert_jobs;
mod variables;
pub mod vectors;
mod verify;
mod verify_archive;
mod verify_rows;
mod verify_turns;
mod walk;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use parlor_nodes::vector_stores::owner;

pub use api_keys::{ApiKeys, ImportMode, ImportOutcome, ImportedKey, ImportedSecret, NewKey};
pub use backup::{Backup, BackupItem};
pub use chatflows::{Bindings, Chatflows};
pub use chunk_ledger::ChunkLedger;
pub use credentials::Credentials;
pub use error::{FORMAT, StoreError};
pub use export::{ExportPage, ExportPlace, ExportQuery};
pub use feedback::{Feedbacks, RatedMessage};
pub use history::History;
pub use intake::ImportedTurn;
pub use leads::Leads;
pub use listings::{RowCursor, RowPage, RowPageQuery};
pub use messages::{MessageCursor, MessagePage, MessageQuery, Order};
pub use rated::MessageStats;
pub use records::capture_records;
pub use restore::Restore;
pub use tally::CommitTally;
pub use upsert_history::UpsertHistory;
pub use upsert_jobs::{Claim, UpsertJobs, interrupt};
pub use variables::Variables;
pub use verify::{Finding, Verification, verify_folder};
pub use verify_archive::{verify_backup, verify_files};

use blobs::Blobs;
use deletions::Deletions;
use disk::Disk;
use indexed::IndexedTable;
use lock::FolderLock;
use queue::Queue;
use table::Table;
use vectors::Shelf;

/// The tree of all turns and their indexes.
const HISTORY: &str = "history";

/// The tree of what describes the store itself.
const META: &str = "meta";

/// The small trees, all of them tables. Who adds one adds it here, so that it
/// is verified; a backup holds every tree.
const TABLES: [&str; 5] = ["api_keys", "bindings", "chatflows", "credentials", "variables"];

const FORMAT_KEY: &[u8] = b"format";

/// When an acknowledged turn is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Before it is acknowledged: a power cut loses nothing.
    #[default]
    Always,
    /// At most one second later: a crash or a power cut may lose that second.
    EverySecond,
}

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// When an acknowledged turn is on the disk.
    pub durability: Durability,
    /// Bytes of pages that sled may keep in memory; it takes two to three times as many.
    pub cache_bytes: u64,
    /// Encrypts the credentials in place of the file `encryption.key`.
    pub secret: Option<String>,
    /// Bytes that uploaded files may take together; 0 for no limit.
    pub upload_quota: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Always,
            cache_bytes: 64 * 1024 * 1024,
            secret: None,
            upload_quota: 0,
        }
    }
}

/// An open store. It holds the data folder until it is closed or dropped.
#[derive(Debug)]
pub struct Store {
    history: History,
    chatflows: Chatflows,
    credentials: Credentials,
    api_keys: ApiKeys,
    variables: Variables,
    feedback: Feedbacks,
    leads: Leads,
    upsert_jobs: UpsertJobs,
    upsert_history: UpsertHistory,
    chunk_ledger: ChunkLedger,
    vectors: Shelf,
    commits: Arc<CommitTally>,
    writer: Mutex<Option<JoinHandle<()>>>,
    folder: PathBuf,
    // Last, so that the folder is free only when the database is closed.
    _lock: FolderLock,
}

impl Store {
    /// Opens the store of a data folder; makes both where they are missing.
    /// Blocks, for seconds where the history is long and the last stop was a crash.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::NewerFormat`],
    /// [`StoreError::Damaged`], [`StoreError::WrongKey`],
    /// [`StoreError::MissingKey`], [`StoreError::Io`]: each says what to do.
    pub fn open(data_dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let mut lock = FolderLock::take(data_dir)?;
        let disk = Arc::new(Disk::open(data_dir.join("sled"), options.cache_bytes)?);
        check_format(&disk, &mut lock)?;
        let blobs = Blobs::open(data_dir, options.upload_quota)?;
        let deletions = Arc::new(Deletions::default());
        let (queue, receiver) = Queue::new();
        let queue = Arc::new(queue);
        let table = |name| {
            debug_assert!(TABLES.contains(&name), "{name} is not verified");
            Table::new(name, disk.clone(), queue.clone())
        };
        let credentials = Credentials::open(table("credentials"), data_dir, options.secret)?;
        let api_keys = ApiKeys::open(table("api_keys"))?;
        let commits = Arc::new(CommitTally::default());
        let writer = commit::start(
            disk.clone(),
            deletions.clone(),
            options.durability,
            commits.clone(),
            receiver,
        )?;
        let chatflows = Chatflows::new(table("chatflows"), table("bindings"));
        // A row that cannot be read is no reason to delete its files.
        let is_gone = |id| matches!(chatflows.get(id), Ok(None));
        blobs.sweep(is_gone)?;
        let vectors = Shelf::new(data_dir);
        vectors.sweep(|name| owner(name).is_some_and(is_gone))?;
        Ok(Self {
            chatflows,
            variables: Variables::new(table("variables")),
            feedback: Feedbacks::new(IndexedTable::new("feedback", disk.clone(), queue.clone())),
            leads: Leads::new(IndexedTable::new("leads", disk.clone(), queue.clone())),
            upsert_jobs: UpsertJobs::new(IndexedTable::new(
                "upsert_jobs",
                disk.clone(),
                queue.clone(),
            )),
            upsert_history: UpsertHistory::new(IndexedTable::new(
                "upsert_history",
                disk.clone(),
                queue.clone(),
            )),
            chunk_ledger: ChunkLedger::new(disk.clone(), queue.clone()),
            history: History { disk, deletions, queue, blobs },
            vectors,
            credentials,
            api_keys,
            commits,
            writer: Mutex::new(Some(writer)),
            folder: data_dir.to_owned(),
            _lock: lock,
        })
    }

    /// The message history, as the session actors and the Message API use it.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The uploaded files.
    pub fn blobs(&self) -> &Blobs {
        &self.history.blobs
    }

    /// The embedded vector indexes.
    pub fn vectors(&self) -> &Shelf {
        &self.vectors
    }

    /// The chatflows and the credentials bound to their nodes.
    pub fn chatflows(&self) -> &Chatflows {
        &self.chatflows
    }

    /// The credentials of nodes.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The API keys.
    pub fn api_keys(&self) -> &ApiKeys {
        &self.api_keys
    }

    /// The variables.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What people say about answers.
    pub fn feedback(&self) -> &Feedbacks {
        &self.feedback
    }

    /// Contact data that people leave.
    pub fn leads(&self) -> &Leads {
        &self.leads
    }

    /// The jobs of upserts.
    pub fn upsert_jobs(&self) -> &UpsertJobs {
        &self.upsert_jobs
    }

    /// What upserts did.
    pub fn upsert_history(&self) -> &UpsertHistory {
        &self.upsert_history
    }

    /// Which chunks upserts wrote.
    pub fn chunk_ledger(&self) -> &ChunkLedger {
        &self.chunk_ledger
    }

    /// Looks at everything in the store, the vector indexes too.
    ///
    /// # Errors
    /// Those of reading, but not a damaged record: that is found.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        let mut found = self.history.verify().await?;
        let folder = self.folder.clone();
        let look = move || {
            vectors::verify(&folder, &mut found);
            Ok(found)
        };
        blocking::blocking(look).await
    }

    /// How the writer's groups went.
    pub fn commits(&self) -> &CommitTally {
        &self.commits
    }

    /// Whether the database is open: false for as long as it is opened again
    /// after a failed write.
    pub fn is_open(&self) -> bool {
        self.history.disk.is_open()
    }

    /// Takes no more writes, finishes those that wait, syncs, and closes the
    /// database. Blocks until all that is done. Whoever still holds a
    /// [`History`] gets [`StoreError::Closed`] or [`StoreError::Recovering`].
    pub fn close(&self) {
        self.history.queue.close();
        // Held until the writer has ended: a second caller must not close the
        // database under its hands.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
        self.history.disk.close();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Refuses a newer format and an emptied database; writes the format into a new one.
fn check_format(disk: &Disk, lock: &mut FolderLock) -> Result<(), StoreError> {
    let meta = disk.tree(META)?;
    let found = meta.get(FORMAT_KEY).map_err(StoreError::read)?;
    let found = found.map(|value| value.as_ref().try_into().map(u32::from_be_bytes));
    match found {
        Some(Ok(FORMAT)) => {}
        Some(Ok(found)) if found > FORMAT => return Err(StoreError::NewerFormat { found }),
        // What format 1 holds means the same in format 2.
        Some(Ok(1)) => note_format(disk)?,
        Some(_) => return Err(damaged("its format is unreadable")),
        None if lock.store_was_made()? => {
            return Err(damaged("its files are missing or were emptied"));
        }
        None => note_format(disk)?,
    }
    if lock.store_was_made()? { Ok(()) } else { lock.note_store_made() }
}

/// Says that the folder holds a store of this version's format.
fn note_format(disk: &Disk) -> Result<(), StoreError> {
    let format = FORMAT.to_be_bytes();
    disk.tree(META)?.insert(FORMAT_KEY, &format).map_err(StoreError::read)?;
    disk.sync()
}

fn damaged(why: &'static str) -> StoreError {
    StoreError::Damaged { why, source: None }
}
