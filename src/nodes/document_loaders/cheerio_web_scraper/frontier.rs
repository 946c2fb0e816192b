//! The edge of a crawl: which pages of a site are known, and which come next. Looking
//! through it computes, as a page may hold thousands of links and a robots.txt
//! thousands of rules, so [`super::crawl`] does it off the arbiters.

use std::collections::{HashSet, VecDeque};

use url::Url;

use super::links::{Site, name, target};
use crate::web::robots::Robots;

/// How many links away from the first page.
const MAX_DEPTH: usize = 10;
/// Pages that are known of.
const MAX_KNOWN: usize = 10_000;

/// A page that is not read yet.
pub(super) struct Target {
    pub(super) url: Url,
    /// As the site's pages are told apart by.
    pub(super) name: String,
    /// How many links it is away from the first page.
    pub(super) depth: usize,
}

/// The links of a page that was read.
pub(super) struct Found {
    pub(super) links: Vec<String>,
    /// What they are relative to.
    pub(super) base: Url,
    /// Where the page is.
    pub(super) depth: usize,
}

/// What is known of a site.
pub(super) struct Frontier {
    site: Site,
    robots: Robots,
    /// The names of pages that are loaded, after redirects.
    done: HashSet<String>,
    /// The names of pages that were linked to.
    known: HashSet<String>,
    waiting: VecDeque<Target>,
    /// Links that nobody has looked at yet.
    found: Vec<Found>,
}

impl Frontier {
    /// Of the site of a page, which has another name besides its address.
    pub(super) fn beginning_at(page: &Url, other_name: String) -> Self {
        Self {
            site: Site::of(page),
            robots: Robots::default(),
            done: HashSet::new(),
            known: HashSet::from([name(page), other_name]),
            waiting: VecDeque::new(),
            found: Vec::new(),
        }
    }

    /// Whether an address is a page of the site.
    pub(super) fn is_of_site(&self, url: &Url) -> bool {
        self.site.holds(url)
    }

    /// Notes that a page was read; false where another link led to it before.
    pub(super) fn arrive(&mut self, page: &Url) -> bool {
        self.done.insert(name(page))
    }

    /// Keeps the links of a page until the next look.
    pub(super) fn keep(&mut self, found: Found) {
        if found.depth < MAX_DEPTH {
            self.found.push(found);
        }
    }

    /// What the site lets a crawler ask for from now on.
    pub(super) fn obey(&mut self, robots: Robots) {
        self.robots = robots;
    }

    /// Pages that are waited for; links that nobody has looked at count as one.
    pub(super) fn n_left(&self) -> usize {
        self.waiting.len() + usize::from(!self.found.is_empty())
    }

    /// Looks at the links that were kept. It computes.
    pub(super) fn look(&mut self) {
        for found in std::mem::take(&mut self.found) {
            for link in &found.links {
                self.note(link, &found.base, found.depth + 1);
            }
        }
    }

    fn note(&mut self, link: &str, base: &Url, depth: usize) {
        if self.known.len() >= MAX_KNOWN {
            return;
        }
        let Some(url) = target(link, base).filter(|url| self.site.holds(url)) else { return };
        let name = name(&url);
        if self.known.insert(name.clone()) {
            self.waiting.push_back(Target { url, name, depth });
        }
    }

    /// The next pages to ask for. It computes.
    pub(super) fn next(&mut self, n_wanted: usize) -> Vec<Target> {
        self.look();
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
}
