//! How spans leave: on the exporter's own thread, with the HTTP client that the
//! server has anyway.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::{Builder, Runtime};

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of a collector's answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Sends requests with a runtime that runs only meanwhile.
pub(super) struct Sender {
    runtime: Runtime,
    client: reqwest::Client,
    /// The last attempt failed: one that fails again is no news.
    fails: AtomicBool,
}

impl Sender {
    /// A sender that keeps no connection: nobody would drive an idle one.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub(super) fn new() -> anyhow::Result<Self> {
        crate::app::install_tls();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client, fails: AtomicBool::new(false) })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.client.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(response.body(body.into())?)
    }

    /// Says once that traces are lost, and once that they are not any more. The
    /// address is left out, since it may hold a key.
    fn note(&self, result: &Result<Response<Bytes>, HttpError>) {
        let problem = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answered {}", response.status())),
            Err(_) => Some("the collector could not be reached".to_owned()),
        };
        let failed_before = self.fails.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !failed_before => tracing::warn!("traces are lost: {problem}"),
            None if failed_before => tracing::info!("traces are sent again"),
            _ => {}
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl HttpClient for Sender {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> BoxFuture<'b, Result<Response<Bytes>, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        // The exporter's thread waits here; it has nothing else to do.
        async move {
            let result = self.runtime.block_on(self.exchange(request));
            self.note(&result);
            result
        }
        .boxed()
    }
}
