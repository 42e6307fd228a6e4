//! Takes the place of `serde_yaml`, which nobody maintains and which brings a parser in unsafe code along.
//!
//! poem and poem-openapi depend on it for bodies in YAML and for a copy of the document in YAML, of which Cairn offers neither.
//! JSON is YAML, so what little they could call works: it reads and writes JSON. Cairn itself reads YAML with serde-saphyr.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a text could not be read, or a value written.
pub type Error = serde_json::Error;

/// Reads JSON.
///
/// # Errors
/// The text is not JSON, or not of that type.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
}

/// Reads JSON.
///
/// # Errors
/// The text is not JSON, or not of that type.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text)
}

/// Writes JSON.
///
/// # Errors
/// The value has what JSON cannot hold.
pub fn to_string<T: ?Sized + Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
}
