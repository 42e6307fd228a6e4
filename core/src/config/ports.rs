//! Who may use the ports of a process, and how much of them.

use super::values::{ConfigError, Secret, list, parse};

/// The shortest token of the ops port, in bytes.
const MIN_TOKEN: usize = 16;

/// Who may use the ports of a process, and how much of them.
#[derive(Clone, Debug)]
pub struct Ports {
    /// `CAIRN_API_HOSTS`: the names under which the API may be asked, without ports; any if the list is empty.
    pub api_hosts: Vec<String>,
    /// `CAIRN_API_CONNECTIONS`: the most open connections; `None` for as many as the process has descriptors for, at most
    /// 10,000.
    pub api_connections: Option<usize>,
    /// `CAIRN_API_CONNECTIONS_PER_ADDRESS`: the most of them from one address; `None` for an eighth.
    pub api_connections_per_address: Option<usize>,
    /// `CAIRN_OPS_HOSTS`: the names under which the ops port may be asked; addresses and `localhost` always may.
    pub ops_hosts: Vec<String>,
    /// `CAIRN_OPS_TOKEN`: what the ops port requires for everything but health checks; nothing if it is not set.
    pub ops_token: Option<Secret>,
}

pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Ports, ConfigError> {
    let count = |key| parse(get(key), key, "a number from 1 to 100000", |n: &usize| (1..=100_000).contains(n));
    let hosts = |key| {
        let names = list(get(key), key)?;
        match names.iter().find(|name| name.contains([':', '/', '@', '*'])) {
            None => Ok(names),
            Some(name) => Err(ConfigError::new(format!(
                "{key} lists `{name}`: names such as api.example.org are expected, without ports"
            ))),
        }
    };
    let ops_token = get("CAIRN_OPS_TOKEN").map(Secret::new);
    if ops_token.as_ref().is_some_and(|token| token.expose().len() < MIN_TOKEN) {
        return Err(ConfigError::new(format!(
            "CAIRN_OPS_TOKEN is shorter than {MIN_TOKEN} bytes: generate one with `openssl rand -base64 24`"
        )));
    }
    Ok(Ports {
        api_hosts: hosts("CAIRN_API_HOSTS")?,
        api_connections: count("CAIRN_API_CONNECTIONS")?,
        api_connections_per_address: count("CAIRN_API_CONNECTIONS_PER_ADDRESS")?,
        ops_hosts: hosts("CAIRN_OPS_HOSTS")?,
        ops_token,
    })
}
