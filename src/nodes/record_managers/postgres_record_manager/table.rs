//! The table of a record manager. A table that is not there yet is empty; it
//! is made before it is first written to.

use std::collections::{BTreeMap, HashSet};

use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{RecordManager, RecordPolicy};
use crate::wire::postgres::{Lease, Parameter, Row, Server, Type, quoted};

/// Keys of one statement.
const MOST_KEYS: usize = 1_000;

/// A table and where it is.
pub(super) struct Records {
    pub(super) server: Server,
    /// Its name, without quotes.
    pub(super) table: String,
    pub(super) policy: RecordPolicy,
}

impl RecordManager for Records {
    fn policy(&self) -> &RecordPolicy {
        &self.policy
    }

    fn now<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<f64, NodeError>> {
        self.read_clock(ctx).boxed()
    }

    fn exist<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<bool>, NodeError>> {
        self.look(namespace, keys, ctx).boxed()
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [(Uuid, Option<String>)],
        seen_at: f64,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        self.write(namespace, keys, seen_at, ctx).boxed()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        sources: Option<&'a [String]>,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        self.read(namespace, sources, ctx).boxed()
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        keys: &'a [Uuid],
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        self.forget(namespace, keys, ctx).boxed()
    }
}

impl Records {
    async fn read_clock(&self, ctx: &TurnCtx) -> Result<f64, NodeError> {
        let statement = "SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8";
        let rows = self.server.lease(ctx).await?.query(statement, &[], ctx).await?;
        let seconds = rows.first().and_then(|row| row.try_get::<_, f64>(0).ok());
        seconds.ok_or_else(|| crate::wire::postgres::broken("did not tell the time"))
    }

    async fn look(
        &self,
        namespace: &str,
        keys: &[Uuid],
        ctx: &TurnCtx,
    ) -> Result<Vec<bool>, NodeError> {
        let statement = format!(
            "SELECT key FROM {} WHERE namespace = $1 AND key = ANY($2)",
            quoted(&self.table)
        );
        let mut known = HashSet::new();
        for keys in keys.chunks(MOST_KEYS) {
            let keys = texts(keys);
            let parameters: [Parameter; 2] = [(&namespace, Type::TEXT), (&keys, Type::TEXT_ARRAY)];
            known.extend(
                self.server.rows(&statement, &parameters, ctx).await?.iter().filter_map(key),
            );
        }
        Ok(keys.iter().map(|key| known.contains(key)).collect())
    }

    async fn write(
        &self,
        namespace: &str,
        keys: &[(Uuid, Option<String>)],
        seen_at: f64,
        ctx: &TurnCtx,
    ) -> Result<(), NodeError> {
        // One statement cannot write a row twice; the order keeps two upserts
        // from waiting for each other's rows.
        let keys: BTreeMap<_, _> = keys.iter().map(|(key, source)| (key, source)).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let table = quoted(&self.table);
        let statement = format!(
            "INSERT INTO {table} AS known (key, namespace, updated_at, group_id) \
             SELECT seen.key, $1, $2, seen.source FROM unnest($3, $4) AS seen(key, source) \
             ON CONFLICT (key, namespace) DO UPDATE SET updated_at = EXCLUDED.updated_at, \
             group_id = COALESCE(EXCLUDED.group_id, known.group_id)"
        );
        let mut lease = self.server.lease(ctx).await?;
        self.make(&mut lease, ctx).await?;
        for keys in keys.chunks(MOST_KEYS) {
            let names: Vec<_> = keys.iter().map(|(key, _)| key.to_string()).collect();
            let sources: Vec<_> = keys.iter().map(|(_, source)| source.as_deref()).collect();
            let parameters: [Parameter; 4] = [
                (&namespace, Type::TEXT),
                (&seen_at, Type::FLOAT8),
                (&names, Type::TEXT_ARRAY),
                (&sources, Type::TEXT_ARRAY),
            ];
            lease.execute(&statement, &parameters, ctx).await?;
        }
        Ok(())
    }

    async fn read(
        &self,
        namespace: &str,
        sources: Option<&[String]>,
        ctx: &TurnCtx,
    ) -> Result<Vec<Uuid>, NodeError> {
        let mut statement = format!("SELECT key FROM {} WHERE namespace = $1", quoted(&self.table));
        let mut parameters: Vec<Parameter> = vec![(&namespace, Type::TEXT)];
        if let Some(sources) = &sources {
            parameters.push((sources, Type::TEXT_ARRAY));
            statement.push_str(" AND group_id = ANY($2)");
        }
        Ok(self.server.rows(&statement, &parameters, ctx).await?.iter().filter_map(key).collect())
    }

    async fn forget(&self, namespace: &str, keys: &[Uuid], ctx: &TurnCtx) -> Result<(), NodeError> {
        let statement =
            format!("DELETE FROM {} WHERE namespace = $1 AND key = ANY($2)", quoted(&self.table));
        for keys in keys.chunks(MOST_KEYS) {
            let keys = texts(keys);
            let parameters: [Parameter; 2] = [(&namespace, Type::TEXT), (&keys, Type::TEXT_ARRAY)];
            self.server.rows(&statement, &parameters, ctx).await?;
        }
        Ok(())
    }

    /// Flowise's table and its indexes, names included. Nothing is asked to be
    /// made that is there: that would need a right that a user may lack.
    async fn make(&self, lease: &mut Lease, ctx: &TurnCtx) -> Result<(), NodeError> {
        let table = quoted(&self.table);
        let there = "SELECT to_regclass($1) IS NOT NULL";
        let rows = lease.query(there, &[(&table, Type::TEXT)], ctx).await?;
        if rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
            return Ok(());
        }
        let mut statements = format!(
            "CREATE TABLE IF NOT EXISTS {table} (uuid UUID PRIMARY KEY DEFAULT gen_random_uuid(), \
             key TEXT NOT NULL, namespace TEXT NOT NULL, updated_at DOUBLE PRECISION NOT NULL, \
             group_id TEXT, UNIQUE (key, namespace));"
        );
        for column in ["updated_at", "key", "namespace", "group_id"] {
            statements.push_str(&format!(
                "CREATE INDEX IF NOT EXISTS {column}_index ON {table} ({column});"
            ));
        }
        match lease.run(&statements, ctx).await {
            // IF NOT EXISTS does not see what another connection is just making.
            Err(refusal) if !refusal.is_made_already() => Err(refusal.into()),
            _ => Ok(()),
        }
    }
}

fn texts(keys: &[Uuid]) -> Vec<String> {
    keys.iter().map(Uuid::to_string).collect()
}

/// A key of this kind; others are not of an upsert.
fn key(row: &Row) -> Option<Uuid> {
    Uuid::try_parse(&row.try_get::<_, String>(0).ok()?).ok()
}
