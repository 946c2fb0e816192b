//! Work that computes for long, off the arbiters: parsing, splitting, searching.
//! Bounded in how much runs at once and in how long a caller waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// Pieces of work at the same time.
const MAX_WORKERS: usize = 2;
/// How long one piece may take, waiting included.
pub const MAX_TIME: Duration = Duration::from_secs(120);

static WORKERS: Semaphore = Semaphore::const_new(MAX_WORKERS);

/// Runs `work` off the arbiter. `what` names it for people: `report.pdf`.
///
/// A thread cannot be stopped from outside: work that overstays keeps its
/// place among the workers until it ends, so that at most as many run.
///
/// # Errors
/// [`NodeError::BadRequest`] when it takes too long or panics;
/// [`NodeError::Cancelled`] when the caller left.
pub async fn compute<T: Send + 'static>(
    what: &str,
    ctx: &TurnCtx,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NodeError> {
    let job = async {
        let permit = WORKERS.acquire().await.map_err(|_| NodeError::Cancelled)?;
        let work = move || {
            let _permit = permit;
            catch_unwind(AssertUnwindSafe(work))
        };
        let ended = tokio::task::spawn_blocking(work).await.map_err(|_| NodeError::Cancelled)?;
        ended.map_err(|_| NodeError::BadRequest(format!("{what} cannot be read: it is damaged")))
    };
    tokio::select! {
        () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
        done = timeout(MAX_TIME, job) => done.unwrap_or_else(|_| {
            let seconds = MAX_TIME.as_secs();
            Err(NodeError::BadRequest(format!("{what} took longer than {seconds} seconds to read")))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestTurn;

    #[tokio::test]
    async fn work_returns_its_value_and_a_panic_is_an_error_that_names_it() {
        let turn = TestTurn::asking("").ctx();

        assert_eq!(compute("a.pdf", &turn, || 2 + 2).await.unwrap(), 4);
        let error = compute("a.pdf", &turn, || -> u8 { panic!("boom") }).await.unwrap_err();

        assert_eq!(error.to_string(), "a.pdf cannot be read: it is damaged");
    }
}
