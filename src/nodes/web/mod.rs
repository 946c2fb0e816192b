//! What comes from the web, as text: pages, their charsets, sitemaps, robots.txt.
//!
//! Pure and bounded: a hostile page may make a parser work for long, so reading
//! has a deadline, and callers run it off the arbiters. It fetches nothing:
//! that is [`crate::egress`].

pub(crate) mod charset;
pub(crate) mod page;
pub(crate) mod robots;
pub(crate) mod sitemap;

#[cfg(test)]
mod fuzz;
