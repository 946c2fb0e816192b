//! Reads the tables of a Flowise database. Columns differ between versions, so
//! a row is read whole, as a map of what its table has.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde_json::{Map, Value};

/// The column in which a spooled export keeps a whole row as JSON.
pub(super) const WHOLE_ROW: &str = "row";

/// A row by column; what its table lacks is absent.
pub(super) type Record = Map<String, Value>;

/// An open database.
pub(super) struct Database {
    pub connection: Connection,
    /// The file and its state when it was opened; `None` for a spooled export.
    file: Option<(PathBuf, State)>,
}

/// Tells whether somebody wrote meanwhile.
type State = (u64, Option<SystemTime>);

impl Database {
    /// Opens a database file without writing, locking or making anything
    /// beside it.
    ///
    /// # Errors
    /// One sentence, also where another program is in the middle of a write.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        for (ending, what) in [("-wal", "write-ahead log"), ("-journal", "journal")] {
            let mut beside = path.as_os_str().to_owned();
            beside.push(ending);
            if std::fs::metadata(&beside).is_ok_and(|file| file.len() > 0) {
                bail!(
                    "the database has a {what} beside it: Flowise is running or was stopped in \
                     the middle of a write; stop it cleanly, or copy its folder, and run this again"
                );
            }
        }
        let state = state(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(path)?, flags)
            .context("the database cannot be opened")?;
        let database = Self { connection, file: Some((path.to_owned(), state)) };
        let checked = database.has_table("chat_flow");
        if !checked.context("the file is no SQLite database, or a damaged one")? {
            bail!("this is no database of Flowise: it has no table chat_flow");
        }
        Ok(database)
    }

    /// A database that was filled from an export.
    pub fn spooled(connection: Connection) -> Self {
        Self { connection, file: None }
    }

    /// Whether the file is as it was when it was opened.
    pub fn is_unchanged(&self) -> bool {
        self.file.as_ref().is_none_or(|(path, before)| state(path).is_ok_and(|now| now == *before))
    }

    pub fn has_table(&self, table: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        Ok(self.connection.query_row(sql, [table], |_| Ok(())).optional()?.is_some())
    }

    pub fn has_column(&self, table: &str, column: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
        Ok(self.connection.query_row(sql, [table, column], |_| Ok(())).optional()?.is_some())
    }

    /// The rows of a table; 0 where there is no such table.
    pub fn count(&self, table: &str) -> anyhow::Result<u64> {
        if !self.has_table(table)? {
            return Ok(0);
        }
        let sql = format!("SELECT count(*) FROM \"{table}\"");
        let n_rows: i64 = self.connection.query_row(&sql, [], |row| row.get(0)).context(DAMAGED)?;
        Ok(n_rows.unsigned_abs())
    }

    /// Workspaces that chatflows are in; 0 before 3.x.
    pub fn n_workspaces(&self) -> anyhow::Result<i64> {
        if !self.has_column("chat_flow", "workspaceId")? {
            return Ok(0);
        }
        let sql = "SELECT count(DISTINCT workspaceId) FROM chat_flow";
        self.connection.query_row(sql, [], |row| row.get(0)).context(DAMAGED)
    }

    /// Where the rows of a table lie, in the order they were made.
    pub fn places(&self, table: &str) -> anyhow::Result<Vec<i64>> {
        if !self.has_table(table)? {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT rowid FROM \"{table}\" ORDER BY rowid");
        let mut statement = self.connection.prepare(&sql).context(DAMAGED)?;
        let places = statement.query_map([], |row| row.get(0)).context(DAMAGED)?;
        places.collect::<rusqlite::Result<_>>().context(DAMAGED)
    }

    /// One row.
    pub fn record(&self, table: &str, place: i64) -> anyhow::Result<Record> {
        let sql = format!("SELECT * FROM \"{table}\" WHERE rowid = ?1");
        let mut statement = self.connection.prepare_cached(&sql).context(DAMAGED)?;
        let record = statement.query_row([place], record).context(DAMAGED)?;
        // A spooled row is one text.
        match record.get(WHOLE_ROW).and_then(Value::as_str).map(serde_json::from_str) {
            Some(Ok(Value::Object(whole))) => Ok(whole),
            _ => Ok(record),
        }
    }
}

/// What is said when the file gives way in the middle.
pub(super) const DAMAGED: &str =
    "reading the database failed; it is damaged, or Flowise wrote to it meanwhile";

fn state(path: &Path) -> anyhow::Result<State> {
    let file = std::fs::metadata(path).context("the database cannot be read")?;
    Ok((file.len(), file.modified().ok()))
}

/// `immutable` reads the file alone: no lock, no shared memory, nothing that
/// would have to be written into somebody else's folder.
fn uri(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    let path = path.to_str().context("the path of the database is no UTF-8")?;
    let mut uri = String::from("file:");
    for byte in path.bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(byte));
            }
            other => write!(uri, "%{other:02X}")?,
        }
    }
    Ok(uri + "?immutable=1")
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let columns = row.as_ref().column_names().map(str::to_owned).collect::<Vec<_>>();
    let column = |(at, name): (usize, String)| Ok((name, json(row.get_ref(at)?)));
    columns.into_iter().enumerate().map(column).collect()
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
    }
}

/// A text column; empty and absent are `None`.
pub(super) fn text<'a>(record: &'a Record, column: &str) -> Option<&'a str> {
    record.get(column).and_then(Value::as_str).filter(|text| !text.is_empty())
}
