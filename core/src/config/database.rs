//! The URLs of the database, one for each role, and whether its connections are encrypted.

use std::net::IpAddr;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::values::{ConfigError, Secret};
use crate::db::DatabaseUrl;

/// The URLs of the database.
pub(super) struct Urls {
    pub(super) application: Option<Secret>,
    pub(super) direct: Option<Secret>,
    pub(super) owner: Option<Secret>,
    pub(super) administrator: Option<Secret>,
    pub(super) legacy: Option<Secret>,
}

pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Urls, ConfigError> {
    let demands_tls = match get("CAIRN_DATABASE_TLS") {
        None | Some("on") => true,
        Some("off") => false,
        Some(other) => return Err(ConfigError::new(format!("CAIRN_DATABASE_TLS is `{other}`: use on or off"))),
    };
    let url = |key: &str| get(key).map(|url| checked(key, url, demands_tls)).transpose();
    let application = url("DATABASE_URL")?;
    Ok(Urls {
        direct: url("DATABASE_DIRECT_URL")?.or_else(|| application.clone()),
        application,
        owner: url("DATABASE_OWNER_URL")?,
        administrator: url("DATABASE_ADMIN_URL")?,
        legacy: url("CAIRN_LEGACY_URL")?,
    })
}

/// The errors do not quote the URL, because it contains a password.
fn checked(key: &str, url: &str, demands_tls: bool) -> Result<Secret, ConfigError> {
    let hosts = DatabaseUrl::parse(url).map_err(|fault| ConfigError::new(format!("{key} {fault}")))?.hosts;
    for options in &hosts {
        if hosts.len() > 1 && is_socket(options) {
            return Err(ConfigError::new(format!(
                "{key} names a socket among several hosts: give it a name or an address"
            )));
        }
        // `prefer`, the default, and `allow` continue without encryption if somebody in between says that there is none.
        let is_decided = !matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow);
        if demands_tls && !is_decided && !is_local(options) {
            return Err(ConfigError::new(format!(
                "{key} is on another machine ({}) and does not demand encryption: add ?sslmode=verify-full (and \
                 &sslrootcert=FILE where its certificate is from an authority of your own), or, if nobody else can read or \
                 change what is sent there, set CAIRN_DATABASE_TLS=off",
                options.get_host()
            )));
        }
    }
    Ok(Secret::new(url))
}

/// Whether the server is on this machine: behind a socket, or at a loopback address.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    is_socket(options)
        || host.eq_ignore_ascii_case("localhost")
        || IpAddr::from_str(host).is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn every_one_of_several_hosts_is_reached_with_tls() {
        assert!(checked("K", "postgres://u:p@localhost:1,127.0.0.1:2,[::1]:3/d", true).is_ok());
        for hosts in ["localhost,db", "db,localhost", "10.0.0.7:5432,10.0.0.8:5432", "127.0.0.1,[2001:db8::1]"] {
            let url = format!("postgres://u:hunter2@{hosts}/d?target_session_attrs=read-write");
            let error = checked("K", &url, true).unwrap_err().to_string();
            assert!(error.contains("K is on another machine") && !error.contains("hunter2"), "{error}");
            assert!(checked("K", &format!("{url}&sslmode=verify-full"), true).is_ok());
            assert!(checked("K", &url, false).is_ok());
        }
        let socket = checked("K", "postgres://u@%2Fvar%2Frun,localhost/d", true).unwrap_err().to_string();
        assert!(socket.contains("a socket among several hosts"), "{socket}");
    }

    #[test]
    fn another_machine_is_reached_with_tls_unless_it_is_switched_off_in_words() {
        for local in [
            "postgres://u:p@localhost/d",
            "postgres://u:p@127.0.0.1:5433/d",
            "postgres://u:p@127.8.8.8/d",
            "postgres://u:p@[::1]/d",
            "postgres://u@%2Fvar%2Frun%2Fpostgresql/d",
            "postgres:///d?host=/var/run/postgresql",
        ] {
            assert!(checked("K", local, true).is_ok(), "{local}");
        }
        for host in ["db", "10.0.0.7", "192.168.1.2", "[2001:db8::1]", "localhost.example.com", "127.0.0.1.example.com"]
        {
            let url = format!("postgres://u:hunter2@{host}/d");
            let error = checked("K", &url, true).unwrap_err().to_string();
            assert!(error.contains("K is on another machine") && error.contains("sslmode=verify-full"), "{error}");
            assert!(error.contains("CAIRN_DATABASE_TLS=off") && !error.contains("hunter2"), "{error}");
            assert!(checked("K", &url, false).is_ok());
            for mode in ["prefer", "allow"] {
                assert!(checked("K", &format!("{url}?sslmode={mode}"), true).is_err());
            }
            for mode in ["require", "verify-ca", "verify-full", "disable"] {
                assert!(checked("K", &format!("{url}?sslmode={mode}"), true).is_ok());
            }
        }
    }
}
