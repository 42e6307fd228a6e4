//! Parsing of single values, and their errors.

use std::collections::HashSet;
use std::fmt;

use crate::repetition::repeated_unit;

/// The shortest key of signatures, in bytes: that of a SHA-256.
const KEY_LENGTH: usize = 32;
/// The fewest different bytes of a key. Random keys of that length in any usual notation have more.
const DISTINCT_BYTES: usize = 8;

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

/// Checks a key of signatures. The error does not quote it, and says how to make one.
pub(super) fn signing_key(value: Option<&str>, key: &str) -> Result<Option<Secret>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let bytes = value.as_bytes();
    let fault = if bytes.len() < KEY_LENGTH {
        "is shorter than 32 bytes"
    } else if repeated_unit(bytes).len() < bytes.len() {
        "repeats itself, so it can be guessed"
    } else if bytes.iter().collect::<HashSet<_>>().len() < DISTINCT_BYTES {
        "consists of few different characters, so it can be guessed"
    } else {
        return Ok(Some(Secret::new(value)));
    };
    Err(ConfigError(format!("{key} {fault}: generate one with `openssl rand -base64 48`")))
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

/// Splits a comma-separated list. Refuses one that has an empty element, or the same one twice, because it does not say what
/// whoever wrote it meant.
pub(super) fn list(value: Option<&str>, key: &str) -> Result<Vec<String>, ConfigError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut items: Vec<String> = Vec::new();
    for item in value.split(',').map(str::trim) {
        if item.is_empty() {
            return Err(ConfigError(format!("{key} has an empty element in `{value}`: remove the extra comma")));
        }
        no_repetition(&items, item, key)?;
        items.push(item.to_owned());
    }
    Ok(items)
}

/// Refuses `item` if `items` has it, in any case.
pub(super) fn no_repetition(items: &[String], item: &str, key: &str) -> Result<(), ConfigError> {
    if items.iter().any(|other| other.eq_ignore_ascii_case(item)) {
        return Err(ConfigError(format!("{key} has `{item}` more than once: remove one")));
    }
    Ok(())
}
