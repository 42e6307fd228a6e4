//! What the document says of request bodies: that they have no other members, and the schemas to check them against.

use std::collections::{BTreeSet, HashMap};

use cairn_core::schema::Schema;
use serde_json::{Map, Value, json};

use super::{json_schema, object};

/// Says of objects that only requests use that they have no other members, and of objects that only answers use that they
/// have all of theirs. Those of answers stay open: they may grow.
pub(super) fn close(document: &mut Value) {
    let (mut sent, mut answered, mut composed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let schemas = &document["components"]["schemas"];
    for operation in operations(document) {
        refer(&operation["requestBody"], schemas, &mut sent);
        refer(&operation["responses"], schemas, &mut answered);
    }
    for (_, response) in object(&document["components"]["responses"]) {
        refer(response, schemas, &mut answered);
    }
    // A part of a composition that were closed would refuse the members of the other parts.
    for name in &sent {
        compose(&schemas[name], &mut composed);
    }
    // What only answers contain is always sent, null included.
    for name in
        answered.iter().filter(|name| !sent.contains(*name) && !["Problem", "FieldError"].contains(&name.as_str()))
    {
        let schema = &mut document["components"]["schemas"][name];
        if let Some(properties) = schema["properties"].as_object() {
            schema["required"] = properties.keys().cloned().collect();
        }
    }
    for name in sent.iter().filter(|name| !answered.contains(*name) && !composed.contains(*name)) {
        let schema = &mut document["components"]["schemas"][name];
        if schema["type"] == "object" && schema["properties"].is_object() && schema["additionalProperties"].is_null() {
            schema["additionalProperties"] = false.into();
        }
    }
}

/// The compiled schemas of all bodies, by what the operation says of its body, as JSON.
pub(super) fn compile(document: &Value) -> HashMap<String, Schema> {
    let schemas = &document["components"]["schemas"];
    let mut compiled = HashMap::new();
    for operation in operations(document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if body.is_null() {
            continue;
        }
        let mut names = BTreeSet::new();
        refer(body, schemas, &mut names);
        let needed: Map<String, Value> = names.into_iter().map(|name| (name.clone(), schemas[&name].clone())).collect();
        let mut schema = json!({"allOf": [body], "components": {"schemas": needed}});
        json_schema::convert(&mut schema);
        // A test holds that none fails.
        compiled.extend(Schema::new(schema).ok().map(|schema| (body.to_string(), schema)));
    }
    compiled
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    object(&document["paths"]).flat_map(|(_, item)| object(item)).map(|(_, operation)| operation)
}

/// Adds the names of the schemas that `value` refers to, directly or through others.
pub(super) fn refer(value: &Value, schemas: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| refer(item, schemas, names)),
        Value::Object(members) => {
            if let Some(name) = name(value)
                && names.insert(name.to_owned())
            {
                refer(&schemas[name], schemas, names);
            }
            members.values().for_each(|member| refer(member, schemas, names));
        }
        _ => {}
    }
}

/// Adds the names of the schemas that are parts of a composition of several within `value`.
fn compose(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| compose(item, names)),
        Value::Object(members) => {
            let parts = members.get("allOf").and_then(Value::as_array).filter(|parts| parts.len() > 1);
            names.extend(parts.into_iter().flatten().filter_map(name).map(str::to_owned));
            members.values().for_each(|member| compose(member, names));
        }
        _ => {}
    }
}

fn name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

#[cfg(test)]
mod tests {
    use cairn_core::schema::Json;

    use super::*;
    use crate::openapi::CONTRACT;

    #[test]
    fn every_body_has_a_compiled_schema() {
        for operation in operations(&CONTRACT.document).filter(|operation| operation["requestBody"].is_object()) {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert!(CONTRACT.bodies.contains_key(&schema.to_string()), "{} {schema}", operation["operationId"]);
        }
    }

    #[test]
    fn bodies_are_checked_as_openapi_describes_them() {
        let schema = json!({"$ref": "#/components/schemas/New"});
        let mut document = json!({
            "paths": {"/": {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}},
            "components": {"schemas": {"New": {
                "type": "object",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string", "minLength": 1},
                    "slug": {"type": "string", "pattern": "^[a-z]+$", "nullable": true},
                    "share": {"type": "number", "minimum": 0.0, "exclusiveMinimum": true, "nullable": true},
                    "count": {"type": "integer", "format": "int32"},
                },
            }}},
        });
        close(&mut document);
        let compiled = compile(&document);
        let check = |body: &str| {
            let faults = compiled[&schema.to_string()].check(&Json::parse(body.as_bytes()).unwrap()).into_iter();
            faults
                .map(|fault| format!("{} {}: {}", fault.pointer, fault.code.name(), fault.message))
                .collect::<Vec<_>>()
        };
        assert_eq!(check(r#"{"title": "x", "slug": null, "share": 0.5, "count": 2147483647}"#), [""; 0]);
        assert_eq!(
            check(r#"{"slug": "A", "share": 0, "titel": 1, "count": 1e10}"#),
            [
                "/title required: This member is required.",
                "/slug malformed: Text that matches ^[a-z]+$ is expected.",
                "/share too_small: More than 0 is expected.",
                "/titel unknown: There is no such member; is title meant?",
                "/count too_large: At most 2147483647 is allowed.",
            ]
        );
    }

    #[test]
    fn objects_of_requests_alone_are_closed() {
        let to = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let content = |name: &str| json!({"content": {"application/json": {"schema": to(name)}}});
        let object = |properties: Value| json!({"type": "object", "properties": properties});
        let mut document = json!({
            "paths": {"/": {"post": {
                "requestBody": content("New"),
                "responses": {"201": content("Made")},
            }}},
            "components": {"schemas": {
                "New": object(json!({"part": to("Part"), "shared": {"allOf": [to("Shared")]}, "kind": to("Kind")})),
                "Part": object(json!({"either": {"oneOf": [{"allOf": [object(json!({})), to("Composed")]}]}})),
                "Composed": object(json!({})),
                "Kind": {"type": "string"},
                "Shared": object(json!({})),
                "Made": object(json!({"shared": to("Shared")})),
            }},
        });
        close(&mut document);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let closed: Vec<&str> =
            schemas.iter().filter(|(_, s)| s["additionalProperties"] == false).map(|(n, _)| n.as_str()).collect();
        assert_eq!(closed, ["New", "Part"]);
    }
}
