//! Work that computes for long, off the arbiters: parsing, cutting, hashing.
//! Bounded in how much runs at once, in how long a caller waits for a place, and
//! apart from that in how long the work itself may take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// When a caller who found no place may come again, in seconds.
pub const RETRY_AFTER_S: u64 = 5;

/// What nodes compute.
static WORKERS: Workers = Workers::new(2, Duration::from_secs(60), Duration::from_secs(120));

/// Places where work runs.
pub struct Workers {
    places: Semaphore,
    wait: Duration,
    time: Duration,
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// No place became free in time: nothing is wrong with the work.
    Full,
    /// It took longer than so many seconds.
    Late(u64),
    /// It panicked.
    Panicked,
    /// The server is stopping.
    Stopped,
}

impl Workers {
    /// Places for so many pieces of work at once; how long a caller waits for
    /// one, and how long the work may then take.
    pub const fn new(n_places: usize, wait: Duration, time: Duration) -> Self {
        Self { places: Semaphore::const_new(n_places), wait, time }
    }

    /// Runs `work` off the arbiter.
    ///
    /// A thread cannot be stopped from outside: work that overstays, or that
    /// nobody waits for any more, keeps its place until it ends.
    ///
    /// # Errors
    /// [`Undone`].
    pub async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let place = timeout(self.wait, self.places.acquire()).await.map_err(|_| Undone::Full)?;
        let place = place.map_err(|_| Undone::Stopped)?;
        let work = move || {
            let _place = place;
            catch_unwind(AssertUnwindSafe(work))
        };
        let done = timeout(self.time, tokio::task::spawn_blocking(work)).await;
        let done = done.map_err(|_| Undone::Late(self.time.as_secs()))?;
        done.map_err(|_| Undone::Stopped)?.map_err(|_| Undone::Panicked)
    }
}

/// Runs `work` off the arbiter; the inner error is what is wrong with what it
/// reads, starting with a verb.
///
/// # Errors
/// [`NodeError::Busy`] when too much is computed already;
/// [`NodeError::Cancelled`] when the caller left.
pub async fn attempt<T: Send + 'static>(
    ctx: &TurnCtx,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Result<T, String>, NodeError> {
    attempt_at(&WORKERS, ctx, work).await
}

async fn attempt_at<T: Send + 'static>(
    workers: &'static Workers,
    ctx: &TurnCtx,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Result<T, String>, NodeError> {
    let done = tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => return Err(NodeError::Cancelled),
        done = workers.run(work) => done,
    };
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(Undone::Panicked) => Ok(Err("cannot be read: it is damaged".to_owned())),
        Err(Undone::Late(seconds)) => {
            Ok(Err(format!("took longer than {seconds} seconds to read")))
        }
        Err(Undone::Full) => Err(NodeError::Busy { retry_after_s: RETRY_AFTER_S }),
        Err(Undone::Stopped) => Err(NodeError::Cancelled),
    }
}

/// The same where what is read is all there is. `what` names it for people:
/// `report.pdf`.
///
/// # Errors
/// [`NodeError::BadRequest`] for what is wrong with it, and those of [`attempt`].
pub async fn compute<T: Send + 'static>(
    what: &str,
    ctx: &TurnCtx,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NodeError> {
    let done = attempt(ctx, work).await?;
    done.map_err(|problem| NodeError::BadRequest(format!("{what} {problem}")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use parlor_schemas::{ErrorCode, Fault};
    use tokio::sync::oneshot;

    use super::*;
    use crate::test_support::TestTurn;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn work_returns_its_value_and_a_panic_is_an_error_that_names_it() {
        let turn = TestTurn::asking("").ctx();

        assert_eq!(compute("a.pdf", &turn, || 2 + 2).await.unwrap(), 4);
        let error = compute("a.pdf", &turn, || -> u8 { panic!("boom") }).await.unwrap_err();

        assert_eq!(error.to_string(), "a.pdf cannot be read: it is damaged");
    }

    #[tokio::test]
    async fn who_finds_no_place_may_come_again_and_is_not_told_that_a_file_is_bad() {
        static ONE: Workers = Workers::new(1, Duration::ZERO, HOUR);
        let turn = TestTurn::asking("").ctx();
        let (started, is_started) = oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let long = tokio::spawn(ONE.run(move || {
            started.send(()).unwrap();
            ended.recv().is_ok()
        }));
        is_started.await.unwrap();

        let other = attempt_at(&ONE, &turn, || ()).await;
        end.send(()).unwrap();

        let fault = Fault::from(other.unwrap_err());
        assert_eq!((fault.code, fault.retry_after_s), (ErrorCode::Overloaded, Some(5)));
        assert_eq!(long.await.unwrap(), Ok(true));
        assert_eq!(attempt_at(&ONE, &turn, || 1).await.unwrap(), Ok(1), "the place is free again");
    }

    #[tokio::test]
    async fn work_that_overstays_is_late_and_keeps_its_place() {
        static ONE: Workers = Workers::new(1, Duration::ZERO, Duration::ZERO);
        let turn = TestTurn::asking("").ctx();
        let (end, ended) = mpsc::channel::<()>();

        let late = attempt_at(&ONE, &turn, move || ended.recv().is_ok()).await;
        let next = ONE.run(|| ()).await;
        end.send(()).unwrap();

        assert_eq!(late.unwrap(), Err("took longer than 0 seconds to read".to_owned()));
        assert_eq!(next, Err(Undone::Full));
    }
}
