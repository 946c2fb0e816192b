//! JSON of a reply, read off the arbiter where it is large.

use serde::de::DeserializeOwned;

/// A body of this many bytes is parsed within a millisecond.
const SMALL: usize = 256 << 10;

/// The body as what is expected of it; `None` where it is something else.
pub(crate) async fn parse<T: DeserializeOwned + Send + 'static>(body: Vec<u8>) -> Option<T> {
    if body.len() <= SMALL {
        return serde_json::from_slice(&body).ok();
    }
    let read = move || serde_json::from_slice(&body).ok();
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use serde::de::IgnoredAny;
    use serde::{Deserialize, Deserializer};

    use super::*;

    /// The thread that read it.
    struct ReadBy(ThreadId);

    impl<'de> Deserialize<'de> for ReadBy {
        fn deserialize<D: Deserializer<'de>>(body: D) -> Result<Self, D::Error> {
            IgnoredAny::deserialize(body).map(|_| Self(thread::current().id()))
        }
    }

    #[tokio::test]
    async fn a_large_body_is_read_by_another_thread_and_a_small_one_at_once() {
        for (n_bytes, is_here) in [(10, true), (SMALL + 1, false)] {
            let body = format!("\"{}\"", "x".repeat(n_bytes)).into_bytes();
            let ReadBy(thread) = parse(body).await.unwrap();
            assert_eq!(thread == thread::current().id(), is_here, "{n_bytes}");
        }
        assert!(parse::<ReadBy>(b"no JSON".to_vec()).await.is_none());
    }
}
