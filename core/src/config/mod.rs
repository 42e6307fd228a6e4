//! Configuration, read once when a process starts: from the environment, then `.env.local`, then `.env`. What is set nowhere
//! has a documented default.

mod ai;
mod database;
mod dialects;
mod edge;
mod embeddings;
mod endpoints;
mod keys;
mod mail;
mod ports;
mod queues;
mod values;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use self::ai::{AiConfig, AiLimits, Price};
pub use self::dialects::{Adjustment, AiAdjustment, AiApi};
pub use self::edge::{ForwardedHeader, RateLimit, RateLimits, TrustedProxies};
pub use self::embeddings::EmbeddingsConfig;
pub use self::mail::MailConfig;
pub use self::ports::Ports;
pub use self::queues::default_concurrency;
pub use self::values::{ConfigError, Secret};
use self::values::{list, parse, signing_key};
use crate::failpoint::{self, Failpoints};
use crate::queue::Queue;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people to read.
    Text,
    /// One JSON object on each line.
    Json,
}

/// The default address of the API's health checks and metrics.
pub const OPS_API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// The default address of the worker's health checks and metrics. The port differs from the API's, so that both can run on
/// one machine.
pub const OPS_WORKER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);

/// Among the origins of CORS, stands for every port of the browser's own machine.
pub const LOCAL_ORIGINS: &str = "localhost";

/// Everything that can be configured. `.env.example` lists the keys.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`; a secret because it carries a password. `None` for the embedded database (`cairn dev` only).
    pub database_url: Option<Secret>,
    /// `DATABASE_DIRECT_URL`: a session connection for LISTEN and workers.
    pub database_direct_url: Option<Secret>,
    /// `DATABASE_OWNER_URL`: as the owner of the schema, for `cairn migrate` only. `None` where that is the role of the
    /// programs, too.
    pub database_owner_url: Option<Secret>,
    /// `DATABASE_ADMIN_URL`: as a superuser, for `cairn migrate --roles` only.
    pub database_admin_url: Option<Secret>,
    /// `CAIRN_LEGACY_URL`: the database of the platform that Cairn replaces, for `cairn import-legacy` and `cairn adopt` only.
    pub legacy_url: Option<Secret>,
    /// `CAIRN_DATABASE_CONNECTIONS`: connections of one process.
    pub database_connections: u32,
    /// `CAIRN_API_ADDR`
    pub api_addr: SocketAddr,
    /// `CAIRN_OPS_ADDR`: health, metrics and, of the worker, the board. `None` for [`OPS_API`] or [`OPS_WORKER`].
    pub ops_addr: Option<SocketAddr>,
    /// Who may use the ports of this process, and how much of them.
    pub ports: Ports,
    /// `CAIRN_HSTS_SECONDS`: for how long browsers are told to use TLS only. 0 for not at all, the default, because it concerns
    /// everything on the host and cannot be taken back.
    pub hsts_seconds: u32,
    /// `CAIRN_JWT_SECRET`: key of the access tokens, at least 32 bytes. `None` for a generated one (`cairn dev` only).
    pub jwt_secret: Option<Secret>,
    /// `CAIRN_JWT_SECRET_PREVIOUS`: a second key, whose tokens are valid too; `None` unless the key is being replaced.
    pub jwt_secret_previous: Option<Secret>,
    /// `CAIRN_CORS_ORIGINS`: origins whose browser pages may call the API, [`LOCAL_ORIGINS`] among them; empty by default.
    pub cors_origins: Vec<String>,
    /// `CAIRN_TRUSTED_PROXIES` and `CAIRN_FORWARDED_HEADER`: who is believed about the addresses of clients.
    pub trusted_proxies: TrustedProxies,
    /// `CAIRN_RATE_LIMIT_*`: how much one client may ask for.
    pub rate_limits: RateLimits,
    /// `CAIRN_WORKER_QUEUES` and `CAIRN_WORKER_CONCURRENCY`: the queues of this process and how many jobs each runs at
    /// once.
    pub worker_queues: Vec<(Queue, usize)>,
    /// `CAIRN_AI_*`: the provider of AI answers. `None` for the built-in one.
    pub ai: Option<AiConfig>,
    /// `CAIRN_EMBEDDINGS_*`: the endpoint by which sources are found by their meaning. `None` to find them by their words alone.
    pub embeddings: Option<EmbeddingsConfig>,
    /// `CAIRN_MAIL_*`: the hook that sends mails. `None` to send none.
    pub mail: Option<MailConfig>,
    /// `CAIRN_LOG`: a `tracing` filter.
    pub log: String,
    /// `CAIRN_LOG_FORMAT`
    pub log_format: LogFormat,
    /// `CAIRN_TEST_FAILPOINTS`: places where crash tests kill the process.
    pub failpoints: Failpoints,
    /// `CAIRN_TEST_CLOCK_SECONDS`: how far the clock of this process is ahead, for tests.
    pub clock_error_seconds: i64,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector that spans are sent to; `None` to send none.
    pub otlp_endpoint: Option<String>,
}

impl Config {
    /// Reads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_with(&[])
    }

    /// As [`Config::load`], with values that take precedence over all others, such as those of the command line.
    pub fn load_with(overrides: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let mut values = keys::values()?;
        values.extend(overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Self::from_values(&values)
    }

    /// The configured format of the log, whatever else is wrong with the configuration.
    pub fn log_format() -> LogFormat {
        let is_json = |values: HashMap<String, String>| {
            values.get("CAIRN_LOG_FORMAT").is_some_and(|format| format.trim() == "json")
        };
        if keys::values().is_ok_and(is_json) { LogFormat::Json } else { LogFormat::Text }
    }

    /// Builds the configuration from keys and values.
    pub fn from_values(values: &HashMap<String, String>) -> Result<Self, ConfigError> {
        keys::reject_unknown(values)?;
        let get = |key: &str| values.get(key).map(String::as_str).map(str::trim).filter(|value| !value.is_empty());
        let jwt_secret = signing_key(get("CAIRN_JWT_SECRET"), "CAIRN_JWT_SECRET")?;
        let jwt_secret_previous = signing_key(get("CAIRN_JWT_SECRET_PREVIOUS"), "CAIRN_JWT_SECRET_PREVIOUS")?;
        if jwt_secret_previous.is_some() && (jwt_secret.is_none() || jwt_secret == jwt_secret_previous) {
            return Err(ConfigError::new(
                "CAIRN_JWT_SECRET_PREVIOUS is a second key: set CAIRN_JWT_SECRET to another one, which signs",
            ));
        }
        let urls = database::read(get)?;
        Ok(Self {
            database_url: urls.application,
            database_direct_url: urls.direct,
            database_owner_url: urls.owner,
            database_admin_url: urls.administrator,
            legacy_url: urls.legacy,
            database_connections: parse(
                get("CAIRN_DATABASE_CONNECTIONS"),
                "CAIRN_DATABASE_CONNECTIONS",
                "a number from 4 to 200",
                |n: &u32| (4..=200).contains(n),
            )?
            .unwrap_or(12),
            api_addr: parse(get("CAIRN_API_ADDR"), "CAIRN_API_ADDR", "an address such as 127.0.0.1:8080", |_| true)?
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            ops_addr: parse(get("CAIRN_OPS_ADDR"), "CAIRN_OPS_ADDR", "an address such as 127.0.0.1:9090", |_| true)?,
            ports: ports::read(get)?,
            hsts_seconds: parse(
                get("CAIRN_HSTS_SECONDS"),
                "CAIRN_HSTS_SECONDS",
                "a number of seconds, at most 63072000 (two years)",
                |seconds| (0..=63_072_000).contains(seconds),
            )?
            .unwrap_or(0),
            jwt_secret,
            jwt_secret_previous,
            cors_origins: list(get("CAIRN_CORS_ORIGINS"), "CAIRN_CORS_ORIGINS")?,
            trusted_proxies: edge::trusted_proxies(get)?,
            rate_limits: edge::rate_limits(get)?,
            worker_queues: queues::read(
                values.get("CAIRN_WORKER_QUEUES").map(String::as_str),
                get("CAIRN_WORKER_CONCURRENCY"),
            )?,
            ai: ai::read(get)?,
            embeddings: embeddings::read(get)?,
            mail: mail::read(get)?,
            log: get("CAIRN_LOG").unwrap_or("info").to_owned(),
            log_format: match get("CAIRN_LOG_FORMAT") {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => {
                    return Err(ConfigError::new(format!("CAIRN_LOG_FORMAT is `{other}`: use text or json")));
                }
            },
            failpoints: failpoint::parse(get("CAIRN_TEST_FAILPOINTS").unwrap_or_default())
                .map_err(|error| ConfigError::new(format!("CAIRN_TEST_FAILPOINTS names {error}")))?,
            clock_error_seconds: parse(
                get("CAIRN_TEST_CLOCK_SECONDS"),
                "CAIRN_TEST_CLOCK_SECONDS",
                "a number of seconds",
                |_| true,
            )?
            .unwrap_or(0),
            otlp_endpoint: get("OTEL_EXPORTER_OTLP_ENDPOINT").map(otlp_endpoint).transpose()?,
        })
    }

    /// The database URL. The error says which key to set.
    pub fn require_database_url(&self) -> Result<&Secret, ConfigError> {
        self.database_url
            .as_ref()
            .ok_or_else(|| ConfigError::new("DATABASE_URL is not set: postgres://user:password@host/database"))
    }

    /// The URL for session connections. The error says which key to set.
    pub fn require_direct_url(&self) -> Result<&Secret, ConfigError> {
        self.database_direct_url
            .as_ref()
            .or(self.database_url.as_ref())
            .ok_or_else(|| ConfigError::new("DATABASE_URL is not set: postgres://user:password@host/database"))
    }

    /// The key of the access tokens. The error says which key to set.
    pub fn require_jwt_secret(&self) -> Result<&Secret, ConfigError> {
        self.jwt_secret
            .as_ref()
            .ok_or_else(|| ConfigError::new("CAIRN_JWT_SECRET is not set: generate one with `openssl rand -base64 48`"))
    }
}

/// Checks the address of the collector. The errors do not quote it, because it may contain credentials.
fn otlp_endpoint(value: &str) -> Result<String, ConfigError> {
    let key = "OTEL_EXPORTER_OTLP_ENDPOINT";
    if value.contains('@') {
        return Err(ConfigError::new(format!("{key} contains credentials: put them into OTEL_EXPORTER_OTLP_HEADERS")));
    }
    let host = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with(['/', ':']) || host.contains(char::is_whitespace)) {
        return Err(ConfigError::new(format!("{key} must be an address such as http://127.0.0.1:4318")));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Y2Fpcm46IHRlc3RzIG9ubHksIGd1YXJkcyBub3RoaW5n";
    const OTHER_KEY: &str = "dGhlIGtleSBiZWZvcmUsIHdoaWNoIGd1YXJkcyBub3RoaW5n";

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_values(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn defaults_are_complete() {
        let config = config(&[]).unwrap();
        assert_eq!(config.api_addr.to_string(), "127.0.0.1:8080");
        assert_eq!(config.worker_queues.len(), Queue::ALL.len());
        assert!(config.require_database_url().unwrap_err().to_string().contains("DATABASE_URL is not set"));
        assert!(config.require_jwt_secret().is_err());
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_by_name() {
        let error = config(&[("CAIRN_API_ADR", "x")]).unwrap_err().to_string();
        assert!(error.contains("unknown keys: CAIRN_API_ADR"), "{error}");
        for (key, value) in [
            ("CAIRN_API_ADDR", "nowhere"),
            ("CAIRN_LOG_FORMAT", "xml"),
            ("CAIRN_API_CONNECTIONS", "0"),
            ("CAIRN_API_CONNECTIONS_PER_ADDRESS", "many"),
            ("CAIRN_API_HOSTS", "https://api.example.org"),
            ("CAIRN_OPS_HOSTS", "metrics:9090"),
            ("CAIRN_OPS_TOKEN", "short"),
            ("CAIRN_JWT_SECRET", "short"),
            ("CAIRN_WORKER_QUEUES", "activity,nope"),
            ("CAIRN_WORKER_QUEUES", "Replies"),
            ("CAIRN_WORKER_QUEUES", "replies,replies"),
            ("CAIRN_WORKER_QUEUES", " replies , likes, replies"),
            ("CAIRN_WORKER_QUEUES", ","),
            ("CAIRN_WORKER_QUEUES", "replies,"),
            ("CAIRN_WORKER_QUEUES", ""),
            ("CAIRN_WORKER_QUEUES", "  "),
            ("CAIRN_WORKER_CONCURRENCY", "replies=0"),
            ("CAIRN_WORKER_CONCURRENCY", "replies=1,replies=2"),
            ("CAIRN_WORKER_CONCURRENCY", "replies=1, replies =1"),
            ("CAIRN_WORKER_CONCURRENCY", ","),
            ("CAIRN_CORS_ORIGINS", "https://a.example,,https://b.example"),
            ("CAIRN_CORS_ORIGINS", "https://a.example,https://A.example"),
            ("CAIRN_API_HOSTS", "api.example.org,API.example.org"),
            ("CAIRN_OPS_HOSTS", ","),
            ("CAIRN_TRUSTED_PROXIES", "10.0.0.0/8,"),
            ("CAIRN_TRUSTED_PROXIES", "10.0.0.0/8,10.1.0.0/8"),
            ("CAIRN_TEST_FAILPOINTS", "after_claim:1,after_claim:0"),
            ("CAIRN_DATABASE_CONNECTIONS", "1"),
            ("CAIRN_TEST_FAILPOINTS", "after_claim=1"),
            ("CAIRN_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
            ("CAIRN_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("CAIRN_FORWARDED_HEADER", "x-real-ip"),
            ("CAIRN_RATE_LIMIT_USER_BURST", "0"),
            ("DATABASE_URL", "mysql://x"),
            ("DATABASE_URL", "postgres://u:pass@h/d"),
            ("DATABASE_OWNER_URL", "postgres://u:pass@h/d"),
            ("CAIRN_DATABASE_TLS", "no"),
            ("CAIRN_HSTS_SECONDS", "-1"),
            ("CAIRN_HSTS_SECONDS", "99999999"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:pass@collector.example"),
        ] {
            let error = config(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("pass@"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn proxies_and_limits_are_read() {
        let config = config(&[
            ("CAIRN_TRUSTED_PROXIES", "10.1.2.3/8, 192.0.2.7, 2001:db8::/32"),
            ("CAIRN_FORWARDED_HEADER", "forwarded"),
            ("CAIRN_RATE_LIMIT_USER_PER_SECOND", "7"),
        ])
        .unwrap();
        let networks: Vec<String> = config.trusted_proxies.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        assert_eq!(config.trusted_proxies.header, ForwardedHeader::Forwarded);
        let user = RateLimit { per_second: 7, ..RateLimits::default().user };
        assert_eq!(config.rate_limits, RateLimits { user, ..RateLimits::default() });
    }

    #[test]
    fn secrets_are_redacted() {
        let config = config(&[
            ("DATABASE_URL", "postgres://u:hunter2@localhost/d"),
            ("CAIRN_JWT_SECRET", KEY),
            ("CAIRN_JWT_SECRET_PREVIOUS", OTHER_KEY),
            ("CAIRN_AI_BASE_URL", "https://api.example.com/v1"),
            ("CAIRN_AI_API_KEY", "sk-hunter2"),
            ("CAIRN_AI_MODEL", "m"),
        ])
        .unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(KEY) && !shown.contains(OTHER_KEY), "{shown}");
    }

    #[test]
    fn keys_that_can_be_guessed_are_refused_with_advice() {
        for (key, says) in [
            ("k".repeat(31), "shorter than 32"),
            ("k".repeat(64), "repeats itself"),
            ("changeme".repeat(5), "repeats itself"),
            ("0123456789abcdef0123456789abcdef0123".to_owned(), "repeats itself"),
            (format!("{}bcbc", "a".repeat(40)), "few different"),
        ] {
            for name in ["CAIRN_JWT_SECRET", "CAIRN_JWT_SECRET_PREVIOUS"] {
                let error = config(&[(name, key.as_str())]).unwrap_err().to_string();
                assert!(error.contains(&format!("{name} ")) && error.contains(says), "{error}");
                assert!(error.contains("openssl rand -base64 48") && !error.contains(&key), "{error}");
            }
        }
        for previous in [
            &[("CAIRN_JWT_SECRET_PREVIOUS", KEY)][..],
            &[("CAIRN_JWT_SECRET", KEY), ("CAIRN_JWT_SECRET_PREVIOUS", KEY)],
        ] {
            let error = config(previous).unwrap_err().to_string();
            assert!(error.contains("set CAIRN_JWT_SECRET to another one"), "{error}");
        }
    }
}
