//! Tells the breaker of an address how a call of it went. Only what the
//! address is to blame for counts: no refusal (4xx), no answer that makes no
//! sense, no caller who left, and no time limit that a request made short.

use std::time::{Duration, Instant};

use reqwest::Url;

use super::{Call, pause};
use crate::error::NodeError;
use crate::upstream::Passage;

/// A request may override its node's time limit: a shorter one than this says
/// nothing of the provider.
const PATIENT: Duration = Duration::from_secs(30);

/// One try of a call, watched until it is dropped.
pub(super) struct Watch<'a> {
    call: Call<'a>,
    /// `None` on a server without breakers.
    passage: Option<Passage>,
    has_answered: bool,
}

impl<'a> Watch<'a> {
    /// Asks the breaker of the address.
    ///
    /// # Errors
    /// [`NodeError::UpstreamPaused`].
    pub(super) fn begin(call: &Call<'a>, url: &Url) -> Result<Self, NodeError> {
        let breakers = call.ctx.services.breakers();
        let passage = breakers.map(|breakers| breakers.admit(url, Instant::now())).transpose();
        let passage = passage.map_err(|retry_after_s| NodeError::UpstreamPaused {
            provider: call.provider.to_owned(),
            retry_after_s,
        })?;
        Ok(Self { call: *call, passage, has_answered: false })
    }

    /// A try that nobody watches.
    #[cfg(test)]
    pub(super) fn nobody(call: &Call<'a>) -> Self {
        Self { call: *call, passage: None, has_answered: false }
    }

    /// The head of an answer came.
    pub(super) fn answered(&mut self, status: u16) {
        if status >= 500 {
            return self.broke();
        }
        self.has_answered = true;
        if let Some(passage) = &mut self.passage {
            passage.answered();
        }
    }

    /// The connection failed, or the provider did.
    pub(super) fn broke(&mut self) {
        let Some(passage) = &mut self.passage else { return };
        if passage.failed(pause::random()) {
            tracing::warn!("{} keeps failing and is left alone for a while", self.call.provider);
        }
    }

    /// The wait for it ended with this error, after at most `limit`. The limit
    /// of the whole call is not its fault alone: a slow reader uses it up, too.
    pub(super) fn missed(&mut self, error: &NodeError, limit: Duration) {
        let is_timeout = matches!(error, NodeError::UpstreamTimeout { .. });
        if is_timeout && limit >= PATIENT && limit != self.call.longest {
            self.broke();
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let Some(passage) = &mut self.passage else { return };
        if self.has_answered && !self.call.ctx.cancel.is_cancelled() {
            passage.succeeded();
        }
    }
}
