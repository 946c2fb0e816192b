//! The SQLite file of record managers, copied for a backup while upserts go on.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::archive::RECORDS_FILE;
use super::error::StoreError;

/// How long a copy waits for who writes at the moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A copy of the records as they are now, open and without a name, so that
/// nothing is left of it; `None` where there are none. Blocks.
///
/// # Errors
/// [`StoreError::DiskFull`], [`StoreError::Io`].
pub fn capture_records(data_dir: &Path) -> Result<Option<File>, StoreError> {
    let records = data_dir.join(RECORDS_FILE);
    let Ok(metadata) = records.metadata() else { return Ok(None) };
    super::vectors::need_room(data_dir, metadata.len())?;
    let copy = data_dir.join(format!("{RECORDS_FILE}.{}", Uuid::new_v4().simple()));
    let copied = copy_to(&records, &copy);
    let opened = File::open(&copy);
    let _ = std::fs::remove_file(&copy);
    copied.map_err(|error| StoreError::Io {
        doing: "copying the records of record managers",
        source: std::io::Error::other(error),
    })?;
    opened.map(Some).map_err(StoreError::io("copying the records of record managers"))
}

/// SQLite's own way: one transaction, whatever is written meanwhile.
fn copy_to(records: &Path, copy: &Path) -> rusqlite::Result<()> {
    // Not read-only: its log may have to be made before it can be read.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(records, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_what_was_written_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(capture_records(folder.path()).unwrap().is_none());
        let records = Connection::open(folder.path().join(RECORDS_FILE)).unwrap();
        records.pragma_update(None, "journal_mode", "WAL").unwrap();
        records.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (7)").unwrap();
        let mut copy = capture_records(folder.path()).unwrap().expect("a copy");
        records.execute_batch("INSERT INTO t VALUES (8)").unwrap();
        let restored = folder.path().join("restored");
        std::io::copy(&mut copy, &mut File::create(&restored).unwrap()).unwrap();
        let restored = Connection::open(restored).unwrap();
        let sum: i64 = restored.query_row("SELECT sum(x) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 7);
        let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let left = names.filter(|name| name.to_string_lossy().starts_with("records.sqlite."));
        assert_eq!(left.count(), 0);
    }
}
