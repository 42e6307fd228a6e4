//! The document in the shape that generators of clients and Swagger UI understand best. Everything here holds for every
//! operation, those to come included.

use serde_json::{Value, json};

use super::json::object_mut;
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
    document["info"]["license"] = json!({"name": env!("CARGO_PKG_LICENSE")});
    document["servers"] = json!([{"url": "/", "description": "The server that this document comes from."}]);
    order_tags(document);
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
