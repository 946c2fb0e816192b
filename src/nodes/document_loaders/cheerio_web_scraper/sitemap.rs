//! The pages that a sitemap lists, also through an index of sitemaps.

use super::links;
use super::reader::{Reader, failure};
use crate::error::NodeError;
use crate::retrieval::{LoadFailure, Loaded};
use crate::web::charset;
use crate::web::sitemap::{self, Sitemap};

/// Sitemaps that an index may lead to. An index of indexes is not allowed by
/// the standard and not followed.
const MAX_SITEMAPS: usize = 50;

/// Loads the pages that the sitemap at an address lists, at most `limit`.
///
/// # Errors
/// [`NodeError::BadRequest`] for a sitemap without pages; as of [`Reader::read`].
pub(super) async fn load(
    reader: &Reader<'_>,
    address: &str,
    limit: usize,
    title: &str,
) -> Result<Loaded, NodeError> {
    let mut failures = Vec::new();
    let Some(first) = read(reader, address, &mut failures).await? else {
        return Ok(Loaded { failures, ..Loaded::default() });
    };
    let mut pages = first.pages;
    for inner in first.sitemaps.iter().take(MAX_SITEMAPS) {
        if pages.len() >= limit {
            break;
        }
        if let Some(more) = read(reader, inner, &mut failures).await? {
            pages.extend(more.pages);
        }
    }
    links::dedupe(&mut pages);
    if pages.len() > limit {
        tracing::info!(n_pages = pages.len(), limit, "{title} takes only a part of a sitemap");
        pages.truncate(limit);
    }
    if pages.is_empty() && failures.is_empty() {
        return Err(NodeError::BadRequest(format!("{title}: the sitemap at url lists no page")));
    }
    let mut loaded = reader.read_all(pages).await?;
    loaded.failures.splice(..0, failures);
    Ok(loaded)
}

async fn read(
    reader: &Reader<'_>,
    address: &str,
    failures: &mut Vec<LoadFailure>,
) -> Result<Option<Sitemap>, NodeError> {
    let fetched = match reader.fetch(address).await? {
        Ok(fetched) => fetched,
        Err(problem) => {
            failures.push(failure(address, problem));
            return Ok(None);
        }
    };
    let work = move || {
        let xml = charset::decode(&fetched.bytes, fetched.charset.as_deref());
        sitemap::read(&xml)
    };
    match reader.compute(work).await? {
        Ok(Some(sitemap)) => Ok(Some(sitemap)),
        Ok(None) | Err(_) => {
            failures.push(failure(address, "is no sitemap in XML".to_owned()));
            Ok(None)
        }
    }
}
