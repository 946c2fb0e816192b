//! The table's statements. Its name stands in them as it is, because
//! the node lets plain identifiers through only; columns and their meaning
//! are LangChain's (Flowise 2.2.8, `SQLiteRecordManager`), times in seconds.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

/// How long a statement waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the file and makes the table where it is not there.
pub(super) fn open(file: &Path, table: &str) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS \"{table}\" (
            uuid TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
            key TEXT NOT NULL,
            namespace TEXT NOT NULL,
            updated_at REAL NOT NULL,
            group_id TEXT,
            UNIQUE (key, namespace)
        );
        CREATE INDEX IF NOT EXISTS \"{table}_of_namespace\"
            ON \"{table}\" (namespace, group_id, updated_at);"
    ))?;
    Ok(connection)
}

/// Seconds since 1970, with fractions.
pub(super) fn now(connection: &Connection) -> Result<f64> {
    connection.query_row("SELECT unixepoch('subsec')", [], |row| row.get(0))
}

/// Which keys are there, in order.
pub(super) fn exist(
    connection: &Connection,
    table: &str,
    namespace: &str,
    keys: &[Uuid],
) -> Result<Vec<bool>> {
    let sql = format!("SELECT 1 FROM \"{table}\" WHERE namespace = ?1 AND key = ?2");
    let mut found = connection.prepare_cached(&sql)?;
    let exists = |key: &Uuid| {
        let row = found.query_row(params![namespace, key.to_string()], |_| Ok(()));
        Ok(row.optional()?.is_some())
    };
    keys.iter().map(exists).collect()
}

/// Notes keys as seen; a source once noted is kept where none is given.
pub(super) fn update(
    connection: &mut Connection,
    table: &str,
    namespace: &str,
    keys: &[(Uuid, Option<String>)],
    seen_at: f64,
) -> Result<()> {
    let change = connection.transaction()?;
    let sql = format!(
        "INSERT INTO \"{table}\" (key, namespace, updated_at, group_id) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key, namespace) DO UPDATE SET
            updated_at = excluded.updated_at, group_id = coalesce(excluded.group_id, group_id)"
    );
    let mut insert = change.prepare_cached(&sql)?;
    for (key, source) in keys {
        insert.execute(params![key.to_string(), namespace, seen_at, source])?;
    }
    drop(insert);
    change.commit()
}

/// Keys of these sources, or of all.
pub(super) fn list(
    connection: &Connection,
    table: &str,
    namespace: &str,
    sources: Option<&[String]>,
) -> Result<Vec<Uuid>> {
    let all = format!("SELECT key FROM \"{table}\" WHERE namespace = ?1");
    let Some(sources) = sources else {
        return keys(connection, &all, params![namespace]);
    };
    let of_source = format!("{all} AND group_id = ?2");
    let mut found = Vec::new();
    for source in sources {
        found.extend(keys(connection, &of_source, params![namespace, source])?);
    }
    Ok(found)
}

/// Keys of another kind than LangChain's are nobody's here.
fn keys(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Uuid>> {
    let mut statement = connection.prepare_cached(sql)?;
    let key = |row: &Row<'_>| row.get::<_, String>(0);
    let keys = statement.query_map(parameters, key)?.collect::<Result<Vec<String>>>()?;
    Ok(keys.iter().filter_map(|key| Uuid::parse_str(key).ok()).collect())
}

/// Forgets keys.
pub(super) fn delete(
    connection: &mut Connection,
    table: &str,
    namespace: &str,
    keys: &[Uuid],
) -> Result<()> {
    let change = connection.transaction()?;
    let sql = format!("DELETE FROM \"{table}\" WHERE namespace = ?1 AND key = ?2");
    let mut delete = change.prepare_cached(&sql)?;
    for key in keys {
        delete.execute(params![namespace, key.to_string()])?;
    }
    drop(delete);
    change.commit()
}
