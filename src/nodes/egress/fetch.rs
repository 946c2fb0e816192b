//! Fetches an address through the guard: redirects by hand, all of it bounded.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use url::Url;

use super::client::{Guard, NotPublic};
use super::error::FetchError;
use crate::ctx::TurnCtx;

const MAX_REDIRECTS: usize = 5;
/// The longest address, also of a redirect.
const MAX_ADDRESS_BYTES: usize = 4096;
/// What is shown of an address.
const MAX_SHOWN_CHARS: usize = 200;

/// What one fetch may take, redirects included.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the body.
    pub bytes: usize,
    /// Time to its last byte.
    pub time: Duration,
}

/// What an address answered, whatever its status.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The address after all redirects.
    pub url: Url,
    /// The HTTP status; 3xx only where it says nothing of where to go.
    pub status: u16,
    /// The MIME type in lower case, without parameters; empty where none is declared.
    pub mime: String,
    /// The declared charset.
    pub charset: Option<String>,
    /// The body, as it was sent.
    pub bytes: Bytes,
}

/// Fetches an address.
///
/// # Errors
/// [`FetchError`], for a caller that speaks of the address itself.
pub async fn fetch(address: &str, limits: &Limits, ctx: &TurnCtx) -> Result<Fetched, FetchError> {
    let work = async {
        let response = follow(&ctx.services.egress(), parse(address)?).await?;
        read(response, limits.bytes).await
    };
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(FetchError::Cancelled),
        done = tokio::time::timeout(limits.time, work) => {
            done.unwrap_or_else(|_| Err(FetchError::Timeout(limits.time.as_secs().max(1))))
        }
    }
}

/// An address as errors and logs may show it: without what may be a secret. Of
/// one that is none of the web nobody knows where the secret stands.
pub fn shown(address: &str) -> String {
    let url = Url::parse(address.trim()).ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return "the given address".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("{}://{host}{port}{}", url.scheme(), url.path());
    shown.chars().take(MAX_SHOWN_CHARS).collect()
}

fn parse(address: &str) -> Result<Url, FetchError> {
    let address = address.trim();
    if address.len() > MAX_ADDRESS_BYTES {
        return Err(FetchError::Refused("is too long".to_owned()));
    }
    Url::parse(address).map_err(|error| {
        FetchError::Refused(match error {
            url::ParseError::RelativeUrlWithoutBase => "must begin with http:// or https://".into(),
            _ => "is no valid address".into(),
        })
    })
}

async fn follow(guard: &Guard, mut url: Url) -> Result<Response, FetchError> {
    let mut n_redirects = 0;
    loop {
        let client = guard.client_for(&url).map_err(|error| in_redirect(error, n_redirects))?;
        let request = client.get(url.clone());
        let sent = request.header(ACCEPT_ENCODING, "identity").send().await;
        let response = sent.map_err(|error| in_redirect(unsent(&error), n_redirects))?;
        let Some(next) = redirect(&response, &url)? else { return Ok(response) };
        n_redirects += 1;
        if n_redirects > MAX_REDIRECTS {
            let problem = format!("redirects more than {MAX_REDIRECTS} times");
            return Err(FetchError::Broken(problem));
        }
        url = next;
    }
}

/// Where a response sends its reader.
fn redirect(response: &Response, url: &Url) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let next = location.to_str().ok().filter(|next| next.len() <= MAX_ADDRESS_BYTES);
    match next.and_then(|next| url.join(next).ok()) {
        Some(next) => Ok(Some(next)),
        None => Err(FetchError::Broken("redirects to no valid address".to_owned())),
    }
}

async fn read(mut response: Response, most: usize) -> Result<Fetched, FetchError> {
    let too_long = || FetchError::Broken(format!("sent more than {} KiB", most >> 10));
    if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        // Nothing here inflates, so a small body stays small.
        return Err(FetchError::Broken("sent a compressed answer, unasked".to_owned()));
    }
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let mut bytes = BytesMut::new();
    let broke_off = |_| FetchError::Broken("broke off in the middle of its answer".to_owned());
    while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    let (mime, charset) = content_type(response.headers());
    let (url, status) = (response.url().clone(), response.status().as_u16());
    Ok(Fetched { url, status, mime, charset, bytes: bytes.freeze() })
}

/// The MIME type and the charset that a response declares.
fn content_type(headers: &HeaderMap) -> (String, Option<String>) {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = declared.unwrap_or_default().split(';').map(str::trim);
    let mime = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    (mime, charset)
}

/// The library's own words hold addresses, so they stay inside.
fn unsent(error: &reqwest::Error) -> FetchError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if inner.is::<NotPublic>() {
            return FetchError::Refused(NotPublic.to_string());
        }
        cause = inner.source();
    }
    FetchError::Broken(match error.is_connect() {
        true => "could not be reached".to_owned(),
        false => "broke off before it answered".to_owned(),
    })
}

fn in_redirect(error: FetchError, n_redirects: usize) -> FetchError {
    let reworded = |problem: String| format!("redirects to an address that {problem}");
    match error {
        error if n_redirects == 0 => error,
        FetchError::Refused(problem) => FetchError::Refused(reworded(problem)),
        FetchError::Broken(problem) => FetchError::Broken(reworded(problem)),
        error => error,
    }
}
