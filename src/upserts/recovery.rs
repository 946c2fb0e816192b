//! What a crash left behind: jobs that never ended, and chunks that were
//! written without the rest of their upsert.

use std::collections::HashSet;

use actix_web::web;
use parlor_schemas::{Fault, Timestamp, UpsertJob};

use super::Upserts;
use crate::flow::upsert;
use crate::flow::upsert_work::StoreTidying;
use crate::http::state::AppState;
use crate::http::vector::find_targets;
use crate::store::StoreError;

impl Upserts {
    /// Marks the jobs that ran when the server stopped; gives them. Call it
    /// before the first job starts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn mark_interrupted(&self) -> Result<Vec<UpsertJob>, StoreError> {
        self.inner.store.upsert_jobs().interrupt(Timestamp::now()).await
    }
}

/// Takes out what interrupted upserts announced in the stores as their
/// chatflows name them now. What fails, and what lies where a request's own
/// override put it (a namespace of Pinecone), is left to the next upsert there.
pub async fn tidy(state: &web::Data<AppState>, interrupted: Vec<UpsertJob>) {
    let mut seen = HashSet::new();
    for job in interrupted {
        if !seen.insert((job.chatflow_id, job.stop_node_ids.clone())) {
            continue;
        }
        match tidy_after(state, &job).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(job = %job.id, "{n} chunks of an interrupted upsert taken out"),
            Err(fault) => {
                let why = fault.for_log();
                tracing::warn!(job = %job.id, "an interrupted upsert is not tidied yet: {why}");
            }
        }
    }
}

async fn tidy_after(state: &web::Data<AppState>, job: &UpsertJob) -> Result<u64, Fault> {
    let flow = state.flows.get(job.chatflow_id)?;
    let mut n_taken = 0;
    for target in find_targets(state, &flow, job.stop_node_ids.clone()).await? {
        let built = upsert::saved(&flow, &target, &state.services).await?;
        let handle = state.upserts.handle();
        let (permit, identity) = (handle.admit()?, built.identity());
        let tidying = handle.upsert(&permit, identity, Box::new(StoreTidying(built)))?;
        n_taken += tidying.await?.num_deleted;
    }
    Ok(n_taken)
}
