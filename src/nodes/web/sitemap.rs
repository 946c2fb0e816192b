//! Sitemaps (sitemaps.org): the addresses of pages, or of more sitemaps.

use std::ops::ControlFlow;

use crate::extract::xml::{Piece, walk_while};

/// Addresses in one sitemap, by its standard.
const MAX_LOCATIONS: usize = 50_000;
/// Longest address.
const MAX_LOCATION_BYTES: usize = 4096;

/// The addresses in a sitemap, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sitemap {
    /// Of pages.
    pub(crate) pages: Vec<String>,
    /// Of other sitemaps.
    pub(crate) sitemaps: Vec<String>,
}

/// Reads a sitemap; `None` for what is no XML.
pub(crate) fn read(xml: &str) -> Option<Sitemap> {
    let (mut found, mut above, mut text) = (Sitemap::default(), Vec::new(), String::new());
    let mut n_elements = 0;
    let walked = walk_while(xml, |piece| {
        match piece {
            Piece::Open(name, _) => {
                n_elements += 1;
                text.clear();
                above.push(name.to_owned());
            }
            Piece::Close(_) => {
                found.take(&above, &text);
                above.pop();
            }
            Piece::Text(part) if text.len() <= MAX_LOCATION_BYTES => text.push_str(part),
            Piece::Text(_) => {}
        }
        match found.pages.len() + found.sitemaps.len() {
            MAX_LOCATIONS => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    walked.ok().filter(|()| n_elements > 0).map(|()| found)
}

impl Sitemap {
    /// An address stands in `loc` right below `url` or `sitemap`; those of
    /// images stand deeper.
    fn take(&mut self, above: &[String], text: &str) {
        let [.., parent, name] = above else { return };
        let address = text.trim();
        if name != "loc" || address.is_empty() || address.len() > MAX_LOCATION_BYTES {
            return;
        }
        match parent.as_str() {
            "url" => self.pages.push(address.to_owned()),
            "sitemap" => self.sitemaps.push(address.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_pages_are_found_and_those_of_images_are_not() {
        let xml = "<?xml version=\"1.0\"?><urlset xmlns:image='i'>\
            <url><loc> https://a.test/1?a=b&amp;c=d </loc><lastmod>2024</lastmod>\
              <image:image><image:loc>https://a.test/i.png</image:loc></image:image></url>\
            <url><loc><![CDATA[https://a.test/2]]></loc></url><url><loc/></url><url></url></urlset>";

        let found = read(xml).unwrap();

        assert_eq!(found.pages, ["https://a.test/1?a=b&c=d", "https://a.test/2"]);
        assert_eq!(found.sitemaps, Vec::<String>::new());
    }

    #[test]
    fn characters_that_are_written_as_numbers_are_part_of_the_address() {
        let address = "https://a.test/gr&#252;n?a=1&#x26;b=&apos;&lt;";

        let found = read(&format!("<urlset><url><loc>{address}</loc></url></urlset>")).unwrap();

        assert_eq!(found.pages, ["https://a.test/grün?a=1&b='<"]);
    }

    #[test]
    fn addresses_beyond_those_of_the_standard_are_left_out() {
        let url = "<url><loc>https://a.test/</loc></url>".repeat(MAX_LOCATIONS + 1);

        // What comes behind them is not even read.
        let found = read(&format!("<urlset>{url}</broken>")).unwrap();

        assert_eq!(found.pages.len(), MAX_LOCATIONS);
    }

    #[test]
    fn an_index_names_sitemaps() {
        let xml = "<s:sitemapindex xmlns:s='x'><s:sitemap><s:loc>https://a.test/s.xml</s:loc>\
            </s:sitemap></s:sitemapindex>";

        assert_eq!(read(xml).unwrap().sitemaps, ["https://a.test/s.xml"]);
    }

    #[test]
    fn what_is_no_xml_is_no_sitemap_and_entities_are_not_expanded() {
        for text in ["", "hello", "<urlset><url></urlset>"] {
            assert_eq!(read(text), None, "{text}");
        }
        let bomb =
            "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><urlset><url><loc>http://x/&a;</loc></url></urlset>";
        assert_eq!(read(bomb).unwrap().pages, ["http://x/"]);
    }
}
