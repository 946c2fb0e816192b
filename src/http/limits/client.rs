//! Who calls, for counting: an address. Only the proxies that the operator
//! has counted are believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::HttpRequest;

/// The bits of an IPv6 address that name a subscriber; the rest is its own to choose.
const V6_NETWORK: u128 = u128::MAX << 64;

/// A client as limits count it: an IPv4 address or an IPv6 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client(IpAddr);

impl Client {
    /// The client of a request that came through so many proxies.
    pub fn of(request: &HttpRequest, n_proxies: usize) -> Self {
        Self::from(address(request, n_proxies))
    }
}

/// The address that a request came from, before so many proxies.
pub(super) fn address(request: &HttpRequest, n_proxies: usize) -> IpAddr {
    // Without a peer it came through the socket in the data folder.
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if n_proxies == 0 {
        return peer;
    }
    let lines = request.headers().get_all("x-forwarded-for");
    let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or("")).collect();
    forwarded(&lines, n_proxies).unwrap_or(peer)
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & V6_NETWORK)),
            v4 => v4,
        })
    }
}

/// What the outermost of our proxies saw, counted from the right: whatever
/// stands further left, a client may have written itself. With fewer entries
/// than proxies it is the leftmost.
fn forwarded(lines: &[&str], n_proxies: usize) -> Option<IpAddr> {
    let entries = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let entry = entries.take(n_proxies).last()?.trim();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| Some(entry.parse::<std::net::SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn forwarded_addresses_are_counted_from_the_right() {
        let lines = ["6.6.6.6, 1.1.1.1", " 2.2.2.2 ,3.3.3.3"];
        assert_eq!(forwarded(&lines, 1), ip("3.3.3.3"));
        assert_eq!(forwarded(&lines, 2), ip("2.2.2.2"));
        assert_eq!(forwarded(&lines, 3), ip("1.1.1.1"));
        assert_eq!(forwarded(&lines, 9), ip("6.6.6.6"));
        assert_eq!(forwarded(&[], 1), None);
        for (entry, wanted) in [
            ("2001:db8::1", ip("2001:db8::1")),
            ("[2001:db8::1]:443", ip("2001:db8::1")),
            ("1.1.1.1:80", ip("1.1.1.1")),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(forwarded(&[entry], 1), wanted, "{entry}");
        }
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let client = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(client("::ffff:1.2.3.4"), client("1.2.3.4"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("1.2.3.4"), client("1.2.3.5"));
    }
}
