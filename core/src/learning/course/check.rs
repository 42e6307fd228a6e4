//! Checks a document against the published schema and reports where in the file it violates it.

use std::sync::LazyLock;

use super::document::schema;
use super::node::{At, Located, Node, Problem};
use crate::Result;
use crate::schema::{FaultCode, Json, Schema};

static SCHEMA: LazyLock<Result<Schema>> = LazyLock::new(|| Schema::new(schema()).map(Schema::allowing_later_controls));

/// Returns the first violations of the schema; `json` is the same document.
pub(super) fn check(document: &Node, json: &Json) -> Vec<Problem> {
    let schema = match &*SCHEMA {
        Ok(schema) => schema,
        Err(error) => return vec![document.at.problem(error.to_string())],
    };
    let faults = schema.check(json).into_iter();
    faults
        .map(|fault| {
            let Located { at, key, name } = document.locate(&fault.pointer);
            let at: At = if matches!(fault.code, FaultCode::Unknown | FaultCode::Duplicate) { key } else { at };
            at.problem(format!("{}: {}", in_one_line(&name), fault.message))
        })
        .collect()
}

fn in_one_line(name: &str) -> String {
    if name.contains(char::is_control) || name.chars().count() > MAX_SHOWN { shown(name) } else { name.to_owned() }
}

const MAX_SHOWN: usize = 60;

/// Formats a text of the document for a message: quoted, on one line, and truncated.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MAX_SHOWN).collect();
    format!("{start:?}{}", if chars.next().is_some() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn every_object_is_closed(schema: &Value) {
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
        let parts: Vec<&Value> = match schema {
            Value::Array(items) => items.iter().collect(),
            Value::Object(members) => members.values().collect(),
            _ => Vec::new(),
        };
        parts.into_iter().for_each(every_object_is_closed);
    }

    #[test]
    fn the_schema_compiles_and_lets_nothing_unknown_pass() {
        assert!(SCHEMA.is_ok(), "{SCHEMA:?}");
        every_object_is_closed(&schema());
    }
}
