//! The parameters of an operation as the document describes them, to name everything that is wrong with those of a request.
//!
//! Handlers read parameters one by one and stop at the first that they do not understand. The rest is looked up here, for
//! requests that are refused anyway.

use std::sync::OnceLock;

use cairn_core::schema::{Duplicates, Fault, Json, Schema};
use poem::http::{HeaderMap, Uri};
use serde_json::{Map, Value};
use url::form_urlencoded;

/// The parameters of an operation.
pub(crate) struct Parameters {
    /// The path with its parameters in braces.
    pub(crate) path: String,
    /// The parameters in order.
    pub(crate) described: Vec<Value>,
    /// A schema of an object that has the parameters as its members.
    pub(crate) schema: Value,
    /// The same, compiled when it is needed first.
    pub(crate) compiled: OnceLock<Option<Schema>>,
}

impl Parameters {
    /// Everything that is wrong with the parameters of a request, as far as the document tells: the name of the parameter
    /// and the fault.
    pub(crate) fn faults(&self, uri: &Uri, headers: &HeaderMap) -> Vec<(String, Fault)> {
        // A test holds that every schema is one.
        let Some(schema) = self.compiled.get_or_init(|| Schema::new(self.schema.clone()).ok()) else {
            return Vec::new();
        };
        let sent = Json { value: Value::Object(self.sent(uri, headers)), duplicates: Duplicates::default() };
        schema.check(&sent).into_iter().map(|fault| (name(&fault.pointer), fault)).collect()
    }

    /// The parameters of a request by name, in the types that the document describes.
    fn sent(&self, uri: &Uri, headers: &HeaderMap) -> Map<String, Value> {
        let query: Vec<(String, String)> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let mut sent = Map::new();
        for parameter in &self.described {
            let name = parameter["name"].as_str().unwrap_or_default();
            let texts: Vec<String> = match parameter["in"].as_str() {
                Some("path") => self.segment(name, uri).into_iter().collect(),
                Some("header") => {
                    let values = headers.get_all(name).iter();
                    values.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
                }
                _ => query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect(),
            };
            let schema = self.resolved(&parameter["schema"]);
            let value = if schema["type"] == "array" {
                let item = self.resolved(&schema["items"]);
                (!texts.is_empty()).then(|| texts.iter().map(|text| typed(text, item)).collect())
            } else {
                texts.first().map(|text| typed(text, schema))
            };
            sent.extend(value.map(|value| (name.to_owned(), value)));
        }
        sent
    }

    /// The part of the path that a path parameter stands for.
    fn segment(&self, name: &str, uri: &Uri) -> Option<String> {
        let template = format!("{{{name}}}");
        let place = self.path.split('/').position(|segment| segment == template)?;
        uri.path().split('/').nth(place).map(str::to_owned)
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        let name = reference.and_then(|reference| reference.rsplit('/').next());
        name.map_or(schema, |name| &self.schema["components"]["schemas"][name])
    }
}

/// The text of a parameter as a value of the type that its schema describes.
fn typed(text: &str, schema: &Value) -> Value {
    let is_text = !["integer", "number", "boolean"].iter().any(|kind| schema["type"] == *kind);
    let value = if is_text { None } else { serde_json::from_str(text).ok() };
    value.unwrap_or_else(|| text.into())
}

/// The first member of a JSON pointer.
fn name(pointer: &str) -> String {
    let first = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
    first.replace("~1", "/").replace("~0", "~")
}
