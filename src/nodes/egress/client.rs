//! The guarded HTTP clients, and the rules that they are built with.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::addresses::is_public;
use super::error::FetchError;
use super::opened::Opened;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_IDLE_PER_HOST: usize = 4;
/// How this server calls itself where it fetches pages.
const USER_AGENT: &str = concat!("Parlor/", env!("CARGO_PKG_VERSION"), " (chatflow server)");

/// Which addresses may be fetched. A clone is the same guard.
#[derive(Clone)]
pub struct Guard(Arc<Rules>);

pub(super) struct Rules {
    opened: Opened,
    lookup: Box<dyn Lookup>,
}

/// Turns names into addresses.
pub(super) trait Lookup: Send + Sync {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

thread_local! {
    // A pooled connection is driven by the runtime that opened it, so every
    // thread has clients of its own, kept as long as it asks through one guard.
    static CLIENTS: RefCell<Option<(Arc<Rules>, Clients)>> = const { RefCell::new(None) };
}

/// One client for what must be public, one for what the operator names: so a
/// connection that one of them keeps open never serves the other.
#[derive(Clone)]
struct Clients {
    public: Client,
    opened: Client,
}

impl Guard {
    /// A guard that lets the public internet pass, and what the operator opens.
    pub fn new(opened: Opened) -> Self {
        Self::with_lookup(opened, Box::new(SystemLookup))
    }

    /// The guard of a server whose operator opens nothing.
    pub fn closed() -> Self {
        static CLOSED: LazyLock<Guard> = LazyLock::new(|| Guard::new(Opened::default()));
        CLOSED.clone()
    }

    pub(super) fn with_lookup(opened: Opened, lookup: Box<dyn Lookup>) -> Self {
        Self(Arc::new(Rules { opened, lookup }))
    }

    /// The client that may fetch this address.
    ///
    /// # Errors
    /// [`FetchError::Refused`] for an address that must not be fetched. What
    /// its name stands for is checked when the client connects.
    pub(super) fn client_for(&self, url: &Url) -> Result<Client, FetchError> {
        let refused = |problem: &str| Err(FetchError::Refused(problem.to_owned()));
        if !matches!(url.scheme(), "http" | "https") {
            return refused("must begin with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("must not hold a user name or a password");
        }
        if self.0.opened.names(url) {
            return Ok(self.clients()?.opened);
        }
        // A client connects to an address in figures without its resolver.
        let figures = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(name)) if is_local(name) => return refused(&NotPublic.to_string()),
            Some(Host::Domain(_)) => None,
            None => return refused("names no host"),
        };
        match figures.is_none_or(|address| self.0.allows(address)) {
            true => Ok(self.clients()?.public),
            false => refused(&NotPublic.to_string()),
        }
    }

    fn clients(&self) -> Result<Clients, FetchError> {
        CLIENTS.with_borrow_mut(|kept| match kept {
            Some((rules, clients)) if Arc::ptr_eq(rules, &self.0) => Ok(clients.clone()),
            _ => {
                let clients = Clients { public: self.client(false)?, opened: self.client(true)? };
                *kept = Some((Arc::clone(&self.0), clients.clone()));
                Ok(clients)
            }
        })
    }

    /// Follows no redirect, because each must be checked; asks no proxy,
    /// because a proxy would resolve the name again; decompresses nothing.
    fn client(&self, is_opened: bool) -> Result<Client, FetchError> {
        let resolver = CheckedResolver { rules: Arc::clone(&self.0), is_opened };
        let client = Client::builder()
            .dns_resolver(Arc::new(resolver))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .tcp_nodelay(true)
            .build();
        client.map_err(|error| {
            tracing::error!("the guarded HTTP client could not be set up: {error}");
            FetchError::Broken("cannot be fetched by this server; its log says why".to_owned())
        })
    }
}

/// The names of the machine itself (RFC 6761), which no name server need know.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

impl Rules {
    fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.opened.holds(address)
    }
}

/// Resolves a name once; what it answers is what is connected to.
struct CheckedResolver {
    rules: Arc<Rules>,
    is_opened: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, is_opened) = (Arc::clone(&self.rules), self.is_opened);
        Box::pin(async move {
            let addresses = rules.lookup.addresses(name.as_str().to_owned()).await?;
            // A name that stands for a public and for a private address is no
            // name of the public internet.
            if !is_opened && !addresses.iter().all(|address| rules.allows(*address)) {
                return Err(NotPublic.into());
            }
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// The name stands for an address that nobody may be sent to.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "leads into a private or reserved network; the operator can open it (--egress-allow)",
        )
    }
}

impl std::error::Error for NotPublic {}

/// The resolver of the machine.
struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
