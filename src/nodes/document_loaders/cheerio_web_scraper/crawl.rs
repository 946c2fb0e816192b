//! Follows the links of a site, breadth first, as far as robots.txt lets a
//! crawler go. The address that the author wrote is fetched in any case: that
//! is a reader's visit.

use std::collections::{HashSet, VecDeque};

use futures::stream::{self, StreamExt};
use url::Url;

use super::links::{Site, name, target};
use super::reader::{AT_ONCE, Miss, Read, Reader, failure};
use crate::error::NodeError;
use crate::retrieval::Loaded;
use crate::web::charset;
use crate::web::robots::Robots;

/// How many links away from the first page.
const MAX_DEPTH: usize = 10;
/// Pages that are known of.
const MAX_KNOWN: usize = 10_000;
/// Pages that are asked for before the next look at what was found.
const STEP: usize = 16;

/// Loads the page at an address and those of its site that it leads to, at
/// most `limit`.
///
/// # Errors
/// [`NodeError::Cancelled`].
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
    let mut crawl = Crawl::beginning_at(&first.url);
    // What the author wrote is the page's name, also where it is redirected.
    let source = Url::parse(address).map_or_else(|_| name(&first.url), |url| name(&url));
    crawl.known.insert(source.clone());
    crawl.take(first, source, 0, reader);
    if limit > 1 && !crawl.waiting.is_empty() {
        crawl.ask_robots(reader).await?;
        crawl.follow(reader, limit).await?;
    }
    Ok(crawl.loaded)
}

struct Crawl {
    site: Site,
    root: Url,
    robots: Robots,
    loaded: Loaded,
    /// The names of pages that are loaded, after redirects.
    done: HashSet<String>,
    /// The names of pages that were linked to.
    known: HashSet<String>,
    waiting: VecDeque<Target>,
}

struct Target {
    url: Url,
    name: String,
    depth: usize,
}

impl Crawl {
    fn beginning_at(page: &Url) -> Self {
        Self {
            site: Site::of(page),
            root: page.clone(),
            robots: Robots::default(),
            loaded: Loaded::default(),
            done: HashSet::new(),
            known: HashSet::from([name(page)]),
            waiting: VecDeque::new(),
        }
    }

    async fn follow(&mut self, reader: &Reader<'_>, limit: usize) -> Result<(), NodeError> {
        // A site may hold many links that are dead or lead to no page.
        let mut n_tries_left = 4 * limit + STEP;
        while self.loaded.n_files < limit && n_tries_left > 0 {
            let wanted = (limit - self.loaded.n_files).min(STEP).min(n_tries_left);
            let step = self.next(wanted);
            if step.is_empty() {
                return Ok(());
            }
            n_tries_left -= step.len();
            let read = |target: Target| async { (reader.read(target.url.as_str()).await, target) };
            let mut reads = stream::iter(step).map(read).buffered(AT_ONCE);
            while let Some((read, target)) = reads.next().await {
                self.arrived(read?, target, reader);
            }
        }
        if !self.waiting.is_empty() {
            let (n_pages, n_left) = (self.loaded.n_files, self.waiting.len());
            tracing::info!(n_pages, n_left, "a crawl ended at its limit before the site did");
        }
        Ok(())
    }

    /// The next pages to ask for.
    fn next(&mut self, n_wanted: usize) -> Vec<Target> {
        let mut step = Vec::new();
        while step.len() < n_wanted
            && let Some(target) = self.waiting.pop_front()
        {
            if !self.done.contains(&target.name) && self.robots.allows(target.url.path()) {
                step.push(target);
            }
        }
        step
    }

    fn arrived(&mut self, read: Result<Read, Miss>, target: Target, reader: &Reader<'_>) {
        match read {
            Ok(read) if self.site.holds(&read.url) => {
                self.take(read, target.name, target.depth, reader);
            }
            // A link that leads elsewhere, or to no page, is no fault of the site.
            Ok(_) | Err(Miss::NoPage(_)) => {}
            Err(miss) => self.loaded.failures.push(miss.at(target.url.as_str())),
        }
    }

    /// Takes a page and notes its links, unless another link led to it before.
    fn take(&mut self, read: Read, source: String, depth: usize, reader: &Reader<'_>) {
        if !self.done.insert(name(&read.url)) {
            return;
        }
        let based = read.page.base.and_then(|base| read.url.join(&base).ok());
        let base = based.unwrap_or(read.url);
        for link in read.page.links.iter().filter(|_| depth < MAX_DEPTH) {
            self.note(link, &base, depth + 1);
        }
        self.loaded.n_files += 1;
        self.loaded.documents.push(reader.document(read.page.text, source));
    }

    fn note(&mut self, link: &str, base: &Url, depth: usize) {
        let Some(url) = target(link, base).filter(|url| self.site.holds(url)) else { return };
        let name = name(&url);
        if self.known.len() < MAX_KNOWN && self.known.insert(name.clone()) {
            self.waiting.push_back(Target { url, name, depth });
        }
    }

    /// Reads the site's robots.txt (RFC 9309): none there closes nothing, one
    /// that cannot be had closes everything.
    async fn ask_robots(&mut self, reader: &Reader<'_>) -> Result<(), NodeError> {
        let Ok(address) = self.root.join("/robots.txt") else { return Ok(()) };
        let problem = match reader.answer(address.as_str()).await? {
            Ok(fetched) if (200..300).contains(&fetched.status) => {
                let text = charset::decode(&fetched.bytes, Some("utf-8"));
                self.robots = Robots::parse(&text);
                return Ok(());
            }
            Ok(fetched) if (400..500).contains(&fetched.status) => return Ok(()),
            Ok(fetched) => format!("answered {}, so no link was followed", fetched.status),
            Err(problem) => format!("{problem}, so no link was followed"),
        };
        self.robots = Robots::closed();
        self.loaded.failures.push(failure(address.as_str(), problem));
        Ok(())
    }
}
