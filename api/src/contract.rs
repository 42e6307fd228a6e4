//! The OpenAPI document, prepared for lookups.

use std::collections::HashMap;

use cairn_core::schema::Schema;
use serde_json::Value;

use crate::parameters::Parameters;

/// The document, with indexes for lookups.
pub(crate) struct Contract {
    /// The document as pretty-printed text.
    pub(crate) json: String,
    pub(crate) document: Value,
    /// The path templates by operation id, for logs.
    pub(crate) paths: HashMap<String, String>,
    /// The paths by their patterns in poem's router.
    pub(crate) patterns: HashMap<String, Pattern>,
    /// The parameters of each operation, by its id.
    pub(crate) parameters: HashMap<String, Parameters>,
    /// The schemas that bodies are checked against, by the schema in the operation as JSON text.
    pub(crate) bodies: HashMap<String, Schema>,
}

/// What the document says about a path.
pub(crate) struct Pattern {
    /// The value of the header `Allow`.
    pub(crate) methods: String,
    /// The names of the path parameters, which the router calls `param0`, `param1`, …
    pub(crate) parameters: Vec<String>,
}
