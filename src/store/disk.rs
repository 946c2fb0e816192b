//! The sled database: opened without a panic, synced for real, and opened
//! again after a failed write.
//!
//! Three facts of sled 0.34 shape this file. Its `flush` hands the bytes to
//! the kernel but does not make the disk keep them, so a sync of the database
//! file follows each. After one failed write it refuses all others until it is
//! opened anew, while its memory still shows what never reached the disk. And
//! it may leave a flush waiting for ever after a failed write; [`super::watch`]
//! wakes it.

use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::lock::make_private_folder;
use super::tidy::tidy;
use super::watch::FlushWatch;

/// Under this much free space nothing is written: sled must never meet a full
/// disk in the middle of a batch.
const MIN_FREE_BYTES: u64 = 8 * 1024 * 1024;

/// A tree that every sled database has; nothing of ours is in it.
const OWN_TREE: &[u8] = b"__sled__default";

/// How long to wait for a database that this process just closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The database, or the place where it is opened again.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    cache_bytes: u64,
    engine: RwLock<Option<Engine>>,
    watch: FlushWatch,
    #[cfg(test)]
    pub fail_next_sync: std::sync::atomic::AtomicBool,
}

#[derive(Debug)]
struct Engine {
    db: sled::Db,
    file: File,
}

impl Disk {
    /// Opens the database in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when sled finds it so or panics over it.
    pub fn open(folder: PathBuf, cache_bytes: u64) -> Result<Self, StoreError> {
        make_private_folder(&folder)?;
        let watch = FlushWatch::start()?;
        let engine = RwLock::new(Some(Engine::open(&folder, cache_bytes)?));
        Ok(Self {
            folder,
            cache_bytes,
            engine,
            watch,
            #[cfg(test)]
            fail_next_sync: false.into(),
        })
    }

    /// A tree of the database. Keep it for one operation only: the database
    /// cannot be opened anew while somebody holds one.
    ///
    /// # Errors
    /// [`StoreError::Recovering`] after a failed write.
    pub fn tree(&self, name: &str) -> Result<sled::Tree, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = engine.as_ref().ok_or(StoreError::Recovering)?;
        engine.db.open_tree(name).map_err(StoreError::read)
    }

    /// Whether the database is open.
    pub fn is_open(&self) -> bool {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The names of all trees that hold rows of the store.
    ///
    /// # Errors
    /// [`StoreError::Recovering`] after a failed write.
    pub fn tree_names(&self) -> Result<Vec<String>, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = engine.as_ref().ok_or(StoreError::Recovering)?;
        let names = engine.db.tree_names().into_iter();
        let names = names.filter(|name| name.as_ref() != OWN_TREE);
        Ok(names.map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    /// Returns when all that was applied is on the disk.
    ///
    /// # Errors
    /// [`StoreError::NotStored`]; the cause is logged here, once.
    pub fn sync(&self) -> Result<(), StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = engine.as_ref().ok_or(StoreError::Recovering)?;
        #[cfg(test)]
        if self.fail_next_sync.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Err(StoreError::NotStored);
        }
        let flush = || catch_unwind(AssertUnwindSafe(|| engine.db.flush()));
        let flushed = self.watch.during(&engine.db, flush);
        flushed.map_err(|_| StoreError::Panicked)?.map_err(|error| not_stored(&error))?;
        engine.file.sync_data().map_err(|error| not_stored(&error))
    }

    /// Whether the disk has room for a group of turns. Not knowing is no
    /// reason to refuse: a failed write is noticed too.
    pub fn has_room(&self) -> bool {
        fs2::available_space(&self.folder).map_or(true, |free| free >= MIN_FREE_BYTES)
    }

    /// Closes the database after a failed write: readers must not see what
    /// its memory holds and the disk does not.
    pub fn close(&self) {
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        // sled panics when the last sync fails while it is dropped.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(engine)));
        if dropped.is_err() {
            tracing::error!("the database did not close cleanly");
        }
    }

    /// Opens the database again after [`Disk::close`].
    ///
    /// # Errors
    /// As [`Disk::open`], also while a reader still holds the old one.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let opened = Engine::open(&self.folder, self.cache_bytes)?;
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine {
    fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(folder)
            .mode(sled::Mode::HighThroughput)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None);
        tidy(folder)?;
        let db = open_patiently(&config)?;
        make_files_private(folder)?;
        let file = File::options()
            .write(true)
            .open(folder.join("db"))
            .map_err(StoreError::io("opening the database file"))?;
        // A new file survives a power cut only when its folder is synced too.
        let folder_itself = File::open(folder).and_then(|folder| folder.sync_all());
        folder_itself.map_err(StoreError::io("syncing the database folder"))?;
        Ok(Self { db, file })
    }
}

/// Opens the database, waiting for one that this process just closed: sled
/// keeps its file and the lock on it until its own threads have let go.
fn open_patiently(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let began = Instant::now();
    loop {
        // sled panics over some damages instead of reporting them.
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) if is_locked(&error) && began.elapsed() < LOCK_PATIENCE => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Ok(Err(error)) => return Err(open_error(error)),
            Err(_) => return Err(damaged("it cannot be read", None)),
        }
    }
}

/// sled wraps the refusal of its lock in text; no other error of opening has this kind.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(source) if source.kind() == ErrorKind::Other)
}

/// sled makes its files with the process's mask; the folder (0700) already
/// keeps others out, this keeps them out of copies as well.
fn make_files_private(folder: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let doing = StoreError::io("making the database files private");
        for entry in folder.read_dir().map_err(&doing)? {
            let entry = entry.map_err(&doing)?;
            let is_file = entry.file_type().map_err(&doing)?.is_file();
            let mode = if is_file { 0o600 } else { 0o700 };
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(entry.path(), permissions).map_err(&doing)?;
        }
    }
    Ok(())
}

fn open_error(error: sled::Error) -> StoreError {
    let is_short = |kind| matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData);
    match error {
        sled::Error::Io(source) if is_short(source.kind()) => {
            damaged("a file of it is cut short", Some(sled::Error::Io(source)))
        }
        sled::Error::Io(source) => StoreError::Io { doing: "opening the message store", source },
        other => damaged("its checksums or structures do not match", Some(other)),
    }
}

fn damaged(why: &'static str, source: Option<sled::Error>) -> StoreError {
    StoreError::Damaged { why, source }
}

fn not_stored(error: &(dyn std::error::Error + 'static)) -> StoreError {
    tracing::error!(error, "writing to the disk failed; the store opens its database again");
    StoreError::NotStored
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE: u64 = 1024 * 1024;

    fn put(disk: &Disk, key: &[u8]) {
        disk.tree("t").unwrap().insert(key, b"v").unwrap();
    }

    #[test]
    fn what_was_synced_is_there_after_closing_and_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path().join("sled"), CACHE).unwrap();
        put(&disk, b"a");
        disk.sync().unwrap();
        disk.close();
        assert!(matches!(disk.tree("t"), Err(StoreError::Recovering)));
        assert!(!disk.is_open());
        disk.reopen().unwrap();
        assert!(disk.is_open());
        assert!(disk.tree("t").unwrap().contains_key(b"a").unwrap());
    }

    #[test]
    fn a_reader_that_holds_a_tree_only_delays_the_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path().join("sled"), CACHE).unwrap();
        let held = disk.tree("t").unwrap();
        disk.close();
        assert!(disk.reopen().is_err());
        drop(held);
        disk.reopen().unwrap();
    }

    #[test]
    fn garbled_and_cut_files_are_opened_or_reported_but_never_panic() {
        for (file, keep, garble) in
            [("db", 0.9, false), ("db", 0.99, true), ("db", 0.3, false), ("conf", 0.5, true)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sled");
            let disk = Disk::open(path.clone(), CACHE).unwrap();
            for n in 0_u32..3_000 {
                put(&disk, &n.to_be_bytes());
            }
            disk.sync().unwrap();
            drop(disk);
            let mut bytes = std::fs::read(path.join(file)).unwrap();
            let at = (bytes.len() as f64 * keep) as usize;
            if garble {
                bytes[at..].fill(0xa5);
            } else {
                bytes.truncate(at);
            }
            std::fs::write(path.join(file), bytes).unwrap();
            if let Err(error) = Disk::open(path, CACHE) {
                assert!(error.to_string().contains("restore"), "{file} {keep}: {error}");
            }
        }
    }
}
