//! Searches off the arbiters: as many at once as there are processors, apart
//! from the workers that parse documents for minutes.

use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use parlor_nodes::NodeError;
use parlor_nodes::vector_index::Snapshot;
use parlor_schemas::{ErrorCode, Fault};
use tokio::sync::Semaphore;

static SEARCHERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    Arc::new(Semaphore::new(available_parallelism().map_or(2, |n| n.get().max(2))))
});

/// Graphs take a minute of one processor each.
static BUILDER: Semaphore = Semaphore::const_new(1);

/// Runs a search when a processor is free for it. With `wants_two` it is told
/// whether a second one is, too; under load each search has one.
pub(super) async fn search<T: Send + 'static>(
    wants_two: bool,
    work: impl FnOnce(bool) -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    let permit = SEARCHERS.clone().acquire_owned().await.map_err(|_| NodeError::Cancelled)?;
    let second = if wants_two { SEARCHERS.clone().try_acquire_owned().ok() } else { None };
    let job = move || {
        let _permits = (permit, &second);
        work(second.is_some())
    };
    blocking(job).await
}

/// Builds a graph for a segment that is searched often; one at a time. It ends
/// early when nobody has the segment any more.
pub(super) fn tend(snapshot: &Snapshot) {
    let Some(live) = snapshot.segments.iter().find(|live| live.segment.wants_graph()) else {
        return;
    };
    let Ok(permit) = BUILDER.try_acquire() else { return };
    let segment = Arc::clone(&live.segment);
    let build = move || {
        let _permit = permit;
        let is_used = segment.build_graph(|| Arc::strong_count(&segment) > 1);
        tracing::info!(is_used, n_rows = segment.n_rows(), "a graph of vectors was built");
    };
    if let Err(error) = std::thread::Builder::new().name("vector-graph".to_owned()).spawn(build) {
        tracing::warn!("searches stay exact, since no thread could be started: {error}");
    }
}

/// Runs work that reads or writes files.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| {
        tracing::error!("work on vectors broke off: {error}");
        let message = "the vectors could not be worked on; look at the server's log";
        Err(NodeError::Store(Fault::new(ErrorCode::Internal, message)))
    })
}
