//! Fetches pages and reads them: a few at a time, within what one load may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::links;
use crate::ctx::TurnCtx;
use crate::egress::{FetchError, Fetched, Limits, fetch, shown};
use crate::error::NodeError;
use crate::retrieval::{Document, LoadFailure, Loaded, Origin};
use crate::web::charset;
use crate::web::page::{self, Page, Pick};
use crate::workers;

/// Pages that are fetched at the same time.
pub(super) const AT_ONCE: usize = 4;
const MAX_PAGE_BYTES: usize = 10 << 20;
const MAX_PAGE_TIME: Duration = Duration::from_secs(30);
/// What all pages of a load may hold together, as they came and as text.
const MAX_BYTES: usize = 128 << 20;
/// What a load may take.
const MAX_TIME: Duration = Duration::from_secs(600);

/// Reads the pages of one load.
pub(super) struct Reader<'a> {
    ctx: &'a TurnCtx,
    pick: Arc<Pick>,
    is_overridden: bool,
    bytes_left: AtomicUsize,
    end: Instant,
}

/// A page that was read.
pub(super) struct Read {
    /// Its address after all redirects.
    pub(super) url: Url,
    /// What it holds.
    pub(super) page: Page,
}

/// Why there is no page.
pub(super) enum Miss {
    /// It cannot be had; the problem starts with a verb.
    Failed(String),
    /// What is there is of another type; the problem starts with a verb.
    NoPage(String),
}

impl<'a> Reader<'a> {
    pub(super) fn new(ctx: &'a TurnCtx, pick: Arc<Pick>, is_overridden: bool) -> Self {
        let end = Instant::now() + MAX_TIME;
        Self { ctx, pick, is_overridden, bytes_left: AtomicUsize::new(MAX_BYTES), end }
    }

    /// All these pages, in their order.
    ///
    /// # Errors
    /// As of [`Self::read`]; a page that cannot be read is a failure of its own.
    pub(super) async fn read_all(&self, addresses: Vec<String>) -> Result<Loaded, NodeError> {
        let mut loaded = Loaded::default();
        let read = |address: String| async move { (self.read(&address).await, address) };
        let mut reads = stream::iter(addresses).map(read).buffered(AT_ONCE);
        while let Some((read, address)) = reads.next().await {
            match read? {
                Ok(read) => loaded.documents.push(self.document(read.page.text, address)),
                Err(miss) => loaded.failures.push(miss.at(&address)),
            }
        }
        loaded.n_files = loaded.documents.len();
        Ok(loaded)
    }

    /// One page.
    ///
    /// # Errors
    /// [`NodeError::Busy`] and [`NodeError::Cancelled`].
    pub(super) async fn read(&self, address: &str) -> Result<Result<Read, Miss>, NodeError> {
        let fetched = match self.fetch(address).await? {
            Ok(fetched) => fetched,
            Err(problem) => return Ok(Err(Miss::Failed(problem))),
        };
        if let Some(problem) = no_page(&fetched) {
            return Ok(Err(Miss::NoPage(problem)));
        }
        let url = fetched.url.clone();
        let pick = Arc::clone(&self.pick);
        let read = move || {
            let html = charset::decode(&fetched.bytes, fetched.charset.as_deref());
            page::read(&html, &pick, page::MAX_TIME)
        };
        match self.compute(read).await?.and_then(|read| read) {
            Ok(page) => {
                self.spend(page.text.len());
                Ok(Ok(Read { url, page }))
            }
            Err(problem) => Ok(Err(Miss::Failed(problem))),
        }
    }

    /// An address that answers with success, or the problem.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`].
    pub(super) async fn fetch(&self, address: &str) -> Result<Result<Fetched, String>, NodeError> {
        match self.answer(address).await? {
            Ok(fetched) if !(200..300).contains(&fetched.status) => {
                Ok(Err(format!("answered {}", fetched.status)))
            }
            other => Ok(other),
        }
    }

    /// What an address answers, with any status, or the problem.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`].
    pub(super) async fn answer(&self, address: &str) -> Result<Result<Fetched, String>, NodeError> {
        let bytes = self.bytes_left.load(Ordering::Relaxed).min(MAX_PAGE_BYTES);
        if bytes == 0 {
            let most = MAX_BYTES >> 20;
            return Ok(Err(format!("was not read, as all pages together exceed {most} MiB")));
        }
        let time = self.end.saturating_duration_since(Instant::now()).min(MAX_PAGE_TIME);
        if time.is_zero() {
            let most = MAX_TIME.as_secs() / 60;
            return Ok(Err(format!("was not read, as all pages together took {most} minutes")));
        }
        match fetch(address, &Limits { bytes, time }, self.ctx).await {
            Ok(fetched) => {
                self.spend(fetched.bytes.len());
                Ok(Ok(fetched))
            }
            Err(FetchError::Cancelled) => Err(NodeError::Cancelled),
            Err(error) => Ok(Err(error.problem())),
        }
    }

    /// Work on what an address brought, off the arbiter, or the problem.
    ///
    /// # Errors
    /// As of [`workers::attempt`].
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Result<T, String>, NodeError> {
        workers::attempt(self.ctx, work).await
    }

    /// The document of a page. What a request leads to is the request's own,
    /// and known by its address.
    pub(super) fn document(&self, text: String, source: String) -> Document {
        let origin = self.is_overridden.then(|| Origin::Request(source.as_str().into()));
        let metadata = Map::from_iter([("source".to_owned(), Value::String(source))]);
        Document { origin, ..Document::new(text, metadata) }
    }

    fn spend(&self, n_bytes: usize) {
        let less = |left: usize| Some(left.saturating_sub(n_bytes));
        let _ = self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Miss {
    /// As a failure of the load.
    pub(super) fn at(self, address: &str) -> LoadFailure {
        let (Self::Failed(problem) | Self::NoPage(problem)) = self;
        failure(address, problem)
    }
}

/// The failure of an address.
pub(super) fn failure(address: &str, problem: String) -> LoadFailure {
    LoadFailure { name: shown(address), problem }
}

/// Text of any kind is read as a page, as in Flowise; the rest is none.
fn no_page(fetched: &Fetched) -> Option<String> {
    let mime = fetched.mime.as_str();
    let is_text = mime.is_empty()
        || mime.starts_with("text/")
        || mime.ends_with("/xml")
        || mime.ends_with("+xml") && !mime.starts_with("image/");
    match is_text {
        true if mime.is_empty() && links::is_no_page(&fetched.url) => {
            Some("is no web page".to_owned())
        }
        true => None,
        false => Some(format!("is no web page but {}", mime.chars().take(80).collect::<String>())),
    }
}
