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

/// Reading the words of a large segment takes long: apart from the searches,
/// which would all wait for it.
static READER: Semaphore = Semaphore::const_new(1);

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

/// Reads the words that a snapshot lacks.
pub(super) async fn words(snapshot: &Arc<Snapshot>) -> Result<(), NodeError> {
    if snapshot.has_words() {
        return Ok(());
    }
    let permit = READER.acquire().await.map_err(|_| NodeError::Cancelled)?;
    let snapshot = Arc::clone(snapshot);
    let read = move || {
        let _permit = permit;
        snapshot.read_words()
    };
    blocking(read).await
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
        let n_rows = segment.n_rows();
        match segment.build_graph(|| Arc::strong_count(&segment) > 1) {
            true => tracing::info!(n_rows, "a graph of vectors was built"),
            false => tracing::info!(n_rows, "a graph of vectors was given up; searches stay exact"),
        }
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

/// All searchers, as if each had a search.
#[cfg(test)]
pub(super) async fn all_busy() -> tokio::sync::OwnedSemaphorePermit {
    let n = available_parallelism().map_or(2, |n| n.get().max(2)) as u32;
    SEARCHERS.clone().acquire_many_owned(n).await.unwrap()
}
