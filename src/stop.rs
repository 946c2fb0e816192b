//! How a server leaves: at a signal it lets nobody in, finishes what runs,
//! and brings the store to the disk. A second signal means now.

use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::app::Application;
use crate::http::state::AppState;

/// How long what was cut off may take to say so, and the last answers to go out.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a server takes to leave.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The port stays open at least so long, for load balancers to notice.
    pub grace: Duration,
    /// What runs may take so long; it is cut off then.
    pub drain: Duration,
}

/// The signals that stop a server: SIGTERM, and SIGINT of a terminal.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both from their default, which is to end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    /// The next one, as the exit code of a process that it ends.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }
}

/// Runs a server until it has left; its exit code. It is 0 after a drain, also
/// one whose time was over, and that of the signal where a second one came.
///
/// # Errors
/// When the server ends by itself.
pub async fn run_until_stopped(
    application: Application,
    server: Server,
    mut signals: Signals,
    patience: Patience,
) -> anyhow::Result<u8> {
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    tokio::select! {
        ended = running => {
            application.close().await;
            ended.context("the server ended")??;
            return Ok(0);
        }
        _ = signals.next() => {}
    }
    let leaving = async {
        drain(application.state(), &handle, patience).await;
        application.close().await;
    };
    tokio::select! {
        () = leaving => Ok(0),
        code = signals.next() => {
            tracing::warn!("a second signal: what runs is dropped");
            application.close_at_once().await;
            // Not by returning: work that blocks a thread would be waited for.
            std::process::exit(i32::from(code));
        }
    }
}

/// The port stays open until the work is done, so that whoever comes meanwhile
/// is told to go elsewhere.
async fn drain(state: &AppState, handle: &ServerHandle, patience: Patience) {
    state.drain.begin();
    let n_visits = state.drain.n_visits();
    tracing::info!(n_visits, "stopping: no new requests, what runs is finished");
    let due = Instant::now() + patience.drain;
    let finished = timeout_at(due, async {
        state.drain.emptied().await;
        state.upserts.finished().await;
    });
    let (finished, ()) = futures::join!(finished, sleep(patience.grace));
    if finished.is_err() {
        cut_off(state).await;
    }
    // Downloads of the operator are no visits; they have what time is left.
    let due = due.max(Instant::now() + FAREWELL);
    if timeout_at(due, handle.stop(true)).await.is_err() {
        tracing::warn!("connections that were still open are closed");
    }
}

async fn cut_off(state: &AppState) {
    let n_visits = state.drain.n_visits();
    tracing::warn!(n_visits, "the time to finish is over: what still runs is cut off");
    state.drain.cut();
    state.supervisor.abort_all();
    state.upserts.cut_off();
    let _ = timeout(FAREWELL, state.drain.emptied()).await;
}
