//! What the edge of the API is told about its clients: which proxies it believes, and how much a client may ask for.

use ipnet::IpNet;

use super::values::{ConfigError, list, no_repetition, parse};

/// The proxies whose word about the address of a client is believed. By default none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// `CAIRN_TRUSTED_PROXIES`: their addresses.
    pub networks: Vec<IpNet>,
    /// `CAIRN_FORWARDED_HEADER`: the one header that is read. A client can send the other one past a proxy that does not
    /// know it, so it is never read.
    pub header: ForwardedHeader,
}

/// A header in which proxies say for whom they ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, which most proxies send.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// How much one client may ask for. Operations cost a unit, and expensive ones more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Units that become available in a second.
    pub per_second: u32,
    /// Units that can be saved up.
    pub burst: u32,
    /// Requests at the same time.
    pub concurrent: u32,
}

/// How much clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// `CAIRN_RATE_LIMIT_USER_*`: each signed-in user.
    pub user: RateLimit,
    /// `CAIRN_RATE_LIMIT_ADDRESS_*`: each address (a /64 of IPv6), all its clients together that are not signed in.
    pub address: RateLimit,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            user: RateLimit { per_second: 100, burst: 5000, concurrent: 64 },
            address: RateLimit { per_second: 1000, burst: 10_000, concurrent: 256 },
        }
    }
}

/// Reads `CAIRN_TRUSTED_PROXIES` and `CAIRN_FORWARDED_HEADER`.
pub(super) fn trusted_proxies<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<TrustedProxies, ConfigError> {
    let key = "CAIRN_TRUSTED_PROXIES";
    let networks = list(get(key), key)?.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>()?;
    let mut names = Vec::new();
    for network in &networks {
        no_repetition(&names, &network.to_string(), key)?;
        names.push(network.to_string());
    }
    let header = match get("CAIRN_FORWARDED_HEADER") {
        None | Some("x-forwarded-for") => ForwardedHeader::XForwardedFor,
        Some("forwarded") => ForwardedHeader::Forwarded,
        Some(other) => {
            let message = format!("CAIRN_FORWARDED_HEADER is `{other}`: use x-forwarded-for or forwarded");
            return Err(ConfigError::new(message));
        }
    };
    Ok(TrustedProxies { networks, header })
}

/// An address, or a network such as `10.0.0.0/8`.
fn network(text: &str) -> Result<IpNet, ConfigError> {
    let network = text.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)));
    network.map(|network| network.trunc()).ok_or_else(|| {
        let expected = "addresses and networks such as 10.0.0.0/8, separated by commas";
        ConfigError::new(format!("CAIRN_TRUSTED_PROXIES names `{text}`: it must be {expected}"))
    })
}

/// Reads the `CAIRN_RATE_LIMIT_` keys.
pub(super) fn rate_limits<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<RateLimits, ConfigError> {
    let number = |key: &str, default: u32| {
        let value = parse(get(key), key, "a number from 1 to 1000000000", |n: &u32| (1..=1_000_000_000).contains(n))?;
        Ok::<_, ConfigError>(value.unwrap_or(default))
    };
    let RateLimits { user, address } = RateLimits::default();
    Ok(RateLimits {
        user: RateLimit {
            per_second: number("CAIRN_RATE_LIMIT_USER_PER_SECOND", user.per_second)?,
            burst: number("CAIRN_RATE_LIMIT_USER_BURST", user.burst)?,
            concurrent: number("CAIRN_RATE_LIMIT_USER_CONCURRENT", user.concurrent)?,
        },
        address: RateLimit {
            per_second: number("CAIRN_RATE_LIMIT_ADDRESS_PER_SECOND", address.per_second)?,
            burst: number("CAIRN_RATE_LIMIT_ADDRESS_BURST", address.burst)?,
            concurrent: number("CAIRN_RATE_LIMIT_ADDRESS_CONCURRENT", address.concurrent)?,
        },
    })
}
