//! Turns that outlive their readers: who sends an `Idempotency-Key` may leave
//! and come again for the answer, so the turn runs to its end without him. It
//! is aborted and drained like any other.

use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use parlor_actors::PendingTurn;
use parlor_schemas::{ErrorCode, Fault, StreamEvent, TurnReply};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use super::error;
use super::passage::RequestId;
use super::ticket::Ticket;

/// How a turn ends, for its reader to wait for.
pub(super) type Ending = LocalBoxFuture<'static, Result<TurnReply, Fault>>;

/// Runs a turn on a task of its own. What is returned may be dropped: the
/// turn goes on, and nobody's slowness holds it for longer than `patience`.
pub(super) fn keep(
    turn: PendingTurn,
    events: Option<Receiver<StreamEvent>>,
    mut ticket: Ticket,
    patience: Duration,
) -> (Option<Receiver<StreamEvent>>, Ending) {
    let (answer, ending) = oneshot::channel();
    let (relayed, reader) = match events {
        Some(events) => {
            let (to_reader, reader) = mpsc::channel(events.max_capacity());
            (Some((events, to_reader)), Some(reader))
        }
        None => (None, None),
    };
    let request = RequestId::current();
    actix_web::rt::spawn(async move {
        let answer = match relayed {
            Some((events, reader)) => relay(events, reader, patience).await.then_some(answer),
            None => Some(answer),
        };
        let result = ticket.ended(turn.await);
        let unread = match answer {
            Some(answer) => answer.send(result).err(),
            None => Some(result),
        };
        if let Some(Err(fault)) = unread {
            error::log(&fault, request.as_ref());
        }
    });
    (reader, async { ending.await.unwrap_or_else(|_| Err(left_behind())) }.boxed_local())
}

/// Passes events on until there are no more; says whether the reader got all.
/// One who takes nothing for so long has left, and is told so at once.
async fn relay(
    mut events: Receiver<StreamEvent>,
    reader: Sender<StreamEvent>,
    patience: Duration,
) -> bool {
    while let Some(event) = events.recv().await {
        if reader.send_timeout(event, patience).await.is_err() {
            drop(reader);
            while events.recv().await.is_some() {}
            return false;
        }
    }
    true
}

/// For a reader who comes back to a stream that was not held for him.
fn left_behind() -> Fault {
    let message = "the answer was not read in time; send the request again with the same \
                   Idempotency-Key to get it";
    Fault::new(ErrorCode::TooSlow, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: usize) -> StreamEvent {
        StreamEvent::Token(n.to_string())
    }

    /// Sends `n` events through the relay to a reader with room for two.
    async fn sent(n: usize, take: impl AsyncFnOnce(Receiver<StreamEvent>)) -> bool {
        let (sender, events) = mpsc::channel(1);
        let (to_reader, reader) = mpsc::channel(2);
        let send = async move {
            for n in 0..n {
                sender.send(token(n)).await.unwrap();
            }
        };
        let relayed = relay(events, to_reader, Duration::from_secs(30));
        let ((), is_heard, ()) = futures::join!(send, relayed, take(reader));
        is_heard
    }

    #[tokio::test]
    async fn a_reader_gets_every_event_in_order() {
        let is_heard = sent(9, async |mut reader: Receiver<_>| {
            for n in 0..9 {
                assert_eq!(reader.recv().await, Some(token(n)));
            }
            assert_eq!(reader.recv().await, None);
        });
        assert!(is_heard.await);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_one_who_left_nor_one_who_takes_nothing_holds_the_turn() {
        assert!(!sent(9, async |reader| drop(reader)).await);
        let (done, wait) = oneshot::channel::<()>();
        let stalled = sent(9, async |reader: Receiver<_>| {
            let _ = wait.await;
            drop(reader);
        });
        // The reader is there for longer than the relay waits for it.
        let release = async {
            tokio::time::sleep(Duration::from_secs(31)).await;
            let _ = done.send(());
        };
        assert!(!futures::join!(stalled, release).0);
    }
}
