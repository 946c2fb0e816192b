//! Whether the server takes work or is about to leave, and who is still in it.
//!
//! Every prediction and every upsert is a visit, counted until its answer is
//! out. A server that drains lets nobody in and waits for the visits to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use parlor_schemas::{ErrorCode, Fault};
use tokio::sync::Notify;

/// Seconds after which a client may find a server here again.
pub const RETRY_AFTER_S: u64 = 5;

// 0 is open.
const DRAINING: u8 = 1;
const CUT: u8 = 2;

/// Where a server is between taking work and being gone. It only goes forward.
#[derive(Debug, Default)]
pub struct Drain {
    phase: AtomicU8,
    n_visits: AtomicUsize,
    left: Notify,
}

/// Someone whom the server still has to answer; gone when dropped.
#[derive(Debug)]
pub struct Visit(Arc<Drain>);

impl Drain {
    /// Lets a request in.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] from the moment the server drains.
    pub fn enter(self: &Arc<Self>) -> Result<Visit, Fault> {
        // Counted before the look at the phase: whoever begins to drain in
        // between either counts this visit or refuses it.
        self.n_visits.fetch_add(1, Ordering::SeqCst);
        let visit = Visit(self.clone());
        if self.is_draining() { Err(stopping()) } else { Ok(visit) }
    }

    /// Lets nobody in from now on.
    pub fn begin(&self) {
        self.phase.fetch_max(DRAINING, Ordering::SeqCst);
    }

    /// Says that what is aborted from now on was aborted by the server.
    pub fn cut(&self) {
        self.phase.fetch_max(CUT, Ordering::SeqCst);
    }

    /// Whether nobody is let in any more.
    pub fn is_draining(&self) -> bool {
        self.phase.load(Ordering::SeqCst) >= DRAINING
    }

    /// Requests that are not answered yet.
    pub fn n_visits(&self) -> usize {
        self.n_visits.load(Ordering::SeqCst)
    }

    /// Resolves when no request is left.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.n_visits() == 0 {
                return;
            }
            left.await;
        }
    }

    /// A turn's fault as its caller is told: nobody aborted what the server
    /// cut off, so it is no abort but a request to come back.
    pub fn explain(&self, fault: Fault) -> Fault {
        let is_cut = self.phase.load(Ordering::SeqCst) == CUT;
        if is_cut && fault.code == ErrorCode::Cancelled { cut_off() } else { fault }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.0.n_visits.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

/// The fault of a request that comes while the server drains.
pub fn stopping() -> Fault {
    let message = "the server is stopping and takes no new requests; try again soon";
    Fault::new(ErrorCode::Overloaded, message).retry_after(RETRY_AFTER_S)
}

fn cut_off() -> Fault {
    let message = "the server stopped before the answer was ready; nothing of it was stored";
    Fault::new(ErrorCode::Overloaded, message).retry_after(RETRY_AFTER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_stays_and_who_comes_later_is_sent_away() {
        let drain = Arc::new(Drain::default());
        let inside = drain.enter().unwrap();
        drain.begin();
        let refused = drain.enter().unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::Overloaded, Some(5)));
        assert_eq!(drain.n_visits(), 1);
        drop(inside);
        assert_eq!(drain.n_visits(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_visit() {
        let drain = Arc::new(Drain::default());
        let (first, last) = (drain.enter().unwrap(), drain.enter().unwrap());
        drain.begin();
        let mut emptied = polled(drain.emptied());
        assert!(!emptied.is_over());
        drop(first);
        assert!(!emptied.is_over());
        drop(last);
        assert!(emptied.is_over());
        drain.emptied().await;
    }

    #[test]
    fn only_what_the_server_cut_off_is_no_abort() {
        let drain = Drain::default();
        let aborted = || Fault::new(ErrorCode::Cancelled, "aborted");
        drain.begin();
        assert_eq!(drain.explain(aborted()).code, ErrorCode::Cancelled);
        drain.cut();
        assert_eq!(drain.explain(aborted()).code, ErrorCode::Overloaded);
        let other = Fault::new(ErrorCode::UpstreamFailed, "broke off");
        assert_eq!(drain.explain(other).code, ErrorCode::UpstreamFailed);
    }

    /// A future that is looked at now and then.
    struct Polled<F>(std::pin::Pin<Box<F>>);

    fn polled<F: Future>(future: F) -> Polled<F> {
        Polled(Box::pin(future))
    }

    impl<F: Future> Polled<F> {
        fn is_over(&mut self) -> bool {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            self.0.as_mut().poll(&mut context).is_ready()
        }
    }
}
