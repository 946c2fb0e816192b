//! What PostgreSQL's errors mean to people. Its details and hints may show
//! rows, so only its message goes on, and never the library's own words.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::{Server, broken};
use crate::error::NodeError;

const MAX_CHARS: usize = 200;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server's error: its code and message.
    Said(SqlState, String),
    /// Anything else.
    Final(NodeError),
}

impl Refusal {
    pub(super) fn of(error: Error) -> Self {
        match error.as_db_error() {
            Some(said) => Self::Said(said.code().clone(), presentable(said.message())),
            None if error.is_closed() => Self::Final(broken("closed the connection")),
            None => Self::Final(broken("broke off before it answered")),
        }
    }

    /// Whether the table is not there (yet).
    pub(crate) fn is_missing_table(&self) -> bool {
        matches!(self, Self::Said(code, _) if *code == SqlState::UNDEFINED_TABLE)
    }

    /// Whether a column is not there.
    pub(crate) fn is_missing_column(&self) -> bool {
        matches!(self, Self::Said(code, _) if *code == SqlState::UNDEFINED_COLUMN)
    }

    /// Whether another connection made the same thing at the same moment.
    pub(crate) fn is_made_already(&self) -> bool {
        let made =
            [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT];
        matches!(self, Self::Said(code, _) if made.contains(code))
    }

    /// pgvector's complaint about vectors of another length.
    pub(crate) fn is_wrong_dimension(&self) -> bool {
        matches!(self, Self::Said(_, message)
            if message.contains("different vector dimensions")
                || (message.contains("expected") && message.contains("dimensions")))
    }
}

impl From<Refusal> for NodeError {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::Final(error) => return error,
            Refusal::Said(code, message) => (code, message),
        };
        if code == SqlState::QUERY_CANCELED {
            return broken("gave up on a statement that took too long");
        }
        if code == SqlState::INSUFFICIENT_PRIVILEGE {
            return broken(format!("does not let its user do that ({message})"));
        }
        let is_missing =
            message.contains("type \"vector\"") || message.contains("extension \"vector\"");
        if is_missing {
            return broken(
                "has no pgvector in this database; install it and run CREATE EXTENSION vector there",
            );
        }
        broken(format!("answered with the error {}: {message}", code.code()))
    }
}

impl Server {
    /// Why a connection could not be opened.
    pub(super) fn refused(&self, error: Error) -> NodeError {
        let Some(said) = error.as_db_error() else { return self.unreached(&error) };
        match said.code() {
            code if *code == SqlState::INVALID_PASSWORD
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
            {
                broken("refused the user or password of its credential")
            }
            code if *code == SqlState::INVALID_CATALOG_NAME => {
                broken(format!("has no database named \"{}\"", presentable(&self.database)))
            }
            code if *code == SqlState::TOO_MANY_CONNECTIONS => {
                broken("has no connection left; raise its max_connections")
            }
            _ => Refusal::of(error).into(),
        }
    }

    fn unreached(&self, error: &Error) -> NodeError {
        let words = error.to_string();
        if words.starts_with("error performing TLS handshake") {
            return broken(
                "could not be reached over TLS; check that the server speaks it with a certificate \
                 that this machine trusts, or turn ssl off",
            );
        }
        if words.starts_with("authentication error") || words.starts_with("invalid configuration") {
            return broken("asks for a password that its credential does not have");
        }
        broken("could not be reached; check host and port, and that the server runs")
    }
}

/// A text of the server that may be shown: one line, and not long.
pub(crate) fn presentable(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
