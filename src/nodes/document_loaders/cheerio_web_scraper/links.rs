//! Which links lead to other pages of the same site.

use std::collections::HashSet;

use url::Url;

/// What is no page, by the end of its path. What else is none shows when it comes.
const NO_PAGES: &[&str] = &[
    "pdf", "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "zip", "gz", "mp3",
    "mp4", "webm", "doc", "docx", "xls", "xlsx", "ppt", "pptx",
];

/// The pages of one host.
#[derive(Debug)]
pub(super) struct Site(Url);

impl Site {
    /// The site that a page is part of.
    pub(super) fn of(page: &Url) -> Self {
        Self(page.clone())
    }

    /// Whether a page is part of it. Its usual ports for `http` and `https`
    /// are one site.
    pub(super) fn holds(&self, page: &Url) -> bool {
        let is_usual = |url: &Url| url.port().is_none();
        self.0.host() == page.host()
            && (self.0.port() == page.port() || is_usual(&self.0) && is_usual(page))
    }
}

/// The page that a link leads to: resolved, without its fragment, and as in
/// Flowise without its query, so that no calendar is walked through for ever.
pub(super) fn target(link: &str, base: &Url) -> Option<Url> {
    let mut url = base.join(link.trim()).ok()?;
    url.set_fragment(None);
    url.set_query(None);
    let is_web = matches!(url.scheme(), "http" | "https");
    let has_secret = !url.username().is_empty() || url.password().is_some();
    (is_web && !has_secret && !is_no_page(&url)).then_some(url)
}

/// The name of a page, as in Flowise: the same with and without a slash at its end.
pub(super) fn name(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    let name = String::from(url);
    match name.strip_suffix('/') {
        Some(name) => name.to_owned(),
        None => name,
    }
}

/// Whether a path ends like a file that holds no page.
pub(super) fn is_no_page(url: &Url) -> bool {
    let file = url.path().rsplit('/').next().unwrap_or_default();
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    NO_PAGES.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether two addresses are on the same host.
pub(super) fn are_neighbours(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => Site::of(&one).holds(&other),
        _ => false,
    }
}

/// Keeps the first of equal addresses.
pub(super) fn dedupe(addresses: &mut Vec<String>) {
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_resolved_and_loses_what_tells_no_pages_apart() {
        let base = Url::parse("https://a.test/docs/one?x#y").unwrap();
        for (link, expected) in [
            ("two", Some("https://a.test/docs/two")),
            ("/two/?page=2#end", Some("https://a.test/two/")),
            ("../up", Some("https://a.test/up")),
            ("#top", Some("https://a.test/docs/one")),
            (" //b.test/x ", Some("https://b.test/x")),
            ("HTTPS://B.test:443/x", Some("https://b.test/x")),
            ("mailto:a@b.test", None),
            ("javascript:void(0)", None),
            ("https://u:p@a.test/", None),
            ("paper.PDF", None),
            ("http://[", None),
        ] {
            assert_eq!(target(link, &base).as_ref().map(Url::as_str), expected, "{link}");
        }
    }

    #[test]
    fn a_page_has_one_name_with_and_without_its_last_slash() {
        for (url, expected) in [
            ("http://a.test/", "http://a.test"),
            ("http://a.test/b/", "http://a.test/b"),
            ("http://a.test:81/b?c=d#e", "http://a.test:81/b?c=d"),
        ] {
            assert_eq!(name(&Url::parse(url).unwrap()), expected);
        }
    }

    #[test]
    fn a_site_is_a_host_at_its_usual_ports_or_at_one_other() {
        for (one, other, expected) in [
            ("http://a.test/", "https://a.test/x", true),
            ("http://a.test:81/", "http://a.test:81/x", true),
            ("http://a.test:81/", "http://a.test/", false),
            ("http://a.test/", "http://b.a.test/", false),
            ("http://a.test/", "http://a.test.evil/", false),
        ] {
            assert_eq!(are_neighbours(one, other), expected, "{one} {other}");
        }
    }
}
