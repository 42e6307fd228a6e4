//! Addresses that something confidential is sent to.

use std::net::IpAddr;

use url::{Host, Url};

use super::values::ConfigError;

/// Checks the address of an endpoint that something confidential is sent to, so it must use `https`. Plain `http` is accepted only for
/// hosts on this machine or in a private network.
pub(super) fn endpoint(text: &str, key: &str, example: &str) -> Result<Url, ConfigError> {
    // The errors do not quote the address, because it may contain a password.
    let wrong = |what: &str| ConfigError::new(format!("{key} {what}: use one such as {example}"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("is not a valid address ({error})")))?;
    let host = url.host().ok_or_else(|| wrong("names no host"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_private(&host) => {}
        "http" => return Err(wrong("uses http for a host that is not private, so secrets would be sent unencrypted")),
        _ => return Err(wrong("uses neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong("contains a user or a fragment"));
    }
    Ok(url)
}

/// Whether the host is a loopback, private or link-local address, or a name that no public resolver knows: a single word, as
/// in a compose file, or a name with a suffix that is reserved for local use.
fn is_private(host: &Host<&str>) -> bool {
    let address: IpAddr = match host {
        Host::Domain(name) => {
            let suffixes = [".localhost", ".local", ".internal"];
            return !name.contains('.') || suffixes.iter().any(|suffix| name.ends_with(suffix));
        }
        Host::Ipv4(address) => (*address).into(),
        Host::Ipv6(address) => address.to_ipv4_mapped().map_or((*address).into(), IpAddr::from),
    };
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
