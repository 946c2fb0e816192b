//! The table: what Flowise's driver makes, and what is found where one is
//! there already.

use super::{Distance, Postgres};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::vector_stores::remote::same_dimension;
use crate::wire::postgres::{Lease, Type, broken, quoted};

/// The column that Flowise's driver writes texts to.
pub(super) const PAGE_CONTENT: &str = "\"pageContent\"";

/// A table by its names, between quotes.
pub(super) struct Table {
    pub(super) name: String,
    /// The typed column of the texts, used where the table has it.
    pub(super) content: Option<String>,
    pub(super) distance: Distance,
}

impl Table {
    /// The columns that may hold the texts, the likelier one first.
    pub(super) fn content_columns(&self) -> impl Iterator<Item = &str> {
        let typed = self.content.as_deref().filter(|name| *name != PAGE_CONTENT);
        typed.into_iter().chain([PAGE_CONTENT])
    }
}

/// What a table that is there holds.
struct Layout {
    columns: Vec<String>,
    /// That all of its vectors must have.
    declared: Option<usize>,
}

const LAYOUT: &str = "SELECT attname::text, atttypmod FROM pg_attribute \
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";

/// Makes sure of the table, and gives the column of its texts.
///
/// # Errors
/// [`NodeError::BadRequest`] where it holds vectors of another dimension.
pub(super) async fn ready(
    index: &Postgres,
    n_dimensions: usize,
    lease: &mut Lease,
    ctx: &TurnCtx,
) -> Result<String, NodeError> {
    let layout = match layout(index, lease, ctx).await? {
        Some(layout) => layout,
        None => {
            make(index, lease, ctx).await?;
            let made = layout(index, lease, ctx).await?;
            made.ok_or_else(|| broken("did not make the table that it was told to make"))?
        }
    };
    let found = match layout.declared {
        Some(declared) => Some(declared),
        None => dimension(index, lease, ctx).await?,
    };
    same_dimension(&index.title, found, n_dimensions)?;
    let has = |name: &&str| layout.columns.iter().any(|column| quoted(column) == **name);
    let content = index.table.content_columns().find(has).map(str::to_owned);
    content.ok_or_else(|| {
        broken(format!("has a table {} without the column {PAGE_CONTENT}", index.table.name))
    })
}

async fn layout(
    index: &Postgres,
    lease: &mut Lease,
    ctx: &TurnCtx,
) -> Result<Option<Layout>, NodeError> {
    let rows = lease.query(LAYOUT, &[(&index.table.name, Type::TEXT)], ctx).await?;
    let mut layout = Layout { columns: Vec::with_capacity(rows.len()), declared: None };
    for row in &rows {
        let (Ok(name), Ok(modifier)) = (row.try_get::<_, String>(0), row.try_get::<_, i32>(1))
        else {
            continue;
        };
        if name == "embedding" {
            // -1 says: of any dimension, as Flowise declares it.
            layout.declared = usize::try_from(modifier).ok().filter(|dimension| *dimension > 0);
        }
        layout.columns.push(name);
    }
    Ok((!rows.is_empty()).then_some(layout))
}

async fn dimension(
    index: &Postgres,
    lease: &mut Lease,
    ctx: &TurnCtx,
) -> Result<Option<usize>, NodeError> {
    let statement = format!(
        "SELECT vector_dims(embedding) FROM {} WHERE embedding IS NOT NULL LIMIT 1",
        index.table.name
    );
    let rows = lease.query(&statement, &[], ctx).await?;
    Ok(rows.first().and_then(|row| usize::try_from(row.try_get::<_, i32>(0).ok()?).ok()))
}

/// Flowise's own table but for the default of the ids: hers needs an extension
/// more, and is never used here.
async fn make(index: &Postgres, lease: &mut Lease, ctx: &TurnCtx) -> Result<(), NodeError> {
    let content = index.table.content_columns().next().unwrap_or(PAGE_CONTENT);
    let statements = [
        "CREATE EXTENSION IF NOT EXISTS vector".to_owned(),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\"id\" uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY \
             KEY, {content} text, metadata jsonb, embedding vector)",
            index.table.name
        ),
    ];
    for statement in statements {
        match lease.run(&statement, ctx).await {
            // IF NOT EXISTS does not see what another connection is just making.
            Err(refusal) if !refusal.is_made_already() => return Err(refusal.into()),
            _ => {}
        }
    }
    Ok(())
}
