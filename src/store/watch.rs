//! Wakes a flush that sled forgot.
//!
//! When a write in sled's background pool fails (a full disk), sled notes the
//! error but on one path does not tell the thread that waits in `flush`. A
//! second `flush` sees the note, tells everybody and returns. One thread looks
//! four times a second whether a flush needs that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::StoreError;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The thread that looks after flushes; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct FlushWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Debug, Default)]
struct State {
    flushing: Option<sled::Db>,
    closed: bool,
}

impl FlushWatch {
    pub fn start() -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("store-watch".to_owned())
            .spawn(move || theirs.look_until_closed())
            .map_err(StoreError::io("starting a thread"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Runs a flush under watch.
    pub fn during<T>(&self, db: &sled::Db, flush: impl FnOnce() -> T) -> T {
        self.shared.lock().flushing = Some(db.clone());
        let result = flush();
        self.shared.lock().flushing = None;
        result
    }
}

impl Drop for FlushWatch {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.closing.notify_all();
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic of it could leave half done.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_until_closed(&self) {
        let mut state = self.lock();
        while !state.closed {
            let waited = self.closing.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let Some(db) = state.flushing.clone() else { continue };
            drop(state);
            // `flush` returns at once when there is a noted error, and would
            // wait as the watched one does when there is none.
            if db.context.global_error().is_err() {
                let _ = db.flush();
            }
            drop(db);
            state = self.lock();
        }
    }
}
