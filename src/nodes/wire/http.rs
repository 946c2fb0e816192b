//! Sends a request to a provider and reads its reply: with time limits, few
//! retries, bounded bodies, and errors that tell no secrets.

mod body;
mod budget;
mod pause;
mod refusal;
mod watch;

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, Response};
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) use budget::RetryBudget;
pub(crate) use refusal::complaint;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::spans;
use body::Body;
use watch::Watch;

const MAX_RETRIES: u32 = 2;
/// The whole of a call: a provider that drips a byte now and then must not
/// hold a turn for ever.
pub(crate) const MAX_CALL: Duration = Duration::from_secs(600);
const MAX_SILENCE: Duration = Duration::from_secs(60);
const MAX_BODY_BYTES: usize = 32 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;

static BUDGET: RetryBudget = RetryBudget::new();

/// What holds for one call of a provider.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Its name, as people know it.
    pub(crate) provider: &'static str,
    /// The turn, for its client and its cancelling.
    pub(crate) ctx: &'a TurnCtx,
    /// The time to the reply's first byte, over all tries.
    timeout: Duration,
    /// The time between two chunks.
    silence: Duration,
    /// The time of the whole call.
    longest: Duration,
    /// The most bytes of the reply.
    largest: usize,
    /// What is cut out of error texts.
    secrets: &'a [String],
    budget: &'a RetryBudget,
}

/// A reply that began with success.
pub(crate) struct Reply<'a> {
    /// The call that it answers.
    pub(crate) call: Call<'a>,
    body: Body,
    /// Tells the address's breaker how it goes on.
    watch: Watch<'a>,
    /// When the next chunk must be there, and the limit that this comes from.
    due: Instant,
    limit: Duration,
    /// When all of it must be there.
    end: Instant,
    n_bytes: usize,
}

/// A try that failed, and the pause after which another one makes sense.
struct Failure {
    error: NodeError,
    pause: Option<Duration>,
}

impl From<NodeError> for Failure {
    /// Another try would not help.
    fn from(error: NodeError) -> Self {
        Self { error, pause: None }
    }
}

impl<'a> Call<'a> {
    /// A call with the process's own budget of retries.
    pub(crate) fn new(
        provider: &'static str,
        ctx: &'a TurnCtx,
        timeout: Duration,
        secrets: &'a [String],
    ) -> Self {
        Self {
            provider,
            ctx,
            timeout,
            silence: MAX_SILENCE,
            longest: MAX_CALL,
            largest: MAX_BODY_BYTES,
            secrets,
            budget: &BUDGET,
        }
    }

    /// The same call for a reply of at most so many MiB.
    pub(crate) fn reading_up_to(self, mib: usize) -> Self {
        Self { largest: mib << 20, ..self }
    }

    /// Sends what `build` makes, anew for each try.
    ///
    /// # Errors
    /// Any of the provider's, [`NodeError::UpstreamTimeout`],
    /// [`NodeError::UpstreamPaused`] where its address keeps failing, or
    /// [`NodeError::Cancelled`] when the caller left.
    pub(crate) async fn send(
        self,
        build: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Reply<'a>, NodeError> {
        let client = self.ctx.services.http();
        let due = Instant::now() + self.timeout;
        let end = Instant::now() + self.longest;
        let mut n_retries = 0;
        let mut earlier = None;
        loop {
            let failure = match self.once(build(&client), due, n_retries).await {
                Ok((response, watch)) => {
                    let (body, limit) = (Body::Direct(response), self.timeout);
                    return Ok(Reply { call: self, body, watch, due, limit, end, n_bytes: 0 });
                }
                Err(failure) => failure,
            };
            let error = match failure.error {
                // What the provider did says more than that it is left alone since.
                NodeError::UpstreamPaused { .. } => earlier.unwrap_or(failure.error),
                error => error,
            };
            let pause = failure.pause.filter(|pause| {
                n_retries < MAX_RETRIES && Instant::now() + *pause < due && self.budget.withdraw()
            });
            let Some(pause) = pause else { return Err(error) };
            n_retries += 1;
            self.within(due, self.timeout, sleep(pause)).await?;
            earlier = Some(error);
        }
    }

    /// One try.
    async fn once(
        &self,
        request: RequestBuilder,
        due: Instant,
        n_retries: u32,
    ) -> Result<(Response, Watch<'a>), Failure> {
        let (client, request) = request.build_split();
        let request = request.map_err(|_| self.broken("has no valid address"))?;
        spans::asks(request.url());
        let mut watch = Watch::begin(self, request.url())?;
        if n_retries == 0 {
            self.budget.deposit();
        }
        let sent = self.within(due, self.timeout, client.execute(request)).await;
        let sent = sent.inspect_err(|error| watch.missed(error, self.timeout))?;
        let response = sent.map_err(|error| self.unsent(&error, &mut watch, n_retries))?;
        let status = response.status();
        watch.answered(status.as_u16());
        if status.is_success() {
            return Ok((response, watch));
        }
        Err(self.within(due, self.timeout, self.refused(response, n_retries)).await?)
    }

    /// The provider broke off or spoke nonsense; `problem` starts with a verb.
    pub(crate) fn broken(&self, problem: impl Into<String>) -> NodeError {
        NodeError::UpstreamBroken { provider: self.provider.to_owned(), problem: problem.into() }
    }

    /// The provider's error in its own words, made safe to show.
    pub(crate) fn status(
        &self,
        status: u16,
        message: &str,
        retry_after_s: Option<u64>,
    ) -> NodeError {
        let message = refusal::presentable(message, self.secrets);
        let provider = self.provider.to_owned();
        NodeError::UpstreamStatus { provider, status, message, retry_after_s }
    }

    async fn within<T>(
        &self,
        due: Instant,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, NodeError> {
        tokio::select! {
            biased;
            () = self.ctx.cancel.cancelled() => Err(NodeError::Cancelled),
            done = timeout_at(due, work) => done.map_err(|_| {
                let (provider, seconds) = (self.provider.to_owned(), limit.as_secs().max(1));
                NodeError::UpstreamTimeout { provider, seconds }
            }),
        }
    }

    async fn refused(&self, mut response: Response, n_retries: u32) -> Failure {
        let status = response.status().as_u16();
        let asked = pause::asked_for(response.headers());
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ERROR_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_ERROR_BYTES {
                break;
            }
        }
        let message = complaint(&body).unwrap_or_else(|| "an error page".to_owned());
        let pause = pause::after(status, asked, n_retries);
        // Rounded up: who comes back early is refused again.
        let retry_after_s = asked.map(|asked| asked.as_secs_f64().ceil() as u64);
        Failure { error: self.status(status, &message, retry_after_s), pause }
    }

    /// The library's own words can hold the address, so they stay inside.
    fn unsent(&self, error: &reqwest::Error, watch: &mut Watch<'_>, n_retries: u32) -> Failure {
        if error.is_builder() {
            return self.broken("has no valid address").into();
        }
        watch.broke();
        if error.is_connect() {
            let error = self.broken("could not be reached");
            return Failure { error, pause: Some(pause::jittered(n_retries)) };
        }
        // The provider may have begun to work, so the request is not repeated.
        self.broken("broke off before it answered").into()
    }
}

impl Reply<'_> {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// As of [`Call::send`]; also when the reply grows beyond 32 MiB,
    /// or what [`Call::reading_up_to`] allows.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, NodeError> {
        let call = self.call;
        let chunk = call.within(self.due, self.limit, self.body.chunk()).await;
        let chunk = chunk.inspect_err(|error| self.watch.missed(error, self.limit))?;
        let chunk = chunk.map_err(|_| {
            self.watch.broke();
            call.broken("broke off in the middle of its answer")
        })?;
        self.due = Instant::now() + call.silence;
        self.limit = call.silence;
        if self.due > self.end {
            (self.due, self.limit) = (self.end, call.longest);
        }
        self.n_bytes += chunk.as_ref().map_or(0, Bytes::len);
        if self.n_bytes > call.largest {
            let mib = call.largest >> 20;
            return Err(call.broken(format!("sent an answer of more than {mib} MiB")));
        }
        Ok(chunk)
    }

    /// As [`chunk`](Self::chunk), of a reply that is passed on as it comes: where many
    /// are, it gathers for a while.
    ///
    /// # Errors
    /// As of [`Reply::chunk`].
    pub(crate) async fn gathered(&mut self) -> Result<Option<Bytes>, NodeError> {
        if let Some(crowd) = self.call.ctx.events.crowd() {
            self.body.read_ahead(crowd);
        }
        self.chunk().await
    }

    /// Leaves a reply that has said all.
    pub(crate) async fn drain(self) {
        self.body.drain().await;
    }

    /// All bytes.
    ///
    /// # Errors
    /// As of [`Reply::chunk`].
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>, NodeError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use std::convert::Infallible;

    use super::*;

    /// A reply that came over no network, in these pieces.
    pub(crate) fn reply<'a>(call: Call<'a>, pieces: Vec<Bytes>) -> Reply<'a> {
        let pieces = pieces.into_iter().map(Ok::<_, Infallible>);
        let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let end = Instant::now() + MAX_CALL;
        let body = Body::Direct(http::Response::new(body).into());
        let watch = Watch::nobody(&call);
        Reply { call, body, watch, due: end, limit: MAX_CALL, end, n_bytes: 0 }
    }
}

#[cfg(test)]
mod tests;
