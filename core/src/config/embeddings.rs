//! The endpoint that turns texts into vectors, so that sources are found by their meaning as well.

use super::ai::{api_key, base_url, model};
use super::values::{ConfigError, Secret};

/// An endpoint with OpenAI's format of embeddings.
#[derive(Clone, Debug)]
pub struct EmbeddingsConfig {
    /// `CAIRN_EMBEDDINGS_BASE_URL`, without a slash at its end: what comes before `/embeddings`.
    pub base_url: String,
    /// `CAIRN_EMBEDDINGS_API_KEY`; `None` if the endpoint needs none.
    pub api_key: Option<Secret>,
    /// `CAIRN_EMBEDDINGS_MODEL`
    pub model: String,
    /// `CAIRN_EMBEDDINGS_QUERY_PREFIX`: what the model wants before a question; empty for most.
    pub query_prefix: String,
    /// `CAIRN_EMBEDDINGS_PASSAGE_PREFIX`: what the model wants before a passage; empty for most.
    pub passage_prefix: String,
}

impl EmbeddingsConfig {
    /// Names what the vectors of passages depend on. Vectors with different names cannot be compared.
    pub fn vector_name(&self) -> String {
        match self.passage_prefix.as_str() {
            "" => self.model.clone(),
            prefix => format!("{} {prefix}", self.model),
        }
    }
}

/// Reads the `CAIRN_EMBEDDINGS_` keys. Returns `None` if no endpoint is configured, so that sources are found by their words
/// alone.
pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<EmbeddingsConfig>, ConfigError> {
    const DEPENDENT_KEYS: [&str; 4] = [
        "CAIRN_EMBEDDINGS_API_KEY",
        "CAIRN_EMBEDDINGS_MODEL",
        "CAIRN_EMBEDDINGS_PASSAGE_PREFIX",
        "CAIRN_EMBEDDINGS_QUERY_PREFIX",
    ];
    let Some(url) = get("CAIRN_EMBEDDINGS_BASE_URL") else {
        return match DEPENDENT_KEYS.into_iter().find(|key| get(key).is_some()) {
            Some(key) => Err(ConfigError::new(format!("{key} is set, but CAIRN_EMBEDDINGS_BASE_URL is not"))),
            None => Ok(None),
        };
    };
    let prefix = |key: &str| match get(key) {
        Some(prefix) if prefix.chars().count() > 200 => {
            Err(ConfigError::new(format!("{key} is longer than 200 characters")))
        }
        prefix => Ok(prefix.unwrap_or_default().to_owned()),
    };
    Ok(Some(EmbeddingsConfig {
        base_url: base_url(url, "CAIRN_EMBEDDINGS_BASE_URL", "CAIRN_EMBEDDINGS_API_KEY")?,
        api_key: api_key(get("CAIRN_EMBEDDINGS_API_KEY"), "CAIRN_EMBEDDINGS_API_KEY")?,
        model: model(get("CAIRN_EMBEDDINGS_MODEL"), "CAIRN_EMBEDDINGS_MODEL", "CAIRN_EMBEDDINGS_BASE_URL")?,
        query_prefix: prefix("CAIRN_EMBEDDINGS_QUERY_PREFIX")?,
        passage_prefix: prefix("CAIRN_EMBEDDINGS_PASSAGE_PREFIX")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<EmbeddingsConfig>, String> {
        let values =
            pairs.iter().map(|(key, value)| (format!("CAIRN_EMBEDDINGS_{key}"), (*value).to_owned())).collect();
        Config::from_values(&values).map(|config| config.embeddings).map_err(|error| error.to_string())
    }

    #[test]
    fn without_an_endpoint_there_is_none_and_incomplete_keys_are_refused() {
        assert!(read(&[]).unwrap().is_none());
        let long = "p".repeat(201);
        for (pairs, says) in [
            (&[("API_KEY", "k")][..], "CAIRN_EMBEDDINGS_API_KEY is set, but CAIRN_EMBEDDINGS_BASE_URL is not"),
            (&[("QUERY_PREFIX", "query:")], "CAIRN_EMBEDDINGS_BASE_URL is not"),
            (&[("BASE_URL", "https://h/v1")], "CAIRN_EMBEDDINGS_MODEL is not set"),
            (&[("BASE_URL", "http://example.com/v1"), ("MODEL", "m")], "CAIRN_EMBEDDINGS_BASE_URL uses http"),
            (
                &[("BASE_URL", "https://h/v1?key=hunter2"), ("MODEL", "m")],
                "the key belongs in CAIRN_EMBEDDINGS_API_KEY",
            ),
            (
                &[("BASE_URL", "https://h/v1"), ("MODEL", "m"), ("API_KEY", "hunter2 hunter2")],
                "CAIRN_EMBEDDINGS_API_KEY contains",
            ),
            (&[("BASE_URL", "https://h/v1"), ("MODEL", "m"), ("QUERY_PREFIX", &long)], "QUERY_PREFIX is longer"),
        ] {
            let error = read(pairs).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn vectors_of_another_model_or_prefix_have_another_name() {
        let named = |prefix: &str| {
            let pairs = [("BASE_URL", "http://127.0.0.1:1/v1/"), ("MODEL", "m"), ("PASSAGE_PREFIX", prefix)];
            let config = read(&pairs).unwrap().unwrap();
            assert_eq!(config.base_url, "http://127.0.0.1:1/v1");
            config.vector_name()
        };
        assert_eq!(named(""), "m");
        assert_eq!(named("passage:"), "m passage:");
    }
}
