//! Which keys there are, and where their values come from.

use std::collections::HashMap;
use std::path::Path;

use super::ConfigError;

const KEYS: [&str; 46] = [
    "CAIRN_AI_ADJUSTMENTS",
    "CAIRN_AI_API",
    "CAIRN_AI_API_KEY",
    "CAIRN_AI_API_VERSION",
    "CAIRN_AI_BACKGROUND",
    "CAIRN_AI_BASE_URL",
    "CAIRN_AI_CONNECT_SECONDS",
    "CAIRN_AI_CONTEXT_TOKENS",
    "CAIRN_AI_FIRST_TOKEN_SECONDS",
    "CAIRN_AI_MODEL",
    "CAIRN_AI_PRICES",
    "CAIRN_AI_SILENCE_SECONDS",
    "CAIRN_AI_TOTAL_SECONDS",
    "CAIRN_API_ADDR",
    "CAIRN_API_CONNECTIONS",
    "CAIRN_API_CONNECTIONS_PER_ADDRESS",
    "CAIRN_API_HOSTS",
    "CAIRN_CORS_ORIGINS",
    "CAIRN_DATABASE_CONNECTIONS",
    "CAIRN_DATABASE_TLS",
    "CAIRN_EMBEDDINGS_API_KEY",
    "CAIRN_EMBEDDINGS_BASE_URL",
    "CAIRN_EMBEDDINGS_MODEL",
    "CAIRN_EMBEDDINGS_PASSAGE_PREFIX",
    "CAIRN_EMBEDDINGS_QUERY_PREFIX",
    "CAIRN_FORWARDED_HEADER",
    "CAIRN_HSTS_SECONDS",
    "CAIRN_JWT_SECRET",
    "CAIRN_JWT_SECRET_PREVIOUS",
    "CAIRN_LEGACY_URL",
    "CAIRN_LOG",
    "CAIRN_LOG_FORMAT",
    "CAIRN_MAIL_HOOK_SECRET",
    "CAIRN_MAIL_HOOK_URL",
    "CAIRN_OPS_ADDR",
    "CAIRN_OPS_HOSTS",
    "CAIRN_OPS_TOKEN",
    "CAIRN_RATE_LIMIT_ADDRESS_BURST",
    "CAIRN_RATE_LIMIT_ADDRESS_CONCURRENT",
    "CAIRN_RATE_LIMIT_ADDRESS_PER_SECOND",
    "CAIRN_RATE_LIMIT_USER_BURST",
    "CAIRN_RATE_LIMIT_USER_CONCURRENT",
    "CAIRN_RATE_LIMIT_USER_PER_SECOND",
    "CAIRN_TRUSTED_PROXIES",
    "CAIRN_WORKER_CONCURRENCY",
    "CAIRN_WORKER_QUEUES",
];

/// Prefixes of keys that the embedded Postgres and tests read.
const FOREIGN_PREFIXES: [&str; 2] = ["CAIRN_POSTGRES_", "CAIRN_TEST_"];

/// The keys and values of this process: its environment, and where that says nothing `.env.local` and `.env`.
pub(super) fn values() -> Result<HashMap<String, String>, ConfigError> {
    let mut values = HashMap::new();
    for file in [".env", ".env.local"] {
        read_file(Path::new(file), &mut values)?;
    }
    for (key, value) in std::env::vars_os() {
        let Some(key) = key.to_str() else { continue };
        match value.into_string() {
            Ok(value) => drop(values.insert(key.to_owned(), value)),
            Err(_) if KEYS.contains(&key) || key.starts_with("DATABASE_") => {
                return Err(ConfigError::new(format!("{key} is not UTF-8")));
            }
            Err(_) => {}
        }
    }
    Ok(values)
}

/// Whether Kubernetes has set the variable: it tells the containers of a namespace where its services are, and one may well be
/// called `cairn-api`.
fn is_of_a_service(key: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.chars().all(|character| character.is_ascii_digit());
    key.ends_with("_SERVICE_HOST")
        || key.contains("_SERVICE_PORT")
        || key.ends_with("_PORT")
        || key.split_once("_PORT_").is_some_and(|(_, rest)| rest.split('_').next().is_some_and(number))
}

/// Refuses keys of this project that do not exist, which are most likely misspelt.
pub(super) fn reject_unknown(values: &HashMap<String, String>) -> Result<(), ConfigError> {
    let mut unknown: Vec<&str> = values
        .keys()
        .map(String::as_str)
        .filter(|key| key.starts_with("CAIRN_") && !KEYS.contains(key))
        .filter(|key| !FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) && !is_of_a_service(key))
        .collect();
    unknown.sort_unstable();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ConfigError::new(format!("unknown keys: {}; the known keys are {}", unknown.join(", "), KEYS.join(", "))))
}

fn read_file(path: &Path, values: &mut HashMap<String, String>) -> Result<(), ConfigError> {
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ConfigError::new(format!("{}: {error}", path.display()))),
    };
    for entry in entries {
        // The original error quotes the malformed line, which may contain a secret.
        let (key, value) =
            entry.map_err(|_| ConfigError::new(format!("{}: a line is not KEY=value", path.display())))?;
        values.insert(key, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_says_of_services_is_not_ours() {
        let read = |key: &str| reject_unknown(&HashMap::from([(key.to_owned(), "tcp://10.0.0.1:8080".to_owned())]));
        for key in [
            "CAIRN_API_SERVICE_HOST",
            "CAIRN_API_SERVICE_PORT",
            "CAIRN_API_SERVICE_PORT_HTTP",
            "CAIRN_API_PORT",
            "CAIRN_API_PORT_8080_TCP",
            "CAIRN_API_PORT_8080_TCP_ADDR",
        ] {
            assert!(read(key).is_ok(), "{key}");
        }
        for key in ["CAIRN_API_PORTS", "CAIRN_API_PORT_X", "CAIRN_SERVICE"] {
            assert!(read(key).is_err(), "{key}");
        }
    }
}
