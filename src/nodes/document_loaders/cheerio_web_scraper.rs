//! Flowise `cheerioWebScraper`, version 2: pages of the web, one or many.
//!
//! As in Flowise the text of a page is what cheerio's `text()` gives, also
//! where a splitter for HTML is connected. What cannot be read is told, where
//! Flowise leaves it out.

mod crawl;
mod frontier;
mod links;
mod reader;
mod sitemap;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use self::reader::Reader;
use super::output::{METADATA, OMIT_METADATA_KEYS, TEXT_SPLITTER, loader};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{DocumentLoader, Loaded};
use crate::spec::{Kind, NodeSpec, Param};
use crate::web::page::Pick;

/// The most pages of one load, also where the limit is 0, which means all.
const MAX_PAGES: usize = 1_000;
/// The limit where none is given.
const DEFAULT_LIMIT: usize = 10;
const WEB_CRAWL: &str = "webCrawl";
const SITEMAP: &str = "scrapeXMLSitemap";

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "cheerioWebScraper",
    category: "Document Loaders",
    version: 2.0,
    about: "Pages of the web: one, those that it links to, or those of a sitemap.",
    params: &[
        Param::open("url", Kind::Text),
        TEXT_SPLITTER,
        Param::open("relativeLinksMethod", Kind::Choice(&[WEB_CRAWL, SITEMAP])),
        Param::open("limit", Kind::Integer),
        Param::open("selector", Kind::Text),
        Param::closed("selectedLinks", Kind::Json),
        METADATA,
        OMIT_METADATA_KEYS,
    ],
    credential: None,
    build,
};

struct WebScraper {
    title: String,
    url: String,
    pages: Pages,
    limit: usize,
    pick: Arc<Pick>,
    is_overridden: bool,
}

/// Which pages are read.
enum Pages {
    /// The one at the address.
    One,
    /// Those that the author selected in Flowise.
    Selected(Vec<String>),
    /// Those that the page at the address leads to, on its own host.
    Linked,
    /// Those that the sitemap at the address lists.
    Listed,
}

impl DocumentLoader for WebScraper {
    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        async move {
            let reader = Reader::new(ctx, Arc::clone(&self.pick), self.is_overridden);
            match &self.pages {
                Pages::One => reader.read_all(vec![self.url.clone()]).await,
                Pages::Selected(links) => {
                    let links = links.iter().take(self.limit).cloned().collect();
                    reader.read_all(links).await
                }
                Pages::Linked => crawl::crawl(&reader, &self.url, self.limit).await,
                Pages::Listed => sitemap::load(&reader, &self.url, self.limit, &self.title).await,
            }
        }
        .boxed()
    }

    fn takes_what_it_finds(&self) -> bool {
        !matches!(self.pages, Pages::One)
    }
}

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let url = inputs.required_text("url")?.trim().to_owned();
    let selected = selected(inputs, &url)?;
    let pages = match inputs.text("relativeLinksMethod").as_deref() {
        _ if !selected.is_empty() => Pages::Selected(selected),
        None => Pages::One,
        Some(WEB_CRAWL) => Pages::Linked,
        Some(SITEMAP) => Pages::Listed,
        Some(_) => {
            let problem = format!("must be {WEB_CRAWL}, {SITEMAP} or empty");
            return Err(inputs.bad("relativeLinksMethod", problem));
        }
    };
    let limit = limit(inputs, &pages)?;
    let selector = inputs.text("selector").unwrap_or_else(|| "body".to_owned());
    let pick = Pick::parse(&selector).map_err(|problem| inputs.bad("selector", problem))?;
    let is_overridden = inputs.is_overridden;
    let (title, pick) = (inputs.title(), Arc::new(pick));
    loader(inputs, WebScraper { title, url, pages, limit, pick, is_overridden })
}

/// Where no limit is given, a selection counts whole: somebody chose each of it.
fn limit(inputs: &Inputs, pages: &Pages) -> Result<usize, NodeError> {
    let given = inputs.integer("limit", 0)?.and_then(|limit| usize::try_from(limit).ok());
    match (given, pages) {
        (Some(0), _) | (None, Pages::Selected(_)) => Ok(MAX_PAGES),
        (None, _) => Ok(DEFAULT_LIMIT),
        (Some(limit), _) if limit <= MAX_PAGES => Ok(limit),
        _ => Err(inputs.bad("limit", format!("must be at most {MAX_PAGES}; 0 takes as many"))),
    }
}

/// The links that the author selected. A request that brings an address on
/// another host means that address and not the selection.
fn selected(inputs: &Inputs, url: &str) -> Result<Vec<String>, NodeError> {
    let wrong = || inputs.bad("selectedLinks", "must be a list of addresses");
    let links = match inputs.json("selectedLinks")? {
        None => return Ok(Vec::new()),
        Some(Value::Array(links)) => links,
        Some(_) => return Err(wrong()),
    };
    let link = |link: &Value| link.as_str().map(|link| link.trim().to_owned());
    let mut links = links.iter().map(link).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    links::dedupe(&mut links);
    if inputs.is_overridden && !links.iter().any(|link| links::are_neighbours(link, url)) {
        links.clear();
    }
    Ok(links)
}
