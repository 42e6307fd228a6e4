//! Database URLs, which may name several hosts: `postgres://user:password@one:5432,two/database?target_session_attrs=read-write`.
//!
//! sqlx knows one host, and passes over parameters that it does not know. What libpq would do with them and we do not is refused
//! here, so that nobody relies on it.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The parameters that sqlx understands.
const KNOWN: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "port",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "statement-cache-capacity",
    "target_session_attrs",
];
const TARGET: &str = "target_session_attrs";

/// What a URL says.
#[derive(Clone, Debug)]
pub struct DatabaseUrl {
    /// How to connect to each of its hosts, in its order. Never empty.
    pub hosts: Vec<PgConnectOptions>,
    /// The URL of each host alone.
    pub urls: Vec<String>,
    /// Whether only a server that accepts writes may be used: there are several hosts, or the URL says so.
    pub must_write: bool,
}

/// What is wrong with a URL, in words that quote none of its secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlFault(String);

impl DatabaseUrl {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<Self, UrlFault> {
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme))
            .ok_or_else(|| fault("must start with postgres://"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (query, target) = parameters(query)?;
        let several = hosts.contains(',');
        let mut parsed = Self { hosts: Vec::new(), urls: Vec::new(), must_write: several || target };
        for host in hosts.split(',') {
            if several && (host.is_empty() || host.starts_with(':')) {
                return Err(fault("names a host that is empty: separate hosts by one comma, as in one:5432,two:5432"));
            }
            let at = if user.is_empty() { "" } else { "@" };
            let mark = if query.is_empty() { "" } else { "?" };
            let alone = format!("{scheme}://{user}{at}{host}{path}{mark}{query}");
            let options = PgConnectOptions::from_str(&alone).map_err(|_| fault(MALFORMED))?;
            parsed.hosts.push(without_brackets(options));
            parsed.urls.push(alone);
        }
        Ok(parsed)
    }
}

/// The brackets around an IPv6 address belong to the URL: sqlx keeps them, and then looks for a host of that name.
fn without_brackets(options: PgConnectOptions) -> PgConnectOptions {
    let address = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    match address {
        Some(address) => options.host(&address),
        None => options,
    }
}

/// What a URL looks like, and what goes wrong most often.
const MALFORMED: &str = "is not of the form postgres://user:password@host/database; in a password, characters such as / ? # @ % are \
                         written as %2F %3F %23 %40 %25";

fn fault(text: impl Into<String>) -> UrlFault {
    UrlFault(text.into())
}

/// The parameters without those that are ours, and whether the server must accept writes.
fn parameters(query: &str) -> Result<(String, bool), UrlFault> {
    let (mut kept, mut must_write) = (Vec::new(), false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if ["user", "password"].contains(&name) {
            return Err(fault(format!(
                "has the parameter {name}: put it before the host, as in postgres://user:password@host"
            )));
        }
        if !KNOWN.contains(&name) && !name.starts_with("options[") {
            // Nothing of what is not understood is quoted: it may be part of a password.
            let names = KNOWN.join(", ");
            return Err(fault(format!("has a parameter that is not understood; the parameters are {names}")));
        }
        if ["host", "hostaddr", "port"].contains(&name)
            && (value.contains(',') || value.to_ascii_lowercase().contains("%2c"))
        {
            return Err(fault(format!(
                "has several values in the parameter {name}: put all hosts before the database, as in one:5432,two:5432"
            )));
        }
        if name != TARGET {
            kept.push(pair);
            continue;
        }
        must_write = match value {
            "read-write" | "primary" => true,
            "any" | "read-only" | "standby" | "prefer-standby" => {
                return Err(fault(format!(
                    "has {TARGET}={value}, but Cairn writes to every database that it uses: leave it out, or use read-write"
                )));
            }
            _ => return Err(fault(format!("has a {TARGET} that is not understood: leave it out, or use read-write"))),
        };
    }
    Ok((kept.join("&"), must_write))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<String> {
        let parsed = DatabaseUrl::parse(url).unwrap();
        parsed.hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect()
    }

    #[test]
    fn several_hosts_are_read_in_their_order() {
        assert_eq!(hosts("postgres://u:p@one/d"), ["one:5432"]);
        assert_eq!(hosts("postgresql://u:p@one:1,two:2,[::1]:3/d?sslmode=disable"), ["one:1", "two:2", "::1:3"]);
        let url =
            DatabaseUrl::parse("postgres://u:p%40ss@a,b:7/d?target_session_attrs=read-write&sslmode=require").unwrap();
        assert_eq!(url.urls, ["postgres://u:p%40ss@a/d?sslmode=require", "postgres://u:p%40ss@b:7/d?sslmode=require"]);
        assert!(url.must_write && url.hosts.iter().all(|host| host.get_database() == Some("d")));
        assert!(url.hosts.iter().all(|host| host.get_username() == "u"));
        assert!(!DatabaseUrl::parse("postgres://u@a/d").unwrap().must_write);
        assert!(DatabaseUrl::parse("postgres://u@a,b/d").unwrap().must_write, "a standby among them is of no use");
        assert!(DatabaseUrl::parse("postgres://u@a/d?target_session_attrs=primary").unwrap().must_write);
    }

    #[test]
    fn addresses_have_no_brackets_when_they_are_connected_to() {
        let url = DatabaseUrl::parse("postgres://u@[::1]:5433/d").unwrap();
        assert_eq!((url.hosts[0].get_host(), url.hosts[0].get_port()), ("::1", 5433));
        assert_eq!(url.urls, ["postgres://u@[::1]:5433/d"], "what is shown is as it was written");
        for (written, host) in [
            ("postgres://u@[fd00::a]/d", "fd00::a"),
            ("postgres://u@h/d?host=[::1]", "::1"),
            ("postgres://u@h/d?hostaddr=::1", "::1"),
            ("postgres://u@127.0.0.1/d", "127.0.0.1"),
        ] {
            assert_eq!(DatabaseUrl::parse(written).unwrap().hosts[0].get_host(), host, "{written}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_without_secrets() {
        for (url, says) in [
            ("mysql://u:hunter2@h/d", "must start with postgres://"),
            ("postgres://u:hunter2@a,,b/d", "host that is empty"),
            ("postgres://u:hunter2@a,/d", "host that is empty"),
            ("postgres://u:hunter2@a,:5433/d", "host that is empty"),
            ("postgres://u:hunter2@a:hunter2,b/d", "not of the form"),
            ("postgres://u@a/d?password=hunter2", "before the host"),
            ("postgres://a/d?user=hunter2", "before the host"),
            ("postgres://u:hunter2@a/d?target_session_attrs=any", "Cairn writes"),
            ("postgres://u:hunter2@a,b/d?target_session_attrs=standby", "Cairn writes"),
            ("postgres://u:hunter2@a,b/d?target_session_attrs=hunter2", "is not understood"),
            ("postgres://u:hunter2@a/d?host=b,c", "several values in the parameter host"),
            ("postgres://u@a/d?passwrod=hunter2", "a parameter that is not understood"),
            ("postgres://u@a/d?hunter2", "a parameter that is not understood"),
            ("postgres://u:hunter2@a/d?sslmode=hunter2", "not of the form"),
        ] {
            let fault = DatabaseUrl::parse(url).unwrap_err().to_string();
            assert!(fault.contains(says) && !fault.contains("hunter2"), "{url}: {fault}");
        }
    }
}
