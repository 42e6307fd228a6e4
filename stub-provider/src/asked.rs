//! What the stub was asked.

use serde_json::Value;

/// A request that the provider received.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path, with its query.
    pub path: String,
    /// The value of its `Authorization` header.
    pub authorization: Option<String>,
    /// The value of its `api-key` header, in which Azure expects the key.
    pub api_key: Option<String>,
    /// Its body.
    pub body: Value,
}
