//! Flowise `postgresRecordManager`, version 1: a table of PostgreSQL that
//! remembers which chunks of which source a vector store holds, as LangChain
//! and Flowise make it.

mod table;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::settings::{self, Settings};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Cleanup, RecordManager};
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::postgres::{Server, Variables};
use table::Records;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "postgresRecordManager",
    category: "Record Manager",
    version: 1.0,
    about: "Remembers in a PostgreSQL table which chunks a vector store holds.",
    params: &[
        Param::closed("host", Kind::Text),
        Param::closed("database", Kind::Text),
        Param::closed("port", Kind::Integer),
        Param::closed("ssl", Kind::Boolean),
        settings::TABLE_NAME,
        settings::NAMESPACE,
        settings::CLEANUP,
        settings::SOURCE_ID_KEY,
    ],
    credential: Some(&CredentialSpec {
        kind: "PostgresApi",
        fields: &[
            ("user", Some("POSTGRES_RECORDMANAGER_USER")),
            ("password", Some("POSTGRES_RECORDMANAGER_PASSWORD")),
        ],
    }),
    build,
};

/// Flowise's environment variables for what the node leaves empty.
const VARIABLES: Variables = Variables {
    host: "POSTGRES_RECORDMANAGER_HOST",
    database: "POSTGRES_RECORDMANAGER_DATABASE",
    port: "POSTGRES_RECORDMANAGER_PORT",
    ssl: "POSTGRES_RECORDMANAGER_SSL",
    table: "POSTGRES_RECORDMANAGER_TABLE_NAME",
};
const DEFAULT_TABLE: &str = "upsertion_records";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::RecordManager(Arc::new(PostgresRecords {
        records: Records {
            server: Server::read(inputs, &VARIABLES)?,
            table: VARIABLES.table(inputs, DEFAULT_TABLE)?,
        },
        settings: Settings::read(inputs)?,
    })))
}

struct PostgresRecords {
    records: Records,
    settings: Settings,
}

impl RecordManager for PostgresRecords {
    fn cleanup(&self) -> Cleanup {
        self.settings.cleanup
    }

    fn source_id_key(&self) -> &str {
        &self.settings.source_id_key
    }

    fn namespace(&self) -> Option<&str> {
        self.settings.namespace.as_deref()
    }

    fn now<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<f64, NodeError>> {
        self.records.now(ctx).boxed()
    }

    fn exist<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<bool>, NodeError>> {
        self.records.exist(namespace, keys, ctx).boxed()
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [(Uuid, Option<String>)],
        seen_at: f64,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        self.records.update(namespace, keys, seen_at, ctx).boxed()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        before: Option<f64>,
        sources: Option<&'a [String]>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        self.records.list(namespace, before, sources, ctx).boxed()
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        self.records.delete(namespace, keys, ctx).boxed()
    }
}
