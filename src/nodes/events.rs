//! The way of a turn's events to its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parlor_schemas::StreamEvent;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::error::NodeError;

/// Between two readings of one model's stream. A shorter pause would cost more than it
/// gathers: models write some 50 tokens a second.
const SHORTEST_PAUSE_MS: u64 = 40;
const LONGEST_PAUSE_MS: u64 = 100;

/// The streams that are open in a server. Beyond what the machine can pass on token by
/// token they would all be late, so each of them reads its model in pauses then, and
/// passes on in one go what has come meanwhile.
#[derive(Debug)]
pub struct Crowd {
    n_streams: AtomicU64,
    n_calm: u64,
}

impl Crowd {
    /// Up to `n_calm` streams, none pauses.
    pub fn new(n_calm: u64) -> Self {
        Self { n_streams: AtomicU64::new(0), n_calm }
    }

    /// How long a stream leaves its model unread: not at all up to `n_calm`, then longer
    /// with each stream.
    fn pause(&self) -> Duration {
        let n_more = self.n_streams.load(Ordering::Relaxed).saturating_sub(self.n_calm);
        match n_more {
            0 => Duration::ZERO,
            n => Duration::from_millis((SHORTEST_PAUSE_MS + n / 10).min(LONGEST_PAUSE_MS)),
        }
    }

    /// Waits as long as a stream leaves its model unread.
    pub(crate) async fn rest(&self) {
        wait(self.pause()).await;
    }

    /// Waits until what was read together has been taken apart, so that it is written
    /// together.
    pub async fn gather(&self) {
        wait(self.pause() / 4).await;
    }
}

/// No time at all where it is zero: the timer would take a millisecond.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// The request's own way to its client. Bounded: a slow reader slows the model
/// down instead of filling memory.
#[derive(Clone, Default)]
pub struct EventSink {
    channel: Option<Arc<Channel>>,
}

struct Channel {
    sender: mpsc::Sender<StreamEvent>,
    started: AtomicBool,
    has_text: AtomicBool,
    patience: Duration,
    crowd: Arc<Crowd>,
}

impl EventSink {
    /// A sink into a channel that the HTTP body reads, one more of the crowd. Who takes
    /// nothing for as long as `patience`, while the channel is full, has left.
    pub fn new(sender: mpsc::Sender<StreamEvent>, patience: Duration, crowd: Arc<Crowd>) -> Self {
        crowd.n_streams.fetch_add(1, Ordering::Relaxed);
        let (started, has_text) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { channel: Some(Arc::new(Channel { sender, started, has_text, patience, crowd })) }
    }

    /// The sink of a request that is answered in one piece.
    pub fn none() -> Self {
        Self::default()
    }

    /// True when somebody listens.
    pub fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    /// A piece of the answer. The first one also opens the answer, and may be
    /// empty (OpenAI's first chunk is); later empty pieces are left out.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`] when the client left.
    pub async fn token(&self, text: &str) -> Result<(), NodeError> {
        let Some(channel) = &self.channel else { return Ok(()) };
        if !channel.started.swap(true, Ordering::Relaxed) {
            channel.send(StreamEvent::Start(text.to_owned())).await?;
        }
        if text.is_empty() {
            return Ok(());
        }
        channel.has_text.store(true, Ordering::Relaxed);
        channel.send(StreamEvent::Token(text.to_owned())).await
    }

    /// The crowd, where the model is to be read in its pauses: not before its first words.
    pub(crate) fn crowd(&self) -> Option<&Arc<Crowd>> {
        let channel = self.channel.as_ref().filter(|it| it.has_text.load(Ordering::Relaxed))?;
        (!channel.crowd.pause().is_zero()).then_some(&channel.crowd)
    }

    /// Any other event.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`] when the client left.
    pub async fn emit(&self, event: StreamEvent) -> Result<(), NodeError> {
        match &self.channel {
            Some(channel) => channel.send(event).await,
            None => Ok(()),
        }
    }
}

impl Channel {
    async fn send(&self, event: StreamEvent) -> Result<(), NodeError> {
        let event = match self.sender.try_send(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(NodeError::Cancelled),
            Err(TrySendError::Full(event)) => event,
        };
        match tokio::time::timeout(self.patience, self.sender.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NodeError::Cancelled),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.crowd.n_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_pause_only_where_many_are_open_and_never_for_long() {
        let crowd = Arc::new(Crowd::new(1_000));
        let ms = |n: u64| {
            crowd.n_streams.store(n, Ordering::Relaxed);
            crowd.pause().as_millis()
        };
        let pauses = [1, 1_000, 1_001, 1_500, 1_601, 90_000].map(ms);
        assert_eq!(pauses, [0, 0, 40, 90, 100, 100]);
    }

    #[tokio::test]
    async fn a_stream_is_counted_while_it_is_open_and_reads_in_pauses_after_its_first_words() {
        let crowd = Arc::new(Crowd::new(0));
        let (sender, _receiver) = mpsc::channel(8);
        let events = EventSink::new(sender, Duration::from_secs(1), crowd.clone());
        assert!(!crowd.pause().is_zero());

        events.token("").await.unwrap();
        assert!(events.crowd().is_none(), "before its first words");
        events.token("Hi").await.unwrap();
        assert!(events.crowd().is_some());

        drop(events);
        assert!(crowd.pause().is_zero());
    }
}
