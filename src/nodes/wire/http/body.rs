//! The bytes of a reply, read as they are asked for, or gathered by a task of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::poll_immediate;
use reqwest::{Response, Result};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::events::Crowd;

/// A reply is read ahead by at most so much and one piece.
const MAX_AHEAD_BYTES: usize = 256 << 10;

/// How long a reply that has said all is waited for to end; usually it has.
const DRAIN_TIME: Duration = Duration::from_millis(10);
/// The same where it is read in pauses.
const PAUSED_DRAIN_TIME: Duration = Duration::from_millis(200);

/// The rest of a reply.
pub(super) enum Body {
    /// Each piece is a wake-up of the turn.
    Direct(Response),
    /// The pieces are collected, and the turn wakes for all of them.
    Ahead(Collector),
    /// Nothing is left of it.
    Empty,
}

/// A task that reads a reply; it ends with this.
pub(super) struct Collector {
    pile: Arc<Pile>,
    task: AbortHandle,
}

#[derive(Default)]
struct Pile {
    found: Mutex<Found>,
    came: Notify,
    went: Notify,
}

#[derive(Default)]
struct Found {
    bytes: BytesMut,
    end: Option<Result<()>>,
}

impl Body {
    /// The next bytes; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Direct(response) => response.chunk().await,
            Self::Ahead(collector) => collector.chunk().await,
            Self::Empty => Ok(None),
        }
    }

    /// From now on a small task reads, in the pauses of the crowd: a turn is a deep future,
    /// and costs more to wake.
    pub(super) fn read_ahead(&mut self, crowd: &Arc<Crowd>) {
        match std::mem::replace(self, Self::Empty) {
            Self::Direct(response) => {
                *self = Self::Ahead(Collector::start(response, crowd.clone()));
            }
            other => *self = other,
        }
    }

    /// Reads to the end, so that the connection can be used again. A server that keeps its
    /// stream open costs the connection, not the turn.
    pub(super) async fn drain(self) {
        match self {
            Self::Ahead(_) => drop(tokio::spawn(timeout(PAUSED_DRAIN_TIME, self.rest()))),
            _ => drop(timeout(DRAIN_TIME, self.rest()).await),
        }
    }

    async fn rest(mut self) {
        while let Ok(Some(_)) = self.chunk().await {}
    }
}

impl Collector {
    fn start(response: Response, crowd: Arc<Crowd>) -> Self {
        let pile = Arc::<Pile>::default();
        let task = tokio::spawn(pile.clone().collect(response, crowd)).abort_handle();
        Self { pile, task }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            {
                let mut found = self.pile.found();
                if !found.bytes.is_empty() {
                    let bytes = found.bytes.split().freeze();
                    self.pile.went.notify_one();
                    return Ok(Some(bytes));
                }
                if let Some(end) = &mut found.end {
                    // Who asks again after an error is told that nothing follows.
                    return std::mem::replace(end, Ok(())).map(|()| None);
                }
            }
            self.pile.came.notified().await;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pile {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn collect(self: Arc<Self>, mut response: Response, crowd: Arc<Crowd>) {
        loop {
            let piece = match at_once(&mut response).await {
                Some(piece) => piece,
                None => {
                    self.came.notify_one();
                    crowd.rest().await;
                    response.chunk().await
                }
            };
            match self.put(piece) {
                Some(true) => {
                    self.came.notify_one();
                    self.went.notified().await;
                }
                Some(false) => {}
                None => return self.came.notify_one(),
            }
        }
    }

    /// Whether there is no room for more; `None` where no more comes.
    fn put(&self, piece: Result<Option<Bytes>>) -> Option<bool> {
        let mut found = self.found();
        match piece {
            Ok(Some(piece)) => {
                found.bytes.extend_from_slice(&piece);
                return Some(found.bytes.len() >= MAX_AHEAD_BYTES);
            }
            Ok(None) => found.end = Some(Ok(())),
            Err(error) => found.end = Some(Err(error)),
        }
        None
    }
}

/// The next piece, where it has arrived. The task of the connection hands over what it has
/// read piece by piece, each time that it is its turn.
async fn at_once(response: &mut Response) -> Option<Result<Option<Bytes>>> {
    tokio::task::yield_now().await;
    poll_immediate(response.chunk()).await
}
