//! Which pages may read answers (CORS), and which may frame them. An origin is
//! compared as a whole; nothing is ever allowed together with credentials.

use std::collections::HashSet;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// Pages, by their origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every page.
    Any,
    /// These, each as scheme, host and port.
    Listed(HashSet<String>),
}

impl Origins {
    /// No page.
    pub fn none() -> Self {
        Self::Listed(HashSet::new())
    }

    /// Parses a list with commas, or `*`. Nothing at all is every page, as in
    /// Flowise.
    ///
    /// # Errors
    /// A sentence naming the entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entries: Vec<&str> = text.split(',').map(str::trim).filter(|e| !e.is_empty()).collect();
        if entries.is_empty() || entries.contains(&"*") {
            return Ok(Self::Any);
        }
        let read = |entry: &&str| {
            normal(entry).ok_or_else(|| format!("{entry} is no origin; write https://host[:port]"))
        };
        entries.iter().map(read).collect::<Result<_, _>>().map(Self::Listed)
    }

    /// Parses a list for the operator's routes, where `*` has no place.
    ///
    /// # Errors
    /// A sentence naming the entry.
    pub fn parse_listed(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            Self::Any if text.trim().is_empty() => Ok(Self::none()),
            Self::Any => Err("name the origins; * would open them to every page".into()),
            listed @ Self::Listed(_) => Ok(listed),
        }
    }

    /// Whether a page of this origin is one of these.
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => {
                let own = origin.to_str().ok().and_then(normal);
                own.is_some_and(|own| listed.contains(&own))
            }
        }
    }

    /// Lets the page of a request read its answer, if it is one of these.
    pub fn write(&self, request: &HttpRequest, headers: &mut HeaderMap) {
        self.write_for(request.headers().get(header::ORIGIN), headers);
    }

    /// The same with the origin at hand.
    pub fn write_for(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        // A preflight has said already what else it depends on.
        if !headers.contains_key(header::VARY) {
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin.filter(|origin| self.allow(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// Whether no page is allowed at all.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Listed(listed) if listed.is_empty())
    }
}

/// Scheme, host and port, the latter unless it is the scheme's own. `None` for
/// what has more parts, or fewer.
fn normal(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{}://{}{port}", url.scheme(), url.host_str().filter(|host| !host.is_empty())?))
}

/// Parses `IFRAME_ORIGINS` into the header that says who may frame the
/// server's answers. Nothing, or `*`, is everybody and no header.
///
/// # Errors
/// A sentence, where an entry could change the rest of the header.
pub fn frame_ancestors(text: &str) -> Result<Option<HeaderValue>, String> {
    if text.contains(';') || !text.is_ascii() {
        return Err("write plain origins and separate them by commas".into());
    }
    let entries: Vec<&str> =
        text.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if entries.is_empty() || entries.contains(&"*") {
        return Ok(None);
    }
    let value = format!("frame-ancestors {}", entries.join(" "));
    HeaderValue::from_str(&value).map(Some).map_err(|_| "write no control characters".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, origin: &str) -> bool {
        origins.allow(&HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn listed_origins_are_compared_as_a_whole() {
        let listed = Origins::parse("https://a.example, http://B.example:8080/").unwrap();
        for fine in ["https://a.example", "https://a.example:443", "http://b.example:8080"] {
            assert!(allows(&listed, fine), "{fine}");
        }
        for other in [
            "http://a.example",
            "https://a.example.evil.example",
            "https://a.exampl",
            "https://a.example:8443",
            "https://a.example/x",
            "https://u@a.example",
            "null",
            "*",
            "",
        ] {
            assert!(!allows(&listed, other), "{other}");
        }
    }

    #[test]
    fn a_star_or_nothing_is_every_page_but_never_for_the_operator() {
        for text in ["", "*", " * ", "https://a.example,*"] {
            assert_eq!(Origins::parse(text), Ok(Origins::Any), "{text}");
        }
        assert!(Origins::parse("a.example").is_err());
        assert!(Origins::parse_listed("*").is_err());
        assert!(Origins::parse_listed("").unwrap().is_none());
    }

    #[test]
    fn a_list_of_frames_becomes_one_header_that_holds_nothing_else() {
        let header = frame_ancestors("https://a.example, 'self'").unwrap().unwrap();
        assert_eq!(header, "frame-ancestors https://a.example 'self'");
        assert_eq!(frame_ancestors("*"), Ok(None));
        assert!(frame_ancestors("https://a.example; script-src *").is_err());
        assert!(frame_ancestors("https://ä.example\n").is_err());
    }
}
