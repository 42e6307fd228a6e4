//! The document as OpenAPI 3.1, whose schemas are JSON Schema. It is derived from the other one, so both say the same.

use serde_json::{Map, Value, json};

use super::json::object_mut;
use super::samples;

/// The document as OpenAPI 3.1, with samples of code, which people read and generators do not need.
pub(super) fn derive(document: &Value) -> Value {
    let mut derived = document.clone();
    samples::add(&mut derived);
    derived["openapi"] = "3.1.0".into();
    // An expression of SPDX, which 3.0 has no place for.
    derived["info"]["license"] = json!({
        "name": document["info"]["license"]["name"],
        "identifier": document["info"]["license"]["name"],
    });
    for (_, schema) in object_mut(&mut derived["components"]["schemas"]) {
        convert(schema);
    }
    for (name, components) in object_mut(&mut derived["components"]) {
        if name != "schemas" {
            convert_within(components);
        }
    }
    convert_within(&mut derived["paths"]);
    derived
}

/// Converts the schemas below something that is not a schema itself.
fn convert_within(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(convert_within),
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "schema" => convert(member),
                    "example" | "examples" => {}
                    _ => convert_within(member),
                }
            }
        }
        _ => {}
    }
}

/// Converts a schema and those that it contains.
fn convert(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    for (name, member) in members.iter_mut() {
        match name.as_str() {
            "properties" => object_mut(member).for_each(|(_, property)| convert(property)),
            "items" | "additionalProperties" | "not" => convert(member),
            "allOf" | "anyOf" | "oneOf" => member.as_array_mut().into_iter().flatten().for_each(convert),
            _ => {}
        }
    }
    if let Some(example) = members.shift_remove("example") {
        members.insert("examples".to_owned(), json!([example]));
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if members.get(exclusive).is_some_and(Value::is_boolean)
            && members.shift_remove(exclusive) == Some(true.into())
            && let Some(limit) = members.shift_remove(bound)
        {
            members.insert(exclusive.to_owned(), limit);
        }
    }
    let nullable = members.shift_remove("nullable") == Some(true.into());
    place_reference(members, nullable);
    if nullable {
        allow_null(members);
    }
}

/// A reference may have neighbours in 3.1, so it needs no `allOf` around it, unless null is another possibility.
fn place_reference(members: &mut Map<String, Value>, nullable: bool) {
    let parts = members.get("allOf").and_then(Value::as_array);
    let Some([part]) = parts.map(Vec::as_slice) else { return };
    let part = part.clone();
    members.shift_remove("allOf");
    members.shift_remove("type");
    if nullable {
        members.insert("anyOf".to_owned(), json!([part, {"type": "null"}]));
    } else if let Value::Object(part) = part {
        members.extend(part);
    }
}

fn allow_null(members: &mut Map<String, Value>) {
    if let Some(kind) = members.get_mut("type").filter(|kind| kind.is_string()) {
        *kind = json!([kind, "null"]);
    }
    if let Some(Value::Array(choices)) = members.get_mut("enum") {
        choices.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_those_of_json_schema() {
        let part = json!({"$ref": "#/components/schemas/Part"});
        let mut schema = json!({"type": "object", "properties": {
            "share": {"type": "number", "minimum": 0.0, "exclusiveMinimum": true, "maximum": 1.0, "nullable": true},
            "part": {"type": "object", "description": "A part.", "allOf": [part], "nullable": true},
            "other": {"description": "Another part.", "allOf": [part]},
            "kind": {"type": "string", "enum": ["a", "b"], "nullable": true},
            "example": {"type": "array", "items": {"type": "string", "nullable": true}},
        }, "example": {"nullable": true}});
        convert(&mut schema);
        let expected = json!({"type": "object", "properties": {
            "share": {"type": ["number", "null"], "exclusiveMinimum": 0.0, "maximum": 1.0},
            "part": {"description": "A part.", "anyOf": [part, {"type": "null"}]},
            "other": {"description": "Another part.", "$ref": "#/components/schemas/Part"},
            "kind": {"type": ["string", "null"], "enum": ["a", "b", null]},
            "example": {"type": "array", "items": {"type": ["string", "null"]}},
        }, "examples": [{"nullable": true}]});
        assert_eq!(schema, expected);
    }

    #[test]
    fn nothing_of_the_other_version_is_left() {
        fn search(value: &Value, path: &str) {
            match value {
                Value::Array(items) => items.iter().for_each(|item| search(item, path)),
                Value::Object(members) => {
                    for (name, member) in members {
                        let of_old = name == "nullable" || name.starts_with("exclusive") && member.is_boolean();
                        assert!(!of_old, "{path} has {name}");
                        search(member, &format!("{path}/{name}"));
                    }
                }
                _ => {}
            }
        }
        let derived = derive(&crate::openapi::CONTRACT.document);
        search(&derived["paths"], "paths");
        search(&derived["components"], "components");
    }
}
