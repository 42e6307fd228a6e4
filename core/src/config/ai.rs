//! The provider of AI answers.

use std::collections::HashMap;
use std::time::Duration;

use super::dialects::{self, AiAdjustment, AiApi};
use super::endpoints::endpoint;
use super::values::{ConfigError, Secret, list, parse};

/// An endpoint that answers questions, and how to use it.
#[derive(Clone, Debug)]
pub struct AiConfig {
    /// `CAIRN_AI_API`: the format of the endpoint.
    pub api: AiApi,
    /// `CAIRN_AI_BASE_URL`, without a slash at its end: what comes before `/chat/completions`, `/openai/deployments` or
    /// `/responses`.
    pub base_url: String,
    /// `CAIRN_AI_API_KEY`; `None` if the endpoint needs none.
    pub api_key: Option<Secret>,
    /// `CAIRN_AI_MODEL`: used when an instruction names no model.
    pub model: String,
    /// `CAIRN_AI_CONTEXT_TOKENS`: the size of the models' context, question and answer together.
    pub context_tokens: usize,
    /// `CAIRN_AI_PRICES`: prices by the name of the model.
    pub prices: HashMap<String, Price>,
    /// `CAIRN_AI_ADJUSTMENTS`: how models want to be asked, as far as it is known in advance.
    pub adjustments: Vec<AiAdjustment>,
    /// Time limits of one answer.
    pub limits: AiLimits,
}

/// The price of a million tokens, in the operator's currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Tokens of the request.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
}

/// Time limits of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AiLimits {
    /// `CAIRN_AI_CONNECT_SECONDS`: until the connection is open.
    pub connect: Duration,
    /// `CAIRN_AI_FIRST_TOKEN_SECONDS`: from the request to the first part of the answer.
    pub first_token: Duration,
    /// `CAIRN_AI_SILENCE_SECONDS`: between two parts of the answer.
    pub silence: Duration,
    /// `CAIRN_AI_TOTAL_SECONDS`: for the whole answer.
    pub total: Duration,
    /// How long an answer may continue after the worker was told to stop, before it is left to another worker, which starts
    /// it again. Not configurable, because it must be shorter than the worker's drain limit.
    pub at_stop: Duration,
}

impl Default for AiLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            total: Duration::from_mins(2),
            at_stop: Duration::from_secs(15),
        }
    }
}

/// Keys that have no effect without a base URL.
const DEPENDENT_KEYS: [&str; 12] = [
    "CAIRN_AI_ADJUSTMENTS",
    "CAIRN_AI_API",
    "CAIRN_AI_API_KEY",
    "CAIRN_AI_API_VERSION",
    "CAIRN_AI_BACKGROUND",
    "CAIRN_AI_CONNECT_SECONDS",
    "CAIRN_AI_CONTEXT_TOKENS",
    "CAIRN_AI_FIRST_TOKEN_SECONDS",
    "CAIRN_AI_MODEL",
    "CAIRN_AI_PRICES",
    "CAIRN_AI_SILENCE_SECONDS",
    "CAIRN_AI_TOTAL_SECONDS",
];

/// Reads the `CAIRN_AI_` keys. Returns `None` if no provider is configured, so that the built-in one answers.
pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<AiConfig>, ConfigError> {
    let Some(url) = get("CAIRN_AI_BASE_URL") else {
        return match DEPENDENT_KEYS.into_iter().find(|key| get(key).is_some()) {
            Some(key) => Err(ConfigError::new(format!("{key} is set, but CAIRN_AI_BASE_URL is not"))),
            None => Ok(None),
        };
    };
    let defaults = AiLimits::default();
    let seconds = |key: &str, default: Duration| {
        let range = 1..=defaults.total.as_secs();
        let seconds = parse(get(key), key, "whole seconds from 1 to 120", |n: &u64| range.contains(n))?;
        Ok(seconds.map_or(default, Duration::from_secs))
    };
    Ok(Some(AiConfig {
        api: dialects::api(&get)?,
        base_url: base_url(url, "CAIRN_AI_BASE_URL", "CAIRN_AI_API_KEY")?,
        api_key: api_key(get("CAIRN_AI_API_KEY"), "CAIRN_AI_API_KEY")?,
        model: model(get("CAIRN_AI_MODEL"), "CAIRN_AI_MODEL", "CAIRN_AI_BASE_URL")?,
        context_tokens: parse(
            get("CAIRN_AI_CONTEXT_TOKENS"),
            "CAIRN_AI_CONTEXT_TOKENS",
            "a number from 1000 to 1000000",
            |n: &usize| (1000..=1_000_000).contains(n),
        )?
        .unwrap_or(8192),
        prices: prices(get("CAIRN_AI_PRICES"))?,
        adjustments: dialects::adjustments(get("CAIRN_AI_ADJUSTMENTS"))?,
        limits: AiLimits {
            connect: seconds("CAIRN_AI_CONNECT_SECONDS", defaults.connect)?,
            first_token: seconds("CAIRN_AI_FIRST_TOKEN_SECONDS", defaults.first_token)?,
            silence: seconds("CAIRN_AI_SILENCE_SECONDS", defaults.silence)?,
            total: seconds("CAIRN_AI_TOTAL_SECONDS", defaults.total)?,
            at_stop: defaults.at_stop,
        },
    }))
}

/// Checks the address of an endpoint. Learners' questions and the key are sent there.
pub(super) fn base_url(text: &str, url_key: &str, secret_key: &str) -> Result<String, ConfigError> {
    let url = endpoint(text, url_key, "https://api.openai.com/v1")?;
    if url.query().is_some() {
        return Err(ConfigError::new(format!("{url_key} contains a query (the key belongs in {secret_key})")));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Checks the key of an endpoint. The error does not quote it.
pub(super) fn api_key(value: Option<&str>, key: &str) -> Result<Option<Secret>, ConfigError> {
    match value {
        Some(value) if !value.bytes().all(|byte| (0x21..0x7f).contains(&byte)) => Err(ConfigError::new(format!(
            "{key} contains a space or a character that is not allowed in an HTTP header"
        ))),
        value => Ok(value.map(Secret::new)),
    }
}

/// Checks the name of a model, without which an endpoint cannot be used.
pub(super) fn model(value: Option<&str>, key: &str, url_key: &str) -> Result<String, ConfigError> {
    match value {
        None => Err(ConfigError::new(format!("{key} is not set: name a model that {url_key} offers"))),
        Some(model) if model.chars().count() > 200 => {
            Err(ConfigError::new(format!("{key} is longer than 200 characters")))
        }
        Some(model) => Ok(model.to_owned()),
    }
}

/// Reads `model=input/output` pairs.
fn prices(value: Option<&str>) -> Result<HashMap<String, Price>, ConfigError> {
    let price = |text: &str| text.parse().ok().filter(|price| (0.0..=1e6).contains(price));
    let mut models: Vec<String> = Vec::new();
    list(value, "CAIRN_AI_PRICES")?
        .into_iter()
        .map(|pair| {
            // Names of models may contain colons, slashes and `=`, so the price is what follows the last `=`.
            let (model, both) = pair.rsplit_once('=').unwrap_or((&pair, ""));
            let (input, output) = both.split_once('/').unwrap_or((both, ""));
            if models.iter().any(|other| other == model) {
                return Err(ConfigError::new(format!("CAIRN_AI_PRICES has `{model}` more than once: remove one")));
            }
            models.push(model.to_owned());
            match (price(input), price(output)) {
                (Some(input), Some(output)) => Ok((model.to_owned(), Price { input, output })),
                _ => Err(ConfigError::new(format!(
                    "CAIRN_AI_PRICES has `{pair}`: it must be model=input/output, per million tokens, such as \
                     gpt-4o-mini=0.15/0.60"
                ))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<AiConfig>, ConfigError> {
        let values = pairs.iter().map(|(key, value)| (format!("CAIRN_AI_{key}"), (*value).to_owned())).collect();
        Config::from_values(&values).map(|config| config.ai)
    }

    fn with_url(url: &str) -> Result<String, String> {
        match read(&[("BASE_URL", url), ("MODEL", "m")]) {
            Ok(ai) => Ok(ai.unwrap().base_url),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn without_keys_there_is_no_provider_and_incomplete_keys_are_refused() {
        assert!(read(&[]).unwrap().is_none());
        for (pairs, says) in [
            (&[("API_KEY", "k")][..], "CAIRN_AI_API_KEY is set, but CAIRN_AI_BASE_URL is not"),
            (&[("MODEL", "m")], "CAIRN_AI_BASE_URL is not"),
            (&[("BASE_URL", "https://h/v1")], "CAIRN_AI_MODEL is not set"),
        ] {
            let error = read(pairs).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn defaults_are_those_documented() {
        let ai = read(&[("BASE_URL", "https://api.example.com/v1/"), ("MODEL", "m")]).unwrap().unwrap();
        assert_eq!((ai.base_url.as_str(), ai.context_tokens), ("https://api.example.com/v1", 8192));
        assert_eq!(ai.limits, AiLimits::default());
        assert!(ai.api_key.is_none() && ai.prices.is_empty());
    }

    #[test]
    fn http_is_accepted_only_for_private_hosts() {
        for url in [
            "https://api.openai.com/v1",
            "http://127.0.0.1:11434/v1",
            "http://[::1]:8000/v1",
            "http://10.1.2.3/v1",
            "http://192.168.0.7:8000",
            "http://[fd00::7]/v1",
            "http://ollama:11434/v1",
            "http://localhost:8080/v1",
            "http://models.default.svc.cluster.local/v1",
        ] {
            assert_eq!(with_url(url), Ok(url.to_owned()));
        }
        for url in
            ["http://api.openai.com/v1", "http://8.8.8.8/v1", "http://[2001:db8::1]/v1", "http://[::ffff:8.8.8.8]/"]
        {
            assert!(with_url(url).unwrap_err().contains("unencrypted"), "{url}");
        }
    }

    #[test]
    fn bad_values_are_refused_by_name_and_secrets_are_not_quoted() {
        let base = [("BASE_URL", "https://h/v1"), ("MODEL", "m")];
        for (key, value, says) in [
            ("CONTEXT_TOKENS", "10", "from 1000"),
            ("CONNECT_SECONDS", "0", "from 1 to 120"),
            ("FIRST_TOKEN_SECONDS", "1.5", "from 1 to 120"),
            ("SILENCE_SECONDS", "x", "from 1 to 120"),
            ("TOTAL_SECONDS", "121", "from 1 to 120"),
            ("PRICES", "m=1", "model=input/output"),
            ("PRICES", "m=-1/2", "model=input/output"),
            ("API_KEY", "hunter2 hunter2", "CAIRN_AI_API_KEY"),
            ("BASE_URL", "ftp://h", "neither https"),
            ("BASE_URL", "nonsense", "not a valid address"),
            ("BASE_URL", "https://me:hunter2@h/v1", "a user or a fragment"),
            ("BASE_URL", "https://h/v1?key=hunter2", "CAIRN_AI_API_KEY"),
        ] {
            let pairs: Vec<_> = base.into_iter().filter(|(other, _)| *other != key).chain([(key, value)]).collect();
            let error = read(&pairs).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(key), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn prices_are_read() {
        let pairs = [("BASE_URL", "https://h/v1"), ("MODEL", "m"), ("PRICES", "a/b:free=0/0, gpt-4o-mini=0.15/0.60")];
        let prices = read(&pairs).unwrap().unwrap().prices;
        assert_eq!(prices["gpt-4o-mini"], Price { input: 0.15, output: 0.60 });
        assert_eq!(prices["a/b:free"], Price { input: 0.0, output: 0.0 });
    }
}
