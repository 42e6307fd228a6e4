//! The OpenAPI document, for whatever looks something up in it.

use std::collections::HashMap;

use cairn_core::schema::Schema;
use serde_json::Value;

/// The document, and what is looked up in it.
pub(crate) struct Contract {
    /// As text, pretty-printed.
    pub(crate) json: String,
    pub(crate) document: Value,
    /// Operation id to path template, for logs.
    pub(crate) paths: HashMap<String, String>,
    /// By path pattern, as poem's router writes it.
    pub(crate) patterns: HashMap<String, Pattern>,
    /// What bodies are checked against, by the schema of the operation as JSON text.
    pub(crate) bodies: HashMap<String, Schema>,
}

/// What the document says of a path.
pub(crate) struct Pattern {
    /// The value of `Allow`.
    pub(crate) methods: String,
    /// Names of the path parameters, which the router calls `param0`, `param1`, …
    pub(crate) parameters: Vec<String>,
}
