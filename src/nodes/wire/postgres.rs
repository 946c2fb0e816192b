//! Connections to PostgreSQL: a small, bounded pool per server and user. All
//! that is sent has a time limit and ends when the caller leaves. Statements
//! are sent unnamed and with their types, so that a pooler in between
//! (PgBouncer) need not know them. No error tells a password.

mod address;
mod pool;
mod refusal;
mod tls;

use std::time::Duration;

pub(crate) use address::Variables;
pub(crate) use pool::Lease;
pub(crate) use tokio_postgres::Row;
pub(crate) use tokio_postgres::types::{ToSql, Type};

use crate::error::NodeError;

/// How people know it.
pub(crate) const PROVIDER: &str = "PostgreSQL";
/// The time until a connection is open.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The time of one statement. Writing some hundred rows into a large index
/// takes seconds; what takes longer than this is stuck.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// A parameter of a statement with its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Where a database is, and who enters it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// Name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Name of the database.
    pub(crate) database: String,
    /// The user.
    pub(crate) user: String,
    /// The password; a server may trust its own machine.
    pub(crate) password: Option<String>,
    /// Whether to speak TLS. The certificate is checked.
    pub(crate) tls: bool,
}

impl Server {
    /// Where it is, without who enters.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

/// An error of the server; `problem` starts with a verb.
pub(crate) fn broken(problem: impl Into<String>) -> NodeError {
    NodeError::UpstreamBroken { provider: PROVIDER.to_owned(), problem: problem.into() }
}

/// A name as PostgreSQL and Flowise take it: spaces become underscores, all is
/// lower case, nothing but letters, digits and underscores is left.
///
/// # Errors
/// The problem, starting with a verb.
pub(crate) fn table_name(typed: &str) -> Result<String, &'static str> {
    let words: Vec<_> = typed.split_whitespace().collect();
    let name = words.join("_").to_lowercase();
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match (is_plain, name.len()) {
        (true, 1..=MOST_NAME_BYTES) => Ok(name),
        (true, _) => Err("must have 1 to 63 characters"),
        (false, _) => Err("may hold letters, digits and underscores only"),
    }
}

/// What PostgreSQL keeps of a name.
pub(crate) const MOST_NAME_BYTES: usize = 63;

/// A name between quotes, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
