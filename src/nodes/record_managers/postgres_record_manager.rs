//! Flowise `postgresRecordManager`, version 1: a table of PostgreSQL that
//! remembers which chunks of which source a vector store holds, as LangChain
//! and Flowise make it.

mod table;

use std::sync::Arc;

use super::settings;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
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
    Ok(Instance::RecordManager(Arc::new(Records {
        server: Server::read(inputs, &VARIABLES)?,
        table: VARIABLES.table(inputs, DEFAULT_TABLE)?,
        policy: settings::policy(inputs)?,
    })))
}
