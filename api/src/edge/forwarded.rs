//! The address of the client, as the socket or the proxies say it.
//!
//! Every proxy appends the address of whoever asked it, so the header lists the hops from left to right, and all but the last
//! ones were written by somebody nobody knows. It is read from the right: as long as a hop is a trusted proxy, what it says
//! about the one before is believed. The first address that is no trusted proxy is the client's.

use std::net::{IpAddr, SocketAddr};

use cairn_core::config::{ForwardedHeader, TrustedProxies};
use poem::http::{HeaderMap, header};

/// How many hops are followed. No real chain has so many.
const MAX_HOPS: usize = 32;

/// The address of the client that sent a request with these headers over a connection from `peer`. If what a trusted proxy
/// says cannot be read, it is the address of that proxy.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, proxies) {
        return client;
    }
    let name = match proxies.header {
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
        ForwardedHeader::Forwarded => header::FORWARDED.as_str(),
    };
    // Several headers are one list, in their order.
    let lists = headers.get_all(name).iter().rev();
    let hops = lists.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b',')).take(MAX_HOPS);
    for hop in hops {
        let said = std::str::from_utf8(hop).ok().map(str::trim).and_then(|hop| match proxies.header {
            ForwardedHeader::XForwardedFor => address(hop),
            ForwardedHeader::Forwarded => address(forwarded_for(hop)?),
        });
        let Some(said) = said else { break };
        client = said;
        if !is_trusted(client, proxies) {
            break;
        }
    }
    client
}

fn is_trusted(ip: IpAddr, proxies: &TrustedProxies) -> bool {
    proxies.networks.iter().any(|network| network.contains(&ip))
}

/// The address in `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::from);
    let ip = text.parse::<IpAddr>().ok().or_else(bracketed);
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(ip.to_canonical())
}

/// The value of the one `for` in an element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`. A quoted value that
/// contains a comma or a semicolon is torn apart and so refused, which no address needs.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            let value = value.trim();
            found = Some(match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => value,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};

    use super::*;

    const NEAR: &str = "10.0.0.1";

    fn client(header: ForwardedHeader, peer: &str, sent: &[(&'static str, &str)]) -> String {
        let networks = ["10.0.0.0/8", "192.168.7.7/32", "2001:db8:ff::/48"];
        let proxies = TrustedProxies { networks: networks.map(|network| network.parse().unwrap()).to_vec(), header };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    fn listed(peer: &str, value: &str) -> String {
        client(ForwardedHeader::XForwardedFor, peer, &[("x-forwarded-for", value)])
    }

    fn forwarded(value: &str) -> String {
        client(ForwardedHeader::Forwarded, NEAR, &[("forwarded", value)])
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        assert_eq!(listed("198.51.100.9", "203.0.113.5"), "198.51.100.9");
        assert_eq!(listed("192.168.7.8", "203.0.113.5"), "192.168.7.8");
        let none = TrustedProxies::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.5"));
        assert_eq!(client_address("127.0.0.1".parse().unwrap(), &headers, &none).to_string(), "127.0.0.1");
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        assert_eq!(listed(NEAR, "203.0.113.5"), "203.0.113.5");
        assert_eq!(listed(NEAR, "1.2.3.4, 203.0.113.5"), "203.0.113.5", "what the client sent itself does not count");
        assert_eq!(listed(NEAR, "1.2.3.4, 203.0.113.5 ,192.168.7.7,10.9.9.9"), "203.0.113.5");
        assert_eq!(listed(NEAR, "10.1.1.1, 10.2.2.2"), "10.1.1.1", "a client within the trusted network");
        assert_eq!(listed(NEAR, ""), NEAR);
        assert_eq!(client(ForwardedHeader::XForwardedFor, NEAR, &[]), NEAR);
    }

    #[test]
    fn several_headers_are_one_list() {
        let sent = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "203.0.113.5, 10.0.0.2")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, NEAR, &sent), "203.0.113.5");
        let sent = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, NEAR, &sent), "203.0.113.5");
    }

    #[test]
    fn only_the_configured_header_is_read() {
        let both = [("x-forwarded-for", "203.0.113.5"), ("forwarded", "for=198.51.100.1")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, NEAR, &both), "203.0.113.5");
        assert_eq!(client(ForwardedHeader::Forwarded, NEAR, &both), "198.51.100.1");
        assert_eq!(client(ForwardedHeader::Forwarded, NEAR, &both[..1]), NEAR);
    }

    #[test]
    fn what_cannot_be_read_is_the_proxy_that_said_it() {
        for malformed in ["unknown", "203.0.113.5.6", "203.0.113.5:port", "[::1", "a b", "203.0.113.5;x", "é"] {
            assert_eq!(listed(NEAR, malformed), NEAR, "{malformed}");
            assert_eq!(listed(NEAR, &format!("203.0.113.5, {malformed}, 10.0.0.2")), "10.0.0.2", "{malformed}");
        }
        for malformed in
            ["for=unknown", "for=_hidden", "proto=https", "for", "for=1.2.3.4;for=1.2.3.5", "for=\"1.2.3.4"]
        {
            assert_eq!(forwarded(malformed), NEAR, "{malformed}");
        }
    }

    #[test]
    fn addresses_are_read_with_and_without_ports() {
        assert_eq!(listed(NEAR, "203.0.113.5:4711"), "203.0.113.5");
        assert_eq!(listed(NEAR, "2001:db8::5"), "2001:db8::5");
        assert_eq!(listed(NEAR, "[2001:db8::5]:4711"), "2001:db8::5");
        assert_eq!(forwarded("for=203.0.113.5"), "203.0.113.5");
        assert_eq!(forwarded("For=\"[2001:db8::5]:4711\";proto=https;by=10.0.0.1"), "2001:db8::5");
        assert_eq!(forwarded("for=1.2.3.4, for=203.0.113.5;host=x, for=10.0.0.3"), "203.0.113.5");
    }

    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        assert_eq!(listed("::ffff:10.0.0.1", "::ffff:203.0.113.5"), "203.0.113.5");
        assert_eq!(listed("::ffff:198.51.100.9", "203.0.113.5"), "198.51.100.9");
        assert_eq!(listed("2001:db8:ff::1", "203.0.113.5"), "203.0.113.5");
    }

    #[test]
    fn a_long_chain_is_not_followed_to_its_end() {
        let long = format!("203.0.113.5{}", ", 10.0.0.9".repeat(100));
        assert_eq!(listed(NEAR, &long), "10.0.0.9");
    }
}
