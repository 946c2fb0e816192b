//! One change of an index at a time, whoever asks for it: an upsert, a store
//! that fills itself before a search, or a removal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Lane, OwnedMutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::ctx::TurnCtx;
use crate::error::NodeError;

static LANES: Mutex<Option<HashMap<String, Weak<Lane<()>>>>> = Mutex::new(None);

/// Read by who changes an index, from there until the ledger and the record
/// manager know of it; written by who wants to see them in step.
static SETTLING: RwLock<()> = RwLock::const_new(());

/// An index that is ahead of its ledger and its record manager.
pub(in crate::vector_stores) type Settling = RwLockReadGuard<'static, ()>;

/// All indexes, in step with their ledgers and record managers while it is held.
pub type Settled = RwLockWriteGuard<'static, ()>;

/// Notes that an index is about to be changed. Held until that is settled.
pub(in crate::vector_stores) async fn settling() -> Settling {
    SETTLING.read().await
}

/// Waits until every index is in step with its ledger and its record manager.
/// None of them is committed as long as the result is held: hold it for moments.
pub async fn all_settled() -> Settled {
    SETTLING.write().await
}

/// Waits for the index's turn, which ends when the guard is dropped.
///
/// # Errors
/// [`NodeError::Cancelled`] when the caller left meanwhile.
pub(in crate::vector_stores) async fn enter(
    identity: &str,
    ctx: &TurnCtx,
) -> Result<OwnedMutexGuard<()>, NodeError> {
    let lane = lane(identity);
    tokio::select! {
        () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
        guard = lane.lock_owned() => Ok(guard),
    }
}

fn lane(identity: &str) -> Arc<Lane<()>> {
    let mut lanes = LANES.lock().unwrap_or_else(PoisonError::into_inner);
    let lanes = lanes.get_or_insert_default();
    if let Some(lane) = lanes.get(identity).and_then(Weak::upgrade) {
        return lane;
    }
    // Nobody is in the others any more; the map stays as small as the work.
    lanes.retain(|_, lane| lane.strong_count() > 0);
    let lane = Arc::new(Lane::new(()));
    lanes.insert(identity.to_owned(), Arc::downgrade(&lane));
    lane
}
