//! Parsing of single values, and their errors.

use std::fmt;

/// A value that must not be shown. `Debug` and `Display` redact it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself. Reviewers should look at every call.
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

/// A key or value that cannot be used. The message is one line that says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Parses a value that is set. The error says what is `expected`.
pub(super) fn parse<T: std::str::FromStr>(
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

/// Splits a comma-separated list.
pub(super) fn list(value: Option<&str>) -> Vec<String> {
    value.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
