//! Flowise's `SQLiteRecordManager`, version 1.1: a table of LangChain in a
//! SQLite file of the data folder. `additionalConfig` is not read: it would be
//! the path of another file.

mod table;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::Connection;
use uuid::Uuid;

use super::settings::{CLEANUP, NAMESPACE, SOURCE_ID_KEY, TABLE_NAME, policy};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{RecordManager, RecordPolicy};
use crate::spec::{Kind, NodeSpec, Param};
use crate::wire::postgres::table_name;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "SQLiteRecordManager",
    category: "Record Manager",
    version: 1.1,
    about: "Remembers in the data folder which chunks are in a vector store.",
    params: &[
        Param::closed("additionalConfig", Kind::Json),
        TABLE_NAME,
        NAMESPACE,
        CLEANUP,
        SOURCE_ID_KEY,
    ],
    credential: None,
    build,
};

const DEFAULT_TABLE: &str = "upsertion_records";

struct SqliteRecords {
    policy: RecordPolicy,
    /// A plain identifier, in lower case: it may stand in a statement as it is.
    table: String,
    /// Opened by the first call, which knows the file.
    connection: Arc<Mutex<Option<Connection>>>,
}

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let (policy, table, connection) = (policy(inputs)?, table_of(inputs)?, Arc::default());
    Ok(Instance::RecordManager(Arc::new(SqliteRecords { policy, table, connection })))
}

fn table_of(inputs: &Inputs) -> Result<String, NodeError> {
    let typed = inputs.text(TABLE_NAME.name).unwrap_or_else(|| DEFAULT_TABLE.to_owned());
    let name = table_name(&typed).map_err(|problem| inputs.bad(TABLE_NAME.name, problem))?;
    match name.starts_with("sqlite_") {
        true => Err(inputs.bad(TABLE_NAME.name, "is a name that SQLite keeps for itself")),
        false => Ok(name),
    }
}

impl SqliteRecords {
    /// Works on the table, off the arbiter.
    async fn with_table<T: Send + 'static>(
        &self,
        ctx: &TurnCtx,
        work: impl FnOnce(&mut Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, NodeError> {
        let file = ctx.services.records_file()?;
        let (shared, table) = (Arc::clone(&self.connection), self.table.clone());
        let job = move || {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = opened(&mut shared, file, &table)?;
            work(connection, &table)
        };
        match tokio::task::spawn_blocking(job).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!("the record manager's file failed: {error}");
                Err(broken("could not read or write its file; the server's log says why"))
            }
            Err(_) => Err(broken("was interrupted")),
        }
    }
}

fn opened<'a>(
    shared: &'a mut Option<Connection>,
    file: PathBuf,
    name: &str,
) -> rusqlite::Result<&'a mut Connection> {
    match shared {
        Some(connection) => Ok(connection),
        none => Ok(none.insert(table::open(&file, name)?)),
    }
}

fn broken(problem: &str) -> NodeError {
    let provider = "The SQLite record manager".to_owned();
    NodeError::UpstreamBroken { provider, problem: problem.to_owned() }
}

impl RecordManager for SqliteRecords {
    fn policy(&self) -> &RecordPolicy {
        &self.policy
    }

    fn now<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<f64, NodeError>> {
        self.with_table(ctx, |connection, _| table::now(connection)).boxed()
    }

    fn exist<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<bool>, NodeError>> {
        let (namespace, keys) = (namespace.to_owned(), keys.to_vec());
        self.with_table(ctx, move |connection, name| {
            table::exist(connection, name, &namespace, &keys)
        })
        .boxed()
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [(Uuid, Option<String>)],
        seen_at: f64,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let (namespace, keys) = (namespace.to_owned(), keys.to_vec());
        self.with_table(ctx, move |connection, name| {
            table::update(connection, name, &namespace, &keys, seen_at)
        })
        .boxed()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        sources: Option<&'a [String]>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        let (namespace, sources) = (namespace.to_owned(), sources.map(<[String]>::to_vec));
        self.with_table(ctx, move |connection, name| {
            table::list(connection, name, &namespace, sources.as_deref())
        })
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        let (namespace, keys) = (namespace.to_owned(), keys.to_vec());
        self.with_table(ctx, move |connection, name| {
            table::delete(connection, name, &namespace, &keys)
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests;
