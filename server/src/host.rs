//! The name under which a server was asked.
//!
//! A page of another site can make a browser send requests to any address, also to one that only the browser's machine can
//! reach, by letting its own name resolve to that address (DNS rebinding). Such requests carry the other site's name.

use std::net::IpAddr;
use std::sync::Arc;

use poem::Request;
use poem::http::uri::Authority;
use poem::http::{Version, header};

/// The names under which a server may be asked.
#[derive(Clone, Debug)]
pub struct Hosts {
    names: Arc<[String]>,
    /// Whether `names` are all there are.
    is_strict: bool,
    /// Whether addresses and `localhost` are accepted.
    accepts_addresses: bool,
}

/// What is wrong with the `Host` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// There is none, more than one, one that is malformed, or one that contradicts the target of the request.
    Malformed,
    /// It is not a name of this server.
    Foreign,
}

impl Hosts {
    /// Only these names, without ports; any name if the list is empty.
    pub fn public(names: &[String]) -> Self {
        Self { names: lower(names), is_strict: !names.is_empty(), accepts_addresses: false }
    }

    /// Addresses, `localhost` and these names. A page of another site can only be rebound to a name.
    pub fn private(names: &[String]) -> Self {
        Self { names: lower(names), is_strict: true, accepts_addresses: true }
    }

    /// Checks the host that a request names.
    pub fn check(&self, request: &Request) -> Result<(), HostFault> {
        let Some(host) = host_of(request)? else {
            // Only HTTP/1.0 may leave it out.
            let may_lack_one = request.version() <= Version::HTTP_10 && !self.is_strict;
            return if may_lack_one { Ok(()) } else { Err(HostFault::Malformed) };
        };
        let name = host.host().trim_end_matches('.').to_ascii_lowercase();
        let is_known = !self.is_strict || self.names.contains(&name) || self.accepts_addresses && is_address(&name);
        if is_known { Ok(()) } else { Err(HostFault::Foreign) }
    }
}

fn lower(names: &[String]) -> Arc<[String]> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn is_address(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || bare.parse::<IpAddr>().is_ok()
}

/// The one host that a request names, in its target or its header.
fn host_of(request: &Request) -> Result<Option<Authority>, HostFault> {
    let mut headers = request.headers().get_all(header::HOST).iter();
    let in_header = match (headers.next(), headers.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let host = value.to_str().ok().and_then(|value| value.parse::<Authority>().ok());
            Some(host.filter(|host| !host.as_str().contains('@')).ok_or(HostFault::Malformed)?)
        }
        (Some(_), Some(_)) => return Err(HostFault::Malformed),
    };
    match (request.uri().authority().cloned(), in_header) {
        (Some(target), Some(header)) if !target.as_str().eq_ignore_ascii_case(header.as_str()) => {
            Err(HostFault::Malformed)
        }
        // HTTP/1.1 has the header even if the target names the host too (RFC 9112, section 3.2).
        (Some(_), None) if request.version() == Version::HTTP_11 => Err(HostFault::Malformed),
        (target, header) => Ok(header.or(target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(hosts: &[&str]) -> Request {
        let builder = hosts.iter().fold(Request::builder(), |builder, host| builder.header("host", *host));
        builder.uri_str("/").finish()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_list_of_names_is_all_there_are() {
        let hosts = Hosts::public(&names(&["api.Example.org"]));
        for host in ["api.example.org", "API.example.org:8443", "api.example.org."] {
            assert_eq!(hosts.check(&request(&[host])), Ok(()), "{host}");
        }
        for host in ["example.org", "api.example.org.evil.test", "127.0.0.1", "localhost"] {
            assert_eq!(hosts.check(&request(&[host])), Err(HostFault::Foreign), "{host}");
        }
    }

    #[test]
    fn without_a_list_any_one_name_will_do() {
        let hosts = Hosts::public(&[]);
        assert_eq!(hosts.check(&request(&["anything.test"])), Ok(()));
        for wrong in [&[][..], &["a", "a"], &["a b"], &[""], &["user@a"]] {
            assert_eq!(hosts.check(&request(wrong)), Err(HostFault::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn a_target_and_a_header_that_differ_are_refused() {
        let asked = |target: &str, host: Option<&str>| {
            let builder = Request::builder().uri_str(target);
            host.iter().fold(builder, |builder, host| builder.header("host", *host)).finish()
        };
        let hosts = Hosts::public(&[]);
        assert_eq!(hosts.check(&asked("http://a.test/", Some("a.test"))), Ok(()));
        assert_eq!(hosts.check(&asked("http://a.test/", Some("b.test"))), Err(HostFault::Malformed));
        assert_eq!(hosts.check(&asked("http://a.test/", None)), Err(HostFault::Malformed));
    }

    #[test]
    fn a_private_port_is_asked_by_address() {
        let hosts = Hosts::private(&names(&["metrics.internal"]));
        for host in ["127.0.0.1:8081", "[::1]:8081", "10.0.0.7", "localhost:8081", "metrics.internal"] {
            assert_eq!(hosts.check(&request(&[host])), Ok(()), "{host}");
        }
        for host in ["rebound.evil.test", "127.0.0.1.evil.test", "localhost.evil.test"] {
            assert_eq!(hosts.check(&request(&[host])), Err(HostFault::Foreign), "{host}");
        }
    }
}
