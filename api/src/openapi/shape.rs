//! The document in the shape that generators of clients and Swagger UI understand best. Everything here holds for every
//! operation, those to come included.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::json::{object, object_mut};
use crate::operation::TAG_GROUPS;

/// How events are sent, which no schema can say.
const EVENT_STREAM: &str = "\
The schema is that of the `data` of one event, which is JSON on one line. Each event is sent as

```text
id: 7
event: the name of the event
data: {\"text\": \"Use a grid with \"}

```

and ends with an empty line; a line that begins with a colon is a comment. The `EventSource` of browsers cannot send the \
header `Authorization`: read the body of `fetch` with a parser of event streams.";

/// Shapes the whole document.
pub(super) fn shape(document: &mut Value) {
    // poem writes 3.0.0. The corrections since concern the specification's words.
    document["openapi"] = "3.0.3".into();
    document["info"]["contact"] = json!({"name": "The Cairn authors"});
    document["info"]["license"] = json!({"name": env!("CARGO_PKG_LICENSE"), "url": "https://spdx.org/licenses/"});
    document["servers"] = json!([{
        "url": "/",
        "description": "The server that this document comes from, in production as locally.",
        "x-internal": false,
    }]);
    order_tags(document);
    drop_unused_responses(document);
    let schemas = document["components"]["schemas"].clone();
    for (_, schema) in object_mut(&mut document["components"]["schemas"]) {
        give_types(schema, &schemas);
    }
    describe_successes(document);
}

/// Tags in the order in which people read them, in groups for whom they are.
fn order_tags(document: &mut Value) {
    let order: Vec<&str> = TAG_GROUPS.iter().flat_map(|(_, tags)| *tags).map(poem_openapi::Tags::name).collect();
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.sort_by_key(|tag| order.iter().position(|name| tag["name"] == *name));
    }
    let groups = TAG_GROUPS.iter().map(|(name, tags)| {
        let tags: Vec<&str> = tags.iter().map(poem_openapi::Tags::name).collect();
        json!({"name": name, "tags": tags})
    });
    document["x-tagGroups"] = groups.collect();
}

/// What is said of a referenced schema stands beside the reference. poem says it a second time as a schema of its own,
/// which makes an unknown type of a known one.
pub(super) fn single_references(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(single_references),
        Value::Object(members) => {
            if let Some(Value::Array(parts)) = members.get_mut("allOf")
                && parts.len() == 2
                && parts[0]["$ref"].is_string()
                && parts[1]
                    .as_object()
                    .is_some_and(|part| !part.contains_key("$ref") && !part.contains_key("properties"))
                && let Some(Value::Object(rest)) = parts.pop()
            {
                members.extend(rest);
            }
            members.values_mut().for_each(single_references);
        }
        _ => {}
    }
}

/// Leaves out the responses that no operation refers to, because their codes are part of other responses.
fn drop_unused_responses(document: &mut Value) {
    let mut used = BTreeSet::new();
    for (_, item) in object(&document["paths"]) {
        for (_, operation) in object(item) {
            let references = object(&operation["responses"]).filter_map(|(_, response)| response["$ref"].as_str());
            used.extend(references.filter_map(|reference| reference.rsplit('/').next()).map(str::to_owned));
        }
    }
    if let Some(responses) = document["components"]["responses"].as_object_mut() {
        responses.retain(|name, _| used.contains(name));
    }
}

/// OpenAPI 3.0 knows `nullable` beside a `type` alone: a member that refers to a schema has the type of that, and a member
/// of any type may be null anyway.
fn give_types(schema: &mut Value, schemas: &Value) {
    for (name, member) in object_mut(schema) {
        match name.as_str() {
            "properties" => object_mut(member).for_each(|(_, property)| give_types(property, schemas)),
            "items" => give_types(member, schemas),
            "allOf" | "anyOf" | "oneOf" => {
                member.as_array_mut().into_iter().flatten().for_each(|part| give_types(part, schemas));
            }
            _ => {}
        }
    }
    let referred = schema["allOf"][0]["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let kind = referred.map(|name| schemas[name]["type"].clone()).unwrap_or_default();
    let Some(members) = schema.as_object_mut() else { return };
    if members.get("nullable") == Some(&true.into()) && !members.contains_key("type") {
        match kind {
            Value::Null => members.shift_remove("nullable"),
            kind => members.insert("type".to_owned(), kind),
        };
    }
}

/// A success that has no words of its own is described by what it contains.
fn describe_successes(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for (_, item) in object_mut(&mut document["paths"]) {
        for (_, operation) in object_mut(item) {
            for (_, response) in object_mut(&mut operation["responses"]) {
                if !response["content"]["text/event-stream"].is_null() {
                    let description = response["description"].as_str().unwrap_or_default();
                    response["description"] = format!("{description}\n\n{EVENT_STREAM}").into();
                }
                if response["description"] == "" {
                    let schema = &response["content"]["application/json"]["schema"];
                    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
                    let description = name.and_then(|name| schemas[name]["description"].as_str());
                    let first = description.and_then(|text| text.lines().next()).unwrap_or("What was asked for.");
                    response["description"] = first.into();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_null_has_a_type() {
        let schemas = json!({"Kind": {"type": "string", "enum": ["a"]}});
        let kind = json!({"$ref": "#/components/schemas/Kind"});
        let mut schema = json!({"properties": {
            "kind": {"allOf": [kind], "nullable": true},
            "any": {"description": "Anything.", "nullable": true},
            "text": {"type": "string", "nullable": true},
        }});
        give_types(&mut schema, &schemas);
        let expected = json!({"properties": {
            "kind": {"allOf": [kind], "nullable": true, "type": "string"},
            "any": {"description": "Anything."},
            "text": {"type": "string", "nullable": true},
        }});
        assert_eq!(schema, expected);
    }

    #[test]
    fn what_is_said_of_a_reference_stands_beside_it() {
        let part = json!({"$ref": "#/components/schemas/Part"});
        let mut schema = json!({"properties": {
            "part": {"description": "A part.", "allOf": [part, {"description": "A part."}]},
            "both": {"allOf": [part, {"properties": {}}]},
        }});
        single_references(&mut schema);
        let expected = json!({"properties": {
            "part": {"description": "A part.", "allOf": [part]},
            "both": {"allOf": [part, {"properties": {}}]},
        }});
        assert_eq!(schema, expected);
    }
}
