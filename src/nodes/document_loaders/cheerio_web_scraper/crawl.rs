//! Follows the links of a site, breadth first, as far as robots.txt lets a
//! crawler go. The address that the author wrote is fetched in any case: that
//! is a reader's visit.

use futures::stream::{self, StreamExt};
use url::Url;

use super::frontier::{Found, Frontier, Target};
use super::links::name;
use super::reader::{AT_ONCE, Miss, Read, Reader, failure};
use crate::error::NodeError;
use crate::retrieval::Loaded;
use crate::web::charset;
use crate::web::robots::Robots;

/// Pages that are asked for before the next look at what was found.
const STEP: usize = 16;

/// Loads the page at an address and those of its site that it leads to, at
/// most `limit`.
///
/// # Errors
/// As of [`Reader::read`].
pub(super) async fn crawl(
    reader: &Reader<'_>,
    address: &str,
    limit: usize,
) -> Result<Loaded, NodeError> {
    let first = match reader.read(address).await? {
        Ok(first) => first,
        Err(miss) => {
            let failures = vec![miss.at(address)];
            return Ok(Loaded { failures, ..Loaded::default() });
        }
    };
    // What the author wrote is the page's name, also where it is redirected.
    let source = Url::parse(address).map_or_else(|_| name(&first.url), |url| name(&url));
    let frontier = Frontier::beginning_at(&first.url, source.clone());
    let (root, loaded) = (first.url.clone(), Loaded::default());
    let mut crawl = Crawl { reader, root, frontier, loaded };
    crawl.take(first, source, 0);
    if limit > 1 && crawl.leads_on().await? {
        crawl.ask_robots().await?;
        crawl.follow(limit).await?;
    }
    Ok(crawl.loaded)
}

struct Crawl<'a> {
    reader: &'a Reader<'a>,
    root: Url,
    frontier: Frontier,
    loaded: Loaded,
}

impl Crawl<'_> {
    async fn leads_on(&mut self) -> Result<bool, NodeError> {
        Ok(self.compute(Frontier::look).await?.is_some() && self.frontier.n_left() > 0)
    }

    async fn follow(&mut self, limit: usize) -> Result<(), NodeError> {
        // A site may hold many links that are dead or lead to no page.
        let mut n_tries_left = 4 * limit + STEP;
        while self.loaded.n_files < limit && n_tries_left > 0 {
            let n_wanted = (limit - self.loaded.n_files).min(STEP).min(n_tries_left);
            let step = self.compute(move |frontier| frontier.next(n_wanted)).await?;
            let Some(step) = step.filter(|step| !step.is_empty()) else { return Ok(()) };
            n_tries_left -= step.len();
            let reader = self.reader;
            let read = |target: Target| async { (reader.read(target.url.as_str()).await, target) };
            let mut reads = stream::iter(step).map(read).buffered(AT_ONCE);
            while let Some((read, target)) = reads.next().await {
                self.arrived(read?, target);
            }
        }
        if self.frontier.n_left() > 0 {
            let (n_pages, n_left) = (self.loaded.n_files, self.frontier.n_left());
            tracing::info!(n_pages, n_left, "a crawl ended at its limit before the site did");
        }
        Ok(())
    }

    /// Work on the frontier, off the arbiter. Where it cannot be done the crawl
    /// ends with what it has, and says so.
    async fn compute<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Frontier) -> T + Send + 'static,
    ) -> Result<Option<T>, NodeError> {
        let empty = Frontier::beginning_at(&self.root, String::new());
        let mut frontier = std::mem::replace(&mut self.frontier, empty);
        let work = move || {
            let done = work(&mut frontier);
            (frontier, done)
        };
        match self.reader.compute(work).await? {
            Ok((frontier, done)) => {
                self.frontier = frontier;
                Ok(Some(done))
            }
            Err(_) => {
                let problem = "leads to more links than can be looked at in time".to_owned();
                self.loaded.failures.push(failure(self.root.as_str(), problem));
                Ok(None)
            }
        }
    }

    fn arrived(&mut self, read: Result<Read, Miss>, target: Target) {
        match read {
            Ok(read) if self.frontier.is_of_site(&read.url) => {
                self.take(read, target.name, target.depth);
            }
            // A link that leads elsewhere, or to no page, is no fault of the site.
            Ok(_) | Err(Miss::NoPage(_)) => {}
            Err(miss) => self.loaded.failures.push(miss.at(target.url.as_str())),
        }
    }

    /// Takes a page and keeps its links, unless another link led to it before.
    fn take(&mut self, read: Read, source: String, depth: usize) {
        if !self.frontier.arrive(&read.url) {
            return;
        }
        let based = read.page.base.and_then(|base| read.url.join(&base).ok());
        let base = based.unwrap_or(read.url);
        self.frontier.keep(Found { links: read.page.links, base, depth });
        self.loaded.n_files += 1;
        self.loaded.documents.push(self.reader.document(read.page.text, source));
    }

    /// Reads the site's robots.txt (RFC 9309): none there closes nothing, one
    /// that cannot be had closes everything.
    async fn ask_robots(&mut self) -> Result<(), NodeError> {
        let Ok(address) = self.root.join("/robots.txt") else { return Ok(()) };
        let problem = match self.reader.answer(address.as_str()).await? {
            Ok(fetched) if (200..300).contains(&fetched.status) => {
                let read = move || Robots::parse(&charset::decode(&fetched.bytes, Some("utf-8")));
                match self.reader.compute(read).await? {
                    Ok(robots) => {
                        self.frontier.obey(robots);
                        return Ok(());
                    }
                    Err(problem) => problem,
                }
            }
            Ok(fetched) if (400..500).contains(&fetched.status) => return Ok(()),
            Ok(fetched) => format!("answered {}", fetched.status),
            Err(problem) => problem,
        };
        self.frontier.obey(Robots::closed());
        let problem = format!("{problem}, so no link was followed");
        self.loaded.failures.push(failure(address.as_str(), problem));
        Ok(())
    }
}
