//! Names what the document says several times, so that generators make one type or constant of it: choices, and parameters.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{object, object_mut};

/// Moves choices that occur several times to the components. A choice is a schema with an `enum` of several values. One that has no name yet gets that of the component and member,
/// or of the parameter, where it occurs first.
pub(super) fn share_choices(document: &mut Value) {
    let mut names: HashMap<String, String> = HashMap::new();
    for (name, schema) in object(&document["components"]["schemas"]) {
        names.extend(choice(schema).map(|choice| (choice, name.clone())));
    }
    let mut places: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    let mut found = |schema: &Value, name: String| {
        if let Some(choice) = choice(schema) {
            places.entry(choice).or_default().push((name, schema.clone()));
        }
    };
    for (name, schema) in object(&document["components"]["schemas"]) {
        object(&schema["properties"]).for_each(|(member, schema)| found(schema, format!("{name}{}", pascal(member))));
    }
    for (_, operation) in object(&document["paths"]).flat_map(|(_, item)| object(item)) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            found(&parameter["schema"], pascal(parameter["name"].as_str().unwrap_or_default()));
        }
    }
    for (choice, places) in places {
        if let [(name, schema), _, ..] = &places[..]
            && !names.contains_key(&choice)
        {
            let mut schema = schema.clone();
            let members = ["type", "description", "enum"];
            schema.as_object_mut().into_iter().for_each(|schema| schema.retain(|name, _| members.contains(&&**name)));
            document["components"]["schemas"][name] = schema;
            names.insert(choice, name.clone());
        }
    }
    let refer = |schema: &mut Value| {
        let Some(name) = choice(schema).and_then(|choice| names.get(&choice)) else { return };
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        let Some(members) = schema.as_object_mut() else { return };
        members.retain(|name, _| ["description", "nullable"].contains(&&**name));
        if members.is_empty() {
            *schema = reference;
        } else {
            members.insert("allOf".to_owned(), json!([reference]));
        }
    };
    for (_, schema) in object_mut(&mut document["components"]["schemas"]) {
        if schema["properties"].is_object() {
            object_mut(&mut schema["properties"]).for_each(|(_, member)| refer(member));
        }
    }
    for (_, operation) in object_mut(&mut document["paths"]).flat_map(|(_, item)| object_mut(item)) {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        parameters.into_iter().flatten().for_each(|parameter| refer(&mut parameter["schema"]));
    }
}

/// The values of a choice as JSON; `None` if the schema is not one.
fn choice(schema: &Value) -> Option<String> {
    schema["enum"].as_array().filter(|values| values.len() > 1).map(|_| schema["enum"].to_string())
}

/// Moves parameters that occur several times to the components. Of those that have the same name and differ, the most frequent one is shared.
pub(super) fn share_parameters(document: &mut Value) {
    let mut counts: BTreeMap<String, HashMap<String, usize>> = BTreeMap::new();
    for (_, operation) in object(&document["paths"]).flat_map(|(_, item)| object(item)) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = pascal(parameter["name"].as_str().unwrap_or_default());
            *counts.entry(name).or_default().entry(parameter.to_string()).or_default() += 1;
        }
    }
    let mut shared: HashMap<String, Value> = HashMap::new();
    document["components"]["parameters"] = json!({});
    for (name, counts) in counts {
        // The text decides between equals, so that the document is always the same.
        let most = counts.into_iter().max_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        let Some((text, 2..)) = most else { continue };
        document["components"]["parameters"][&name] = serde_json::from_str(&text).unwrap_or_default();
        shared.insert(text, json!({"$ref": format!("#/components/parameters/{name}")}));
    }
    for (_, operation) in object_mut(&mut document["paths"]).flat_map(|(_, item)| object_mut(item)) {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(reference) = shared.get(&parameter.to_string()) {
                *parameter = reference.clone();
            }
        }
    }
}

/// `If-Match` and `tool_type` as `IfMatch` and `ToolType`.
fn pascal(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let capitalised = words.filter_map(|word| {
        let first = word.chars().next()?;
        Some(format!("{}{}", first.to_ascii_uppercase(), &word[1..]))
    });
    capitalised.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_occurs_twice_is_named_once() {
        let state = json!({"type": "string", "enum": ["due", "done"]});
        let limit = json!({"name": "limit", "in": "query", "schema": {"type": "integer"}});
        let other_limit = json!({"name": "limit", "in": "query", "schema": {"type": "string"}});
        let mut document = json!({
            "paths": {"/a": {"get": {"parameters": [limit, {"name": "state", "in": "query", "schema": state}]}},
                      "/b": {"get": {"parameters": [limit]}, "put": {"parameters": [other_limit]}}},
            "components": {"schemas": {"Job": {"properties": {
                "state": {"type": "string", "description": "The state.", "nullable": true, "enum": ["due", "done"]},
            }}}},
        });
        share_choices(&mut document);
        share_parameters(&mut document);
        let expected = json!({
            "paths": {
                "/a": {"get": {"parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "state", "in": "query", "schema": {"$ref": "#/components/schemas/JobState"}},
                ]}},
                "/b": {"get": {"parameters": [{"$ref": "#/components/parameters/Limit"}]},
                       "put": {"parameters": [other_limit]}},
            },
            "components": {
                "schemas": {
                    "Job": {"properties": {"state": {
                        "description": "The state.",
                        "nullable": true,
                        "allOf": [{"$ref": "#/components/schemas/JobState"}],
                    }}},
                    "JobState": {"type": "string", "description": "The state.", "enum": ["due", "done"]},
                },
                "parameters": {"Limit": limit},
            },
        });
        assert_eq!(document, expected);
    }
}
