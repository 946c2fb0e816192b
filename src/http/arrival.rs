//! How bodies arrive: not slower than a bad line, and not more of them at once
//! than memory holds.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use parlor_schemas::{ErrorCode, Fault};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;

/// Room is counted in pieces of this size; a first one is free.
const PIECE: usize = 64 << 10;
/// A body gets a second more for as many bytes that came.
const BYTES_A_SECOND: usize = 16 << 10;

/// The door for bodies of the whole server.
pub struct Arrivals {
    /// How long a body may take that brings nothing.
    patience: Duration,
    room: Arc<Semaphore>,
}

/// A body, and its place in memory: free again once this is dropped.
pub struct Arrived {
    /// The body.
    pub bytes: Bytes,
    /// What it takes of the room; none for a small one.
    pub room: Option<Room>,
}

/// A place in memory, kept with its request until the last byte of the answer is
/// sent.
pub struct Room(OwnedSemaphorePermit);

impl Arrivals {
    /// A door for bodies of at most `n_bytes` together.
    pub fn new(patience: Duration, n_bytes: usize) -> Self {
        Self { patience, room: Arc::new(Semaphore::new(n_bytes / PIECE)) }
    }

    /// How long a body may take that brings nothing.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// 400 when it breaks off, 408 when it comes too slowly, 413 over the
    /// limit, 503 when bodies fill the memory.
    pub async fn collect<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: usize,
    ) -> Result<Arrived, ApiError> {
        let began = Instant::now();
        let mut bytes = BytesMut::new();
        let mut room = None;
        loop {
            let extra = Duration::from_secs((bytes.len() / BYTES_A_SECOND) as u64);
            let chunk = match timeout_at(began + self.patience + extra, body.next()).await {
                Ok(Some(chunk)) => chunk.map_err(|_| ApiError::bad("the body broke off"))?,
                Ok(None) => return Ok(Arrived { bytes: bytes.freeze(), room }),
                Err(_) => return Err(too_slow()),
            };
            if bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            let held = room.as_ref().map_or(0, |Room(held)| held.num_permits());
            self.grow(&mut room, ((bytes.len() + chunk.len()) / PIECE).saturating_sub(held))?;
            bytes.extend_from_slice(&chunk);
        }
    }

    /// Makes a request's room larger, for an answer of so many bytes.
    ///
    /// # Errors
    /// 503 when bodies fill the memory.
    pub fn answer(&self, request: &HttpRequest, n_bytes: usize) -> Result<(), ApiError> {
        let mut room = request.extensions_mut().remove::<Room>();
        let grown = self.grow(&mut room, n_bytes / PIECE);
        keep(request, room);
        grown
    }

    fn grow(&self, room: &mut Option<Room>, n_pieces: usize) -> Result<(), ApiError> {
        if n_pieces == 0 {
            return Ok(());
        }
        let n_pieces = u32::try_from(n_pieces).unwrap_or(u32::MAX);
        let more = self.room.clone().try_acquire_many_owned(n_pieces).map_err(|_| no_room())?;
        match room {
            Some(Room(held)) => held.merge(more),
            None => *room = Some(Room(more)),
        }
        Ok(())
    }
}

/// Leaves the room with the request, until it is answered.
pub fn keep(request: &HttpRequest, room: Option<Room>) {
    if let Some(room) = room {
        request.extensions_mut().insert(room);
    }
}

/// A body over its limit in bytes.
pub fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {} KiB", limit / 1024);
    ApiError::new(ErrorCode::TooLarge, message)
}

fn too_slow() -> ApiError {
    ApiError::new(ErrorCode::TooSlow, "the body came too slowly; send it again")
}

fn no_room() -> ApiError {
    let message = "the server is busy with other large bodies; try again soon";
    Fault::new(ErrorCode::Overloaded, message).retry_after(1).into()
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const LIMIT: usize = 10 << 20;

    fn arrivals(n_bytes: usize) -> Arrivals {
        Arrivals::new(Duration::from_secs(30), n_bytes)
    }

    /// A body of `chunks`, each after so many seconds.
    fn body(chunks: Vec<usize>, seconds: u64) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
        Box::pin(stream::iter(chunks).then(move |n_bytes| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(Bytes::from(vec![b'x'; n_bytes]))
        }))
    }

    fn code(arrived: Result<Arrived, ApiError>) -> ErrorCode {
        arrived.err().expect("an error").0.code
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_and_one_on_a_bad_line_is_not() {
        let door = arrivals(LIMIT);
        assert_eq!(code(door.collect(body(vec![1; 100], 1), LIMIT).await), ErrorCode::TooSlow);
        let whole = door.collect(body(vec![BYTES_A_SECOND; 300], 1), LIMIT).await.ok().unwrap();
        assert_eq!(whole.bytes.len(), 300 * BYTES_A_SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_share_the_room_until_they_are_dropped() {
        let door = arrivals(4 * PIECE);
        let first = door.collect(body(vec![PIECE; 3], 0), LIMIT).await.ok().unwrap();
        assert_eq!(code(door.collect(body(vec![PIECE; 2], 0), LIMIT).await), ErrorCode::Overloaded);
        let small = door.collect(body(vec![PIECE - 1], 0), LIMIT).await.ok().unwrap();
        assert!(small.room.is_none(), "a small body needs no room");
        drop(first);
        assert!(door.collect(body(vec![PIECE; 4], 0), LIMIT).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_its_limit_is_refused_before_its_end() {
        let endless = stream::repeat_with(|| Ok::<_, ()>(Bytes::from_static(&[0; 1000])));
        let door = arrivals(LIMIT);
        assert_eq!(code(door.collect(endless, 100_000).await), ErrorCode::TooLarge);
    }
}
