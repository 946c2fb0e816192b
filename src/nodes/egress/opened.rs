//! What the operator opens beyond the public internet: hosts, a host's port,
//! addresses and networks.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::{Host, Url};

/// The targets that an operator opens. Everything else must be public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    hosts: Vec<(String, Option<u16>)>,
    networks: Vec<IpNet>,
}

impl Opened {
    /// Whether the operator means just this place, by its host or by its host
    /// and port: then it is the operator's affair what the name stands for.
    pub(super) fn names(&self, url: &Url) -> bool {
        let Some(host) = url.host().map(written) else { return false };
        let port = url.port_or_known_default();
        self.hosts.iter().any(|(name, only)| *name == host && (only.is_none() || *only == port))
    }

    /// Whether an address lies in an opened network.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        if let Ok(network) = entry.parse::<IpNet>() {
            self.networks.push(network);
        } else if let Ok(address) = unbracketed(entry).parse::<IpAddr>() {
            self.networks.push(address.into());
        } else {
            self.hosts.push(host_and_port(entry)?);
        }
        Ok(())
    }
}

impl FromStr for Opened {
    type Err = String;

    /// Reads entries with commas between them: `host`, `host:port`, an address
    /// with or without a port, `10.1.0.0/16`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut opened = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            opened.add(entry)?;
        }
        Ok(opened)
    }
}

/// The host as the parser of addresses writes it, so that an entry and an
/// address that mean the same are the same.
fn host_and_port(entry: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || {
        format!("\"{entry}\" is none of: a host, host:port, an address, a network like 10.1.0.0/16")
    };
    if entry.contains(['/', '@', '?', '#', '\\', '*']) || entry.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let url = Url::parse(&format!("http://{entry}/")).map_err(|_| wrong())?;
    let host = url.host().map(written).ok_or_else(wrong)?;
    // The parser drops the port that is usual for its scheme.
    let port = match entry.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(port.parse().map_err(|_| wrong())?),
        _ => None,
    };
    Ok((host, port))
}

/// A host without the dot that may end it.
fn written<S: AsRef<str>>(host: Host<S>) -> String {
    match host {
        Host::Domain(name) => name.as_ref().trim_end_matches('.').to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => format!("[{address}]"),
    }
}

fn unbracketed(entry: &str) -> &str {
    entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str) -> Opened {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_is_opened_whole_or_at_one_port() {
        let opened = opened("wiki.corp, Files.Corp:8080,10.0.0.5:81, [::1]:9000");
        for (url, is_named) in [
            ("http://wiki.corp/a", true),
            ("https://WIKI.corp.:8443/", true),
            ("http://files.corp:8080/", true),
            ("http://files.corp/", false),
            ("http://evil.wiki.corp/", false),
            ("http://wiki.corp.evil/", false),
            ("http://10.0.0.5:81/", true),
            ("http://0x0a.0.0.5:81/", true),
            ("http://10.0.0.5/", false),
            ("http://[0:0::1]:9000/", true),
            ("http://[::1]/", false),
        ] {
            assert_eq!(opened.names(&Url::parse(url).unwrap()), is_named, "{url}");
        }
    }

    #[test]
    fn the_usual_port_can_be_meant_alone() {
        let opened = opened("wiki.corp:80");

        assert!(opened.names(&Url::parse("http://wiki.corp/").unwrap()));
        assert!(!opened.names(&Url::parse("https://wiki.corp/").unwrap()));
    }

    #[test]
    fn a_network_holds_its_addresses_mapped_ones_too() {
        let opened = opened("10.1.0.0/16,192.168.0.7,fd00::/8");
        for (address, is_held) in [
            ("10.1.255.1", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("192.168.0.7", true),
            ("192.168.0.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(opened.holds(address.parse().unwrap()), is_held, "{address}");
        }
    }

    #[test]
    fn an_entry_that_means_nothing_is_refused_with_what_could_stand_there() {
        assert_eq!(opened(" , "), Opened::default());
        for wrong in
            ["http://wiki.corp", "a b", "*.corp", "wiki.corp:port", "10.0.0.0/99", "u@h", ":80"]
        {
            let error = wrong.parse::<Opened>().unwrap_err();
            assert!(error.contains("is none of: a host, host:port"), "{wrong}: {error}");
        }
    }
}
