//! Flowise `postgres`, version 7: a table of PostgreSQL with pgvector, as
//! Flowise's TypeORM driver makes it. An upsert is one transaction.

mod filter;
mod search;
mod table;
mod write;

use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use uuid::Uuid;

use super::VectorStore;
use super::remote::{DOCUMENT, EMBEDDINGS, FILE_UPLOAD, RECORD_MANAGER, TOP_K};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Hit, IndexWriter, VectorIndex, VectorQuery};
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::postgres::{MOST_NAME_BYTES, Server, Variables, quoted};
use table::Table;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "postgres",
    category: "Vector Stores",
    version: 7.0,
    about: "Finds chunks in a PostgreSQL table with pgvector.",
    params: &[
        DOCUMENT,
        EMBEDDINGS,
        RECORD_MANAGER,
        Param::closed("host", Kind::Text),
        Param::closed("database", Kind::Text),
        Param::closed("port", Kind::Integer),
        Param::closed("ssl", Kind::Boolean),
        Param::closed("tableName", Kind::Text),
        Param::closed("distanceStrategy", Kind::Choice(&["cosine", "euclidean", "innerProduct"])),
        FILE_UPLOAD,
        TOP_K,
        Param::listed("pgMetadataFilter", Kind::Json),
        Param::closed("contentColumnName", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "PostgresApi",
        fields: &[
            ("user", Some("POSTGRES_VECTORSTORE_USER")),
            ("password", Some("POSTGRES_VECTORSTORE_PASSWORD")),
        ],
    }),
    build,
};

/// Flowise's environment variables for what the node leaves empty.
const VARIABLES: Variables = Variables {
    host: "POSTGRES_VECTORSTORE_HOST",
    database: "POSTGRES_VECTORSTORE_DATABASE",
    port: "POSTGRES_VECTORSTORE_PORT",
    ssl: "POSTGRES_VECTORSTORE_SSL",
    table: "POSTGRES_VECTORSTORE_TABLE_NAME",
};
const CONTENT_VARIABLE: &str = "POSTGRES_VECTORSTORE_CONTENT_COLUMN_NAME";
const DEFAULT_TABLE: &str = "documents";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = VARIABLES.table(inputs, DEFAULT_TABLE)?;
    let index = Postgres {
        title: inputs.title(),
        server: Server::read(inputs, &VARIABLES)?,
        table: Table {
            name: quoted(&name),
            content: content_column(inputs)?,
            distance: Distance::read(inputs)?,
        },
    };
    let store = VectorStore::assemble(inputs, SPEC.name, index, "pgMetadataFilter")?;
    // Flowise appends the name as it was typed.
    let typed = VARIABLES.typed_table(inputs, DEFAULT_TABLE);
    Ok(store.with_records_name(Some(typed)).into_instance())
}

fn content_column(inputs: &Inputs) -> Result<Option<String>, NodeError> {
    let typed = inputs.text("contentColumnName").or_else(|| std::env::var(CONTENT_VARIABLE).ok());
    match typed.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()) {
        Some(name) if name.len() > MOST_NAME_BYTES || name.contains(char::is_control) => {
            Err(inputs.bad("contentColumnName", "must be the name of a column"))
        }
        name => Ok(name.map(|name| quoted(&name))),
    }
}

/// How near two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distance {
    Cosine,
    Euclidean,
    InnerProduct,
}

impl Distance {
    fn read(inputs: &Inputs) -> Result<Self, NodeError> {
        match inputs.text("distanceStrategy").as_deref() {
            None | Some("cosine") => Ok(Self::Cosine),
            Some("euclidean") => Ok(Self::Euclidean),
            Some("innerProduct") => Ok(Self::InnerProduct),
            Some(_) => {
                Err(inputs.bad("distanceStrategy", "must be cosine, euclidean or innerProduct"))
            }
        }
    }
}

/// A table of chunks.
struct Postgres {
    title: String,
    server: Server,
    table: Table,
}

impl VectorIndex for Postgres {
    fn identity(&self, _ctx: &TurnCtx) -> String {
        format!("postgres {} {}", self.server.address(), self.table.name)
    }

    fn known<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        async move { search::known(self, ids, ctx).await }.boxed()
    }

    fn writer<'a>(
        &'a self,
        n_dimensions: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Box<dyn IndexWriter>, NodeError>> {
        async move { write::open(self, n_dimensions, ctx).await }.boxed()
    }

    fn delete<'a>(
        &'a self,
        ids: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        async move { write::delete(self, ids, ctx).await }.boxed()
    }

    fn matching<'a>(
        &'a self,
        filter: &'a Value,
        most: usize,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        async move { search::matching(self, filter, most, ctx).await }.boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a VectorQuery<'a>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        async move { search::nearest(self, query, ctx).await }.boxed()
    }
}

#[cfg(test)]
mod tests;
