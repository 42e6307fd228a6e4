//! Configuration: read once at start, from the environment, `.env.local`, `.env`, then the documented defaults.

mod ai;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

pub use self::ai::{AiConfig, AiLimits, Price};
use crate::failpoint::{self, Failpoints};
use crate::queue::Queue;

/// A value that must not be shown: `Debug` and `Display` redact it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself. Every call is a place to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the API's health and metrics are served, unless configured.
pub const OPS_API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// The same of the worker: one port further, so that both run on one machine.
pub const OPS_WORKER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);

/// Everything that can be configured. `.env.example` lists the keys.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`; a secret because it carries a password. `None` = the embedded database (`cairn dev` only).
    pub database_url: Option<Secret>,
    /// `DATABASE_DIRECT_URL`: a session connection for LISTEN and workers.
    pub database_direct_url: Option<Secret>,
    /// `CAIRN_DATABASE_CONNECTIONS`: connections of one process.
    pub database_connections: u32,
    /// `CAIRN_API_ADDR`
    pub api_addr: SocketAddr,
    /// `CAIRN_OPS_ADDR`: health, metrics and, of the worker, the board. `None` = [`OPS_API`] or [`OPS_WORKER`].
    pub ops_addr: Option<SocketAddr>,
    /// `CAIRN_JWT_SECRET`: key of the access tokens, at least 32 bytes. `None` = generated (`cairn dev` only).
    pub jwt_secret: Option<Secret>,
    /// `CAIRN_CORS_ORIGINS`: origins of browsers that may call, comma-separated; none by default.
    pub cors_origins: Vec<String>,
    /// `CAIRN_WORKER_QUEUES` and `CAIRN_WORKER_CONCURRENCY`: the queues of this process and how many jobs each runs at
    /// once.
    pub worker_queues: Vec<(Queue, usize)>,
    /// `CAIRN_AI_*`: the provider of AI answers. `None` = the built-in one.
    pub ai: Option<AiConfig>,
    /// `CAIRN_LOG`: a `tracing` filter.
    pub log: String,
    /// `CAIRN_LOG_FORMAT`
    pub log_format: LogFormat,
    /// `CAIRN_TEST_FAILPOINTS`: where crash tests let the process die.
    pub failpoints: Failpoints,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector that spans are sent to; none by default.
    pub otlp_endpoint: Option<String>,
}

/// A key or value that cannot be used. One line: what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

const KEYS: [&str; 18] = [
    "CAIRN_AI_API_KEY",
    "CAIRN_AI_BASE_URL",
    "CAIRN_AI_CONNECT_SECONDS",
    "CAIRN_AI_CONTEXT_TOKENS",
    "CAIRN_AI_FIRST_TOKEN_SECONDS",
    "CAIRN_AI_MODEL",
    "CAIRN_AI_PRICES",
    "CAIRN_AI_SILENCE_SECONDS",
    "CAIRN_AI_TOTAL_SECONDS",
    "CAIRN_API_ADDR",
    "CAIRN_CORS_ORIGINS",
    "CAIRN_DATABASE_CONNECTIONS",
    "CAIRN_JWT_SECRET",
    "CAIRN_LOG",
    "CAIRN_LOG_FORMAT",
    "CAIRN_OPS_ADDR",
    "CAIRN_WORKER_CONCURRENCY",
    "CAIRN_WORKER_QUEUES",
];

/// Read elsewhere: by the embedded Postgres and by tests.
const FOREIGN_PREFIXES: [&str; 2] = ["CAIRN_POSTGRES_", "CAIRN_TEST_"];

impl Config {
    /// Reads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        let mut values = HashMap::new();
        for file in [".env", ".env.local"] {
            read_file(Path::new(file), &mut values)?;
        }
        values.extend(
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
        );
        Self::from_values(&values)
    }

    /// Builds the configuration from key-value pairs.
    pub fn from_values(values: &HashMap<String, String>) -> Result<Self, ConfigError> {
        reject_unknown(values)?;
        let get = |key: &str| values.get(key).map(String::as_str).map(str::trim).filter(|value| !value.is_empty());
        let secret = |key: &str| get(key).map(Secret::new);
        let jwt_secret = secret("CAIRN_JWT_SECRET");
        if jwt_secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) {
            return Err(ConfigError(
                "CAIRN_JWT_SECRET is shorter than 32 bytes: generate one with `openssl rand -base64 48`".into(),
            ));
        }
        let database_url = secret("DATABASE_URL");
        for (key, url) in [("DATABASE_URL", &database_url), ("DATABASE_DIRECT_URL", &secret("DATABASE_DIRECT_URL"))] {
            if let Some(url) = url
                && !url.expose().starts_with("postgres://")
                && !url.expose().starts_with("postgresql://")
            {
                return Err(ConfigError(format!("{key} must start with postgres://")));
            }
        }
        Ok(Self {
            database_direct_url: secret("DATABASE_DIRECT_URL").or_else(|| database_url.clone()),
            database_url,
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
            jwt_secret,
            cors_origins: list(get("CAIRN_CORS_ORIGINS")),
            worker_queues: worker_queues(get("CAIRN_WORKER_QUEUES"), get("CAIRN_WORKER_CONCURRENCY"))?,
            ai: ai::read(get)?,
            log: get("CAIRN_LOG").unwrap_or("info").to_owned(),
            log_format: match get("CAIRN_LOG_FORMAT") {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => return Err(ConfigError(format!("CAIRN_LOG_FORMAT is `{other}`: use text or json"))),
            },
            failpoints: failpoint::parse(get("CAIRN_TEST_FAILPOINTS").unwrap_or_default())
                .map_err(|error| ConfigError(format!("CAIRN_TEST_FAILPOINTS names {error}")))?,
            otlp_endpoint: get("OTEL_EXPORTER_OTLP_ENDPOINT").map(otlp_endpoint).transpose()?,
        })
    }

    /// The database URL, or what to set.
    pub fn require_database_url(&self) -> Result<&Secret, ConfigError> {
        self.database_url
            .as_ref()
            .ok_or_else(|| ConfigError("DATABASE_URL is not set: postgres://user:password@host/database".into()))
    }

    /// The session-connection URL, or what to set.
    pub fn require_direct_url(&self) -> Result<&Secret, ConfigError> {
        self.database_direct_url
            .as_ref()
            .or(self.database_url.as_ref())
            .ok_or_else(|| ConfigError("DATABASE_URL is not set: postgres://user:password@host/database".into()))
    }

    /// The token key, or what to set.
    pub fn require_jwt_secret(&self) -> Result<&Secret, ConfigError> {
        self.jwt_secret.as_ref().ok_or_else(|| {
            ConfigError("CAIRN_JWT_SECRET is not set: generate one with `openssl rand -base64 48`".into())
        })
    }
}

/// How many jobs of a queue one process runs at once, unless configured.
pub const fn default_concurrency(queue: Queue) -> usize {
    match queue {
        Queue::Activity | Queue::Progress => 256,
        Queue::ProgressBulk | Queue::Maintenance => 1,
        Queue::Likes => 16,
        Queue::Replies => 8,
    }
}

fn reject_unknown(values: &HashMap<String, String>) -> Result<(), ConfigError> {
    let mut unknown: Vec<&str> = values
        .keys()
        .map(String::as_str)
        .filter(|key| key.starts_with("CAIRN_") && !KEYS.contains(key))
        .filter(|key| !FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)))
        .collect();
    unknown.sort_unstable();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ConfigError(format!("unknown {}; known are {}", unknown.join(", "), KEYS.join(", "))))
}

fn read_file(path: &Path, values: &mut HashMap<String, String>) -> Result<(), ConfigError> {
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ConfigError(format!("{}: {error}", path.display()))),
    };
    for entry in entries {
        // The error of a malformed line quotes the line, which may hold a secret.
        let (key, value) = entry.map_err(|_| ConfigError(format!("{}: a line is not KEY=value", path.display())))?;
        values.insert(key, value);
    }
    Ok(())
}

fn parse<T: std::str::FromStr>(
    value: Option<&str>,
    key: &str,
    expected: &str,
    accept: impl Fn(&T) -> bool,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match value.parse() {
        Ok(parsed) if accept(&parsed) => Ok(Some(parsed)),
        _ => Err(ConfigError(format!("{key} is `{value}`: it must be {expected}"))),
    }
}

/// Not shown when it is wrong: it may hold credentials, which have a key of their own.
fn otlp_endpoint(value: &str) -> Result<String, ConfigError> {
    let key = "OTEL_EXPORTER_OTLP_ENDPOINT";
    if value.contains('@') {
        return Err(ConfigError(format!("{key} holds credentials: put them into OTEL_EXPORTER_OTLP_HEADERS")));
    }
    let host = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with(['/', ':']) || host.contains(char::is_whitespace)) {
        return Err(ConfigError(format!("{key} must be an address such as http://127.0.0.1:4318")));
    }
    Ok(value.to_owned())
}

fn list(value: Option<&str>) -> Vec<String> {
    value.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn worker_queues(queues: Option<&str>, concurrency: Option<&str>) -> Result<Vec<(Queue, usize)>, ConfigError> {
    let names: Vec<&str> = Queue::ALL.into_iter().map(Queue::name).collect();
    let find = |key: &str, name: &str| {
        Queue::from_name(name)
            .ok_or_else(|| ConfigError(format!("{key} names `{name}`: queues are {}", names.join(", "))))
    };
    let mut chosen: Vec<(Queue, usize)> = match queues {
        None => Queue::ALL.into_iter().map(|queue| (queue, default_concurrency(queue))).collect(),
        Some(_) => list(queues)
            .iter()
            .map(|name| find("CAIRN_WORKER_QUEUES", name).map(|queue| (queue, default_concurrency(queue))))
            .collect::<Result<_, _>>()?,
    };
    for pair in list(concurrency) {
        let (name, n) = pair.split_once('=').unwrap_or((&pair, ""));
        let queue = find("CAIRN_WORKER_CONCURRENCY", name.trim())?;
        let n = parse(Some(n.trim()), "CAIRN_WORKER_CONCURRENCY", "pairs such as replies=4, from 1 to 1000", |n| {
            (1..=1000).contains(n)
        })?;
        for (chosen_queue, chosen_n) in &mut chosen {
            if *chosen_queue == queue {
                *chosen_n = n.unwrap_or(*chosen_n);
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(error.contains("unknown CAIRN_API_ADR"), "{error}");
        for (key, value) in [
            ("CAIRN_API_ADDR", "nowhere"),
            ("CAIRN_LOG_FORMAT", "xml"),
            ("CAIRN_JWT_SECRET", "short"),
            ("CAIRN_WORKER_QUEUES", "activity,nope"),
            ("CAIRN_WORKER_CONCURRENCY", "replies=0"),
            ("CAIRN_DATABASE_CONNECTIONS", "1"),
            ("CAIRN_TEST_FAILPOINTS", "after_claim=1"),
            ("DATABASE_URL", "mysql://x"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:pass@collector.example"),
        ] {
            let error = config(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn queues_and_concurrency_combine() {
        let config =
            config(&[("CAIRN_WORKER_QUEUES", "replies, likes"), ("CAIRN_WORKER_CONCURRENCY", "replies=3")]).unwrap();
        assert_eq!(config.worker_queues, vec![(Queue::Replies, 3), (Queue::Likes, default_concurrency(Queue::Likes))]);
    }

    #[test]
    fn secrets_are_redacted() {
        let config = config(&[
            ("DATABASE_URL", "postgres://u:hunter2@h/d"),
            ("CAIRN_JWT_SECRET", &"k".repeat(32)),
            ("CAIRN_AI_BASE_URL", "https://api.example.com/v1"),
            ("CAIRN_AI_API_KEY", "sk-hunter2"),
            ("CAIRN_AI_MODEL", "m"),
        ])
        .unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("kkkk"), "{shown}");
    }
}
