//! How often: windows per chatflow and client, per API key, and for the slow
//! check of imported keys. What it keeps is bounded, whatever addresses come.

mod client;
mod window;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use parlor_schemas::{ApiKey, ChatflowId, ErrorCode, Fault, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use crate::flow::door::FlowLimit;
use client::Client;
pub use window::Standing;
use window::{Limit, Limiter};

/// Windows of chatflows and clients that are kept; some 10 MiB when full.
const FLOW_WINDOWS: usize = 64 * 1024;

/// Windows of keys and of clients with unknown keys.
const OTHER_WINDOWS: usize = 16 * 1024;

/// Slow checks a minute: of one client, and hashes of all together, which is
/// less than a tenth of a core.
const SLOW_CHECKS: Limit = Limit { max: 10, window_s: 60 };
const SLOW_HASHES: Limit = Limit { max: 60, window_s: 60 };

/// All windows of a server.
pub struct Limits {
    n_proxies: usize,
    flows: Limiter<(ChatflowId, Client)>,
    keys: Limiter<String>,
    strangers: Limiter<Client>,
    slow_hashes: Limiter<()>,
    slow_turn: Arc<Semaphore>,
}

impl Limits {
    /// Without any window yet; `n_proxies` stand between clients and the server.
    pub fn new(n_proxies: usize) -> Self {
        Self {
            n_proxies,
            flows: Limiter::new(FLOW_WINDOWS),
            keys: Limiter::new(OTHER_WINDOWS),
            strangers: Limiter::new(OTHER_WINDOWS),
            slow_hashes: Limiter::new(1),
            slow_turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// The address that a request is counted by.
    pub fn address(&self, request: &HttpRequest) -> IpAddr {
        client::address(request, self.n_proxies).to_canonical()
    }

    /// Counts a request to a limited chatflow.
    pub fn flow(&self, id: ChatflowId, limit: &FlowLimit, request: &HttpRequest) -> Standing {
        let client = Client::of(request, self.n_proxies);
        let limit = Limit { max: limit.max, window_s: limit.window_s };
        self.flows.hit((id, client), limit, 1, Instant::now())
    }

    /// Counts a use of a key, if it has a limit.
    pub fn key(&self, key: &ApiKey) -> Option<Standing> {
        let limit = key.rate_limit?;
        let limit = Limit { max: limit.limit_max, window_s: limit.limit_duration };
        Some(self.keys.hit(key.id.clone(), limit, 1, Instant::now()))
    }

    /// The same for one that nothing else is known of.
    ///
    /// # Errors
    /// 429.
    pub fn check_key(&self, key: &ApiKey) -> Result<Option<Standing>, ApiError> {
        match self.key(key) {
            Some(now) if now.is_refused => Err(too_often(now)),
            standing => Ok(standing),
        }
    }

    /// Waits for the turn to check a key slowly against `n_hashes`.
    ///
    /// # Errors
    /// 429 where this client, or all together, asked for too many.
    pub async fn slow_check(
        &self,
        request: &HttpRequest,
        n_hashes: usize,
    ) -> Result<OwnedSemaphorePermit, ApiError> {
        let client = Client::of(request, self.n_proxies);
        let now = Instant::now();
        let n_hashes = u32::try_from(n_hashes).unwrap_or(u32::MAX);
        let mut standing = self.strangers.hit(client, SLOW_CHECKS, 1, now);
        if !standing.is_refused {
            standing = self.slow_hashes.hit((), SLOW_HASHES, n_hashes, now);
        }
        if standing.is_refused {
            return Err(too_many("too many unknown keys were tried", standing));
        }
        let closed = |_| ApiError::new(ErrorCode::Overloaded, "the server is stopping");
        self.slow_turn.clone().acquire_owned().await.map_err(closed)
    }
}

/// The error of a key over its limit.
pub fn too_often(standing: Standing) -> ApiError {
    too_many("this API key was used too often", standing)
}

fn too_many(what: &str, standing: Standing) -> ApiError {
    let seconds = standing.retry_after_s();
    let message = format!("{what}; try again in {seconds} s");
    ApiError(Fault::new(ErrorCode::LimitExceeded, message).retry_after(seconds))
}

impl Standing {
    /// Whole seconds until the window ends, at least one.
    pub fn retry_after_s(self) -> u64 {
        u64::try_from(self.resets_in.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
    }

    /// Tells a client where it stands, in the headers of Flowise.
    pub fn write(self, headers: &mut HeaderMap) {
        let in_ms = i64::try_from(self.resets_in.as_millis()).unwrap_or(i64::MAX);
        let reset = Timestamp::now().plus_millis(in_ms).millis().max(0);
        let mut set = |name, value: u64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        set("x-ratelimit-limit", self.limit.into());
        set("x-ratelimit-remaining", self.remaining.into());
        set("x-ratelimit-reset", reset.unsigned_abs().div_ceil(1000));
        if self.is_refused {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s()));
        }
    }
}
