//! Sets aside what would keep sled from opening and what it can do without.
//!
//! A snapshot of sled's page table only shortens the start: the log holds all
//! that it says, and without one sled reads the log from its beginning. The
//! file `conf` holds settings that are the same for every store. But sled
//! takes a snapshot that it had not finished writing (the disk was full, the
//! process was killed) for a whole one, and refuses to open at all when the
//! checksum of either file is wrong.

use std::path::Path;

use super::error::StoreError;

/// Behind a snapshot's content: its length (8 bytes) and its CRC-32.
const SNAPSHOT_TRAILER: usize = 12;

/// Behind the settings: their CRC-32.
const CONF_TRAILER: usize = 4;

/// Removes unfinished snapshots and moves garbled files out of sled's sight.
pub(super) fn tidy(folder: &Path) -> Result<(), StoreError> {
    let doing = StoreError::io("tidying the database folder");
    for entry in folder.read_dir().map_err(&doing)? {
        let entry = entry.map_err(&doing)?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let trailer = match &*name {
            "conf" => CONF_TRAILER,
            name if name.starts_with("snap.") => SNAPSHOT_TRAILER,
            _ => continue,
        };
        if name.ends_with(".generating") {
            std::fs::remove_file(path).map_err(&doing)?;
        } else if !is_whole(&std::fs::read(&path).map_err(&doing)?, trailer) {
            tracing::warn!(%name, "a file of the database is garbled; it is made anew");
            let aside = folder.join(format!("damaged.{name}"));
            std::fs::rename(path, aside).map_err(&doing)?;
        }
    }
    Ok(())
}

/// Whether the CRC-32 at the end (little-endian) is that of the content, as
/// sled's `config.rs` and `pagecache/snapshot.rs` write it.
fn is_whole(file: &[u8], trailer: usize) -> bool {
    let Some(at) = file.len().checked_sub(trailer).filter(|at| *at > 0) else { return false };
    let (content, _) = file.split_at(at);
    file.ends_with(&crc32fast::hash(content).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::disk::Disk;
    use super::*;

    /// A database of 5,000 rows that was closed twice, and its snapshot.
    fn database(folder: &Path) -> PathBuf {
        for round in 0..2_u32 {
            let disk = Disk::open(folder.to_owned(), 1024 * 1024).unwrap();
            let tree = disk.tree("t").unwrap();
            for n in 0..3_000 {
                tree.insert((n + round * 2_000).to_be_bytes(), b"v").unwrap();
            }
        }
        snapshots(folder).pop().unwrap()
    }

    /// Opens the database, which tidies it first.
    fn n_rows(folder: &Path) -> usize {
        Disk::open(folder.to_owned(), 1024 * 1024).unwrap().tree("t").unwrap().len()
    }

    fn snapshots(folder: &Path) -> Vec<PathBuf> {
        let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().contains("/snap.")).collect()
    }

    #[test]
    fn a_whole_snapshot_stays() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = database(folder.path());
        tidy(folder.path()).unwrap();
        assert_eq!(snapshots(folder.path()), [snapshot]);
    }

    #[test]
    fn a_snapshot_that_was_not_finished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = database(folder.path());
        std::fs::write(folder.path().join("snap.FFFFFFFFFFFFFFF0.generating"), "cut").unwrap();
        tidy(folder.path()).unwrap();
        assert_eq!(snapshots(folder.path()), [snapshot]);
        assert_eq!(n_rows(folder.path()), 5_000);
    }

    #[test]
    fn a_garbled_or_cut_snapshot_is_set_aside_and_the_log_gives_everything_back() {
        for keep in [0, 5, 100, 1_000] {
            let folder = tempfile::tempdir().unwrap();
            let snapshot = database(folder.path());
            let mut bytes = std::fs::read(&snapshot).unwrap();
            bytes.truncate(keep);
            std::fs::write(&snapshot, bytes).unwrap();
            tidy(folder.path()).unwrap();
            assert_eq!(snapshots(folder.path()), Vec::<PathBuf>::new(), "{keep}");
            assert_eq!(n_rows(folder.path()), 5_000, "{keep}");
        }
    }

    #[test]
    fn garbled_settings_are_set_aside_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        database(folder.path());
        let conf = folder.path().join("conf");
        let mut bytes = std::fs::read(&conf).unwrap();
        tidy(folder.path()).unwrap();
        assert!(conf.exists());
        bytes[3] ^= 1;
        std::fs::write(&conf, bytes).unwrap();
        tidy(folder.path()).unwrap();
        assert!(!conf.exists());
        assert_eq!(n_rows(folder.path()), 5_000);
    }
}
