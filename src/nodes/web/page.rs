//! A page of HTML: the text that a selector picks, and the links.

use std::time::{Duration, Instant};

use html5ever::driver::{ParseOpts, parse_document};
use html5ever::tendril::{StrTendril, TendrilSink};
use scraper::{ElementRef, Html, HtmlTreeSink, Selector};

/// Longest text of one page: a selector may pick the same text many times over.
const MAX_TEXT_BYTES: usize = 10 << 20;
/// Links that are taken of one page.
const MAX_LINKS: usize = 5_000;
/// The longest link that is taken. One that is left open is repeated in every
/// paragraph behind it, so that few bytes of a page could fill the memory.
const MAX_LINK_BYTES: usize = 4096;
/// How long reading one page may take. Deeply nested elements make the work
/// grow with the square of their number.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(5);
/// The longest selector.
const MAX_SELECTOR_BYTES: usize = 1_000;
/// Between two of these the clock is looked at.
const BYTES_PER_STEP: usize = 16 << 10;

/// What is wanted of a page.
#[derive(Debug, Clone)]
pub(crate) struct Pick(Selector);

/// What a page holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The text of all elements that the selector picks, one after the other.
    pub(crate) text: String,
    /// What `<a href>` says, in order, resolved against nothing.
    pub(crate) links: Vec<String>,
    /// What `<base href>` says.
    pub(crate) base: Option<String>,
}

impl Pick {
    /// A CSS selector.
    ///
    /// # Errors
    /// What is wrong with it, starting with a verb.
    pub(crate) fn parse(selector: &str) -> Result<Self, String> {
        if selector.len() > MAX_SELECTOR_BYTES {
            return Err(format!("must be at most {MAX_SELECTOR_BYTES} bytes long"));
        }
        let unknown = |_| "is no CSS selector that is known here".to_owned();
        Selector::parse(selector).map(Self).map_err(unknown)
    }
}

/// Reads a page as cheerio's `$(selector).text()` does: the text of scripts
/// and styles belongs to it, that of comments does not, and elements that
/// stand inside each other give their text once each.
///
/// # Errors
/// What is wrong with the page, starting with a verb.
pub(crate) fn read(html: &str, pick: &Pick, time: Duration) -> Result<Page, String> {
    let clock = Clock { end: Instant::now() + time };
    let html = parse(html, &clock)?;
    let mut page = Page { text: String::new(), links: Vec::new(), base: None };
    let elements = html.tree.root().descendants().filter_map(ElementRef::wrap);
    for (at, element) in elements.enumerate() {
        if at % 64 == 0 {
            clock.look()?;
        }
        page.take_link(element);
        if pick.0.matches(&element) {
            page.take_text(element, &clock)?;
        }
    }
    Ok(page)
}

fn parse(html: &str, clock: &Clock) -> Result<Html, String> {
    let sink = HtmlTreeSink::new(Html::new_document());
    let mut parser = parse_document(sink, ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() {
        clock.look()?;
        let (step, behind) = rest.split_at(rest.floor_char_boundary(BYTES_PER_STEP));
        parser.process(StrTendril::from(step));
        rest = behind;
    }
    Ok(parser.finish())
}

impl Page {
    fn take_link(&mut self, element: ElementRef<'_>) {
        let href = element.attr("href").filter(|href| href.len() <= MAX_LINK_BYTES);
        let Some(href) = href else { return };
        match element.value().name() {
            "a" if self.links.len() < MAX_LINKS => self.links.push(href.to_owned()),
            "base" if self.base.is_none() => self.base = Some(href.to_owned()),
            _ => {}
        }
    }

    fn take_text(&mut self, element: ElementRef<'_>, clock: &Clock) -> Result<(), String> {
        for (at, text) in element.text().enumerate() {
            if at % 64 == 0 {
                clock.look()?;
            }
            self.text.push_str(text);
            if self.text.len() > MAX_TEXT_BYTES {
                return Err(format!("holds more than {} MiB of text", MAX_TEXT_BYTES >> 20));
            }
        }
        Ok(())
    }
}

struct Clock {
    end: Instant,
}

impl Clock {
    fn look(&self) -> Result<(), String> {
        match Instant::now() < self.end {
            true => Ok(()),
            false => Err("is too complicated to be read in time".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str, selector: &str) -> String {
        read(html, &Pick::parse(selector).unwrap(), MAX_TIME).unwrap().text
    }

    #[test]
    fn the_text_is_what_cheerio_gives() {
        // Compared with `load(html)(selector).text()` of cheerio 1.0.0.
        for (html, selector, expected) in [
            ("<title>t</title><p>Hello <b>you</b></p>", "body", "Hello you"),
            ("<p>a</p>\n<p>b</p>", "p", "ab"),
            ("<p>a</p>\n<p>b</p>", "body", "a\nb"),
            ("<script>var x;</script><p>a</p>", "body", "a"),
            (
                "<body><p>a<script>var x;</script><style>p{}</style><!-- c -->b",
                "body",
                "avar x;p{}b",
            ),
            ("<div>1<div>2</div></div>", "div", "122"),
            ("<ul><li>a<li>b</ul>", "li", "ab"),
            ("<p>&amp;&eacute;&#x41;&nbsp;", "p", "&éA\u{a0}"),
            ("<body><noscript><b>n</b></noscript>", "body", "<b>n</b>"),
            ("<body>a<template><i>t</i></template>", "body", "at"),
            ("", "body", ""),
            ("plain words", "body", "plain words"),
            ("<p class=x>a</p><p>b</p>", "p.x, p:not(.x)", "ab"),
            ("<table><b>moved</b><tr><td>cell", "body", "movedcell"),
            ("<p>a</p>", "nav", ""),
            ("<html><body>a</body></html>\n\n", "body", "a\n\n"),
            ("<svg><title>s</title></svg>x", "body", "sx"),
            ("<textarea>\nq</textarea><pre>\n\nr</pre>", "body", "q\nr"),
            ("<body>a<template>b<p>c</p></template>d", "p", "c"),
            ("<b><p>x</b>y</p><table>t<tr><td>c</table>", "body *", "xyxcccc"),
        ] {
            assert_eq!(text(html, selector), expected, "{html} {selector}");
        }
    }

    #[test]
    fn links_are_told_as_they_are_written() {
        let html = "<base href='/x/'><a href='a'>1</a><a>2</a><A HREF='#b'>3</A><link href='c'>";

        let page = read(html, &Pick::parse("body").unwrap(), MAX_TIME).unwrap();

        assert_eq!(
            (page.links, page.base.as_deref()),
            (vec!["a".into(), "#b".into()], Some("/x/"))
        );
    }

    #[test]
    fn links_that_nobody_could_fetch_are_left_out() {
        let [short, long] = [MAX_LINK_BYTES, MAX_LINK_BYTES + 1].map(|length| "x".repeat(length));
        let html = format!("<base href='{long}'><a href='{long}'>1</a><a href='{short}'>2</a>");

        let page = read(&html, &Pick::parse("body").unwrap(), MAX_TIME).unwrap();

        assert_eq!((page.links, page.base), (vec![short], None));
    }

    #[test]
    fn a_link_that_is_left_open_is_not_repeated_at_any_length() {
        let repeated = |n_bytes| {
            let html = format!("<p><a href={}>{}", "x".repeat(n_bytes), "<p>y".repeat(100));
            read(&html, &Pick::parse("body").unwrap(), MAX_TIME).unwrap().links.len()
        };
        assert_eq!((repeated(MAX_LINK_BYTES), repeated(MAX_LINK_BYTES + 1)), (101, 0));
    }

    #[test]
    fn a_page_that_takes_too_long_or_gives_too_much_is_given_up() {
        let nested = format!("{}{}", "<div>".repeat(200), "x".repeat(100_000));
        let pick = Pick::parse("div").unwrap();
        assert_eq!(
            read(&nested, &pick, Duration::ZERO).unwrap_err(),
            "is too complicated to be read in time"
        );
        // Each of 200 nested elements holds the whole text.
        assert!(read(&nested, &pick, 6 * MAX_TIME).unwrap_err().ends_with("MiB of text"));
    }

    #[test]
    fn a_selector_that_is_none_is_refused() {
        for selector in ["p:contains(x)", "<p>", "p[", "", &"p,".repeat(900)] {
            assert!(Pick::parse(selector).is_err(), "{selector}");
        }
    }
}
