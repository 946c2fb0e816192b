//! What web servers answer.

use super::page::{MAX_TIME, Pick, read};
use super::robots::Robots;
use super::{charset, sitemap};

/// Longest address that a sitemap may hold.
const MAX_LOCATION_BYTES: usize = 4096;

#[test]
fn any_page_gives_its_text_and_its_links_or_says_why_not() {
    let seeds = [
        "<title>t</title><base href='/x/'><p class=x>Hello <b>you</b><a href='a'>1</a>&eacute;",
        "<table><b>moved</b><tr><td>cell<svg><title>s</title></svg><template>b<p>c</template>",
        "<div><div><script>var x;</script><!-- c --><textarea>\nq</textarea><pre>\n\nr</pre>",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let html = charset::decode(bytes, None);
        for selector in ["body", "div", "p.x, p:not(.x)"] {
            // Only a page that nests deeply may be too much, and it says so.
            let Ok(page) = read(&html, &Pick::parse(selector).unwrap(), MAX_TIME) else { return };
            assert!(page.links.iter().all(|link| html.len() >= link.len() / 3));
            assert!(page.links.is_empty() || html.to_ascii_lowercase().contains("href"));
        }
    });
}

#[test]
fn any_text_is_a_selector_or_none() {
    let seeds = ["p.x, p:not(.x) > a[href^='b']::before", "*|*", "a:has(> b):nth-child(2n+1 of c)"];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Ok(pick) = Pick::parse(&String::from_utf8_lossy(bytes)) else { return };
        let _ = read("<p class=x>a<a href=b>c</a></p>", &pick, MAX_TIME);
    });
}

#[test]
fn bytes_become_text_that_is_bounded_by_them_whatever_they_declare() {
    let seeds = [
        &b"\x1f<meta charset=shift_jis>\x82\xa0"[..],
        b"\0<?xml version='1.0' encoding='koi8-r'?>\xf0",
        b"\x05utf-7+AGE-",
        b"\0\xff\xfeH\0i\0",
    ];
    parlor_fuzz::check!(seeds.map(<[u8]>::to_vec), |bytes: &[u8]| {
        let Some((length, rest)) = bytes.split_first() else { return };
        let (label, page) = rest.split_at(usize::from(*length).min(rest.len()));
        let label = std::str::from_utf8(label).ok().filter(|label| !label.is_empty());
        let text = charset::decode(page, label);
        assert!(text.len() <= page.len() * 3 + 3);
        if label.is_none() && page.is_ascii() && !page.contains(&b'<') {
            assert_eq!(text.as_bytes(), page);
        }
    });
}

#[test]
fn the_addresses_of_a_sitemap_are_short_and_stand_in_it() {
    let seeds = [
        "<urlset><url><loc> https://a.test/1?a=b&amp;c=d </loc></url><url><loc/></url></urlset>",
        "<s:sitemapindex><s:sitemap><s:loc><![CDATA[https://a.test/s]]></s:loc></s:sitemap>\
         </s:sitemapindex>",
        "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><urlset><url><loc>x&a;&#38;</loc></url></urlset>",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let xml = String::from_utf8_lossy(bytes);
        let Some(found) = sitemap::read(&xml) else { return };
        let all: Vec<_> = found.pages.iter().chain(&found.sitemaps).collect();
        assert!(all.iter().all(|at| !at.is_empty() && at.len() <= MAX_LOCATION_BYTES));
        assert!(all.iter().map(|at| at.len()).sum::<usize>() <= xml.len());
    });
}

#[test]
fn a_path_is_judged_by_any_rules_and_a_site_without_rules_is_open() {
    let seeds = [
        "\u{5}/a.pdUser-agent: *\nDisallow: /private # no\nAllow: /private/open\nDisallow: /*.pd$\n",
        "\u{9}/x?a=b&q=1User-agent: a\nUser-agent: parlor\nDisallow: /*?*q=*\n\nDisallow:",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Some((length, rest)) = bytes.split_first() else { return };
        let (path, rules) = rest.split_at(usize::from(*length).min(rest.len()));
        let (path, rules) = (String::from_utf8_lossy(path), String::from_utf8_lossy(rules));
        let is_allowed = Robots::parse(&rules).allows(&path);
        assert!(is_allowed || rules.to_ascii_lowercase().contains("disallow"));
        let closed = format!("User-agent: parlor\nDisallow: /\n\n{rules}");
        let opens = rules.to_ascii_lowercase().contains("allow");
        assert!(opens || !path.starts_with('/') || !Robots::parse(&closed).allows(&path));
    });
}
