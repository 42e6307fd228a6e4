//! Which format the endpoint of the AI provider has, and how its models want to be asked.

use std::str::FromStr;

use super::values::{ConfigError, list, parse};

/// The format in which models are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AiApi {
    /// OpenAI's chat completions, as nearly every server offers them.
    Chat,
    /// Azure OpenAI: chat completions with other paths and another header for the key.
    Azure {
        /// `CAIRN_AI_API_VERSION`
        version: String,
    },
    /// OpenAI's Responses API.
    Responses {
        /// `CAIRN_AI_BACKGROUND`: whether the provider writes answers in the background and keeps them, so that a worker can
        /// go on with an answer that another one has lost.
        is_background: bool,
    },
}

/// A way in which a model is asked differently from others.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Adjustment {
    /// `stream_options` is left out, so usage may have to be estimated.
    NoStreamOptions,
    /// The answer is requested as a whole.
    NoStreaming,
    /// The instruction is part of the first message of the user.
    NoSystemRole,
    /// The instruction has the role `developer`.
    DeveloperRole,
    /// The limit of the answer is called `max_completion_tokens`.
    MaxCompletionTokens,
    /// The answer has no limit.
    NoTokenLimit,
    /// `temperature` is left out.
    NoTemperature,
    /// The provider does not write in the background.
    NoBackground,
    /// `store` is left out: a server with the Responses API that does not know it.
    NoStore,
    /// What precedes a closing `</think>` is thought, although there is no opening tag.
    ThinksFirst,
}

impl Adjustment {
    /// The name that is stored and configured.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// `CAIRN_AI_ADJUSTMENTS`: what is known about a model in advance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AiAdjustment {
    /// The model; `None` for all models.
    pub model: Option<String>,
    /// The adjustment.
    pub adjustment: Adjustment,
    /// Whether it must not be made, even if a refusal suggests it.
    pub is_forbidden: bool,
}

/// Reads `CAIRN_AI_API`, `CAIRN_AI_API_VERSION` and `CAIRN_AI_BACKGROUND`.
pub(super) fn api<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<AiApi, ConfigError> {
    let name = get("CAIRN_AI_API").unwrap_or("chat");
    let version = get("CAIRN_AI_API_VERSION");
    let background = parse(get("CAIRN_AI_BACKGROUND"), "CAIRN_AI_BACKGROUND", "on or off", |value: &String| {
        ["on", "off"].contains(&value.as_str())
    })?;
    let without = |key: &str, is_set: bool, api: AiApi| {
        if is_set {
            Err(ConfigError::new(format!("{key} has no effect with CAIRN_AI_API={name}: remove it")))
        } else {
            Ok(api)
        }
    };
    match name {
        "chat" if background.is_some() => without("CAIRN_AI_BACKGROUND", true, AiApi::Chat),
        "chat" => without("CAIRN_AI_API_VERSION", version.is_some(), AiApi::Chat),
        "azure" => {
            let version = version.unwrap_or("2024-10-21");
            if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(ConfigError::new(format!(
                    "CAIRN_AI_API_VERSION is `{version}`: it must be a version such as 2024-10-21"
                )));
            }
            without("CAIRN_AI_BACKGROUND", background.is_some(), AiApi::Azure { version: version.to_owned() })
        }
        "responses" => {
            let is_background = background.as_deref() == Some("on");
            without("CAIRN_AI_API_VERSION", version.is_some(), AiApi::Responses { is_background })
        }
        _ => Err(ConfigError::new(format!("CAIRN_AI_API is `{name}`: it must be chat, azure or responses"))),
    }
}

/// Reads `CAIRN_AI_ADJUSTMENTS`: names of adjustments, of a single model as `model=name`, and with `!` before the name if it
/// must not be made.
pub(super) fn adjustments(value: Option<&str>) -> Result<Vec<AiAdjustment>, ConfigError> {
    list(value, "CAIRN_AI_ADJUSTMENTS")?
        .into_iter()
        .map(|item| {
            // Names of models may contain `=`, so the adjustment is what follows the last one.
            let (model, name) = match item.rsplit_once('=') {
                Some((model, name)) => (Some(model.to_owned()), name),
                None => (None, item.as_str()),
            };
            let (name, is_forbidden) = name.strip_prefix('!').map_or((name, false), |name| (name, true));
            let unknown = |_| {
                let all = <Adjustment as strum::VariantArray>::VARIANTS.iter().map(|known| known.name());
                ConfigError::new(format!(
                    "CAIRN_AI_ADJUSTMENTS has `{item}`: it must be one of {}, with `model=` before it for a single model",
                    all.collect::<Vec<_>>().join(", ")
                ))
            };
            let adjustment = Adjustment::from_str(name).map_err(unknown)?;
            Ok(AiAdjustment { model, adjustment, is_forbidden })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{AiConfig, Config};

    fn read(pairs: &[(&str, &str)]) -> Result<AiConfig, String> {
        let base = [("BASE_URL", "https://h"), ("MODEL", "m")];
        let values: HashMap<String, String> =
            base.iter().chain(pairs).map(|(key, value)| (format!("CAIRN_AI_{key}"), (*value).to_owned())).collect();
        Config::from_values(&values).map(|config| config.ai.unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_format_is_what_is_configured() {
        assert_eq!(read(&[]).unwrap().api, AiApi::Chat);
        assert_eq!(read(&[("API", "azure")]).unwrap().api, AiApi::Azure { version: "2024-10-21".into() });
        assert_eq!(
            read(&[("API", "azure"), ("API_VERSION", "2025-04-01-preview")]).unwrap().api,
            AiApi::Azure { version: "2025-04-01-preview".into() }
        );
        assert_eq!(read(&[("API", "responses")]).unwrap().api, AiApi::Responses { is_background: false });
        assert_eq!(
            read(&[("API", "responses"), ("BACKGROUND", "on")]).unwrap().api,
            AiApi::Responses { is_background: true }
        );
        for (pairs, says) in [
            (&[("API", "claude")][..], "chat, azure or responses"),
            (&[("API_VERSION", "2024-10-21")], "CAIRN_AI_API_VERSION has no effect"),
            (&[("BACKGROUND", "on")], "CAIRN_AI_BACKGROUND has no effect"),
            (&[("API", "azure"), ("BACKGROUND", "on")], "CAIRN_AI_BACKGROUND has no effect"),
            (&[("API", "responses"), ("BACKGROUND", "yes")], "on or off"),
            (&[("API", "azure"), ("API_VERSION", "1&x=2")], "such as 2024-10-21"),
        ] {
            let error = read(pairs).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn adjustments_are_read() {
        let rules = read(&[("ADJUSTMENTS", "no_stream_options, org/o3=max_completion_tokens, a=b=!no_streaming")]);
        let rule = |model: Option<&str>, adjustment, is_forbidden| AiAdjustment {
            model: model.map(str::to_owned),
            adjustment,
            is_forbidden,
        };
        assert_eq!(
            rules.unwrap().adjustments,
            [
                rule(None, Adjustment::NoStreamOptions, false),
                rule(Some("org/o3"), Adjustment::MaxCompletionTokens, false),
                rule(Some("a=b"), Adjustment::NoStreaming, true),
            ]
        );
        let error = read(&[("ADJUSTMENTS", "be_kind")]).unwrap_err();
        assert!(error.contains("be_kind") && error.contains("no_stream_options, no_streaming"), "{error}");
    }
}
