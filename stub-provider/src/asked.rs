//! What the stub was asked.

use serde_json::Value;

/// A request that the provider received.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The value of its `Authorization` header.
    pub authorization: Option<String>,
    /// Its body.
    pub body: Value,
}
