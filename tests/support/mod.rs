//! What the integration tests stand on: the server under test, model servers
//! for it to talk to, and readers of what was recorded.
//!
//! A helper here panics with a sentence instead of returning an error: a test
//! has nobody to hand an error to. Nothing leaves the loopback interface.

pub mod aimock;
pub mod balancer;
pub mod clients;
pub mod faketime;
pub mod flowise;
pub mod flows;
pub mod golden;
pub mod http;
pub mod nodes;
pub mod ports;
pub mod postgres;
pub mod raw;
pub mod redis;
pub mod scripted;
pub mod scripted_wire;
pub mod server;
pub mod shape;
pub mod sse;
pub mod stores;
pub mod tools;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use aimock::Aimock;
pub use flows::Flow;
pub use http::{Caller, Reply};
pub use scripted::{Answer, Gate, Scripted};
pub use server::{Options, Parlor};

/// A file or folder below `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// The text of a file below `tests/fixtures`.
pub fn fixture_text(path: &str) -> String {
    let file = fixture(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Asks again and again until the answer is yes; false when `limit` is over.
/// Waiting for a fact is always bounded and never a guess at a duration.
pub async fn eventually<F, Fut>(limit: Duration, mut is_so: F) -> bool
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + limit;
    loop {
        if is_so().await {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
