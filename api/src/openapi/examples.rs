//! Gives every object of the document an example: parts take theirs from the example of what they are part of, and
//! what has none itself is put together from its parts.

use serde_json::{Map, Value};

use super::json::object;

/// Adds the examples that follow from others, until none does.
pub(super) fn spread(schemas: &mut Value) {
    loop {
        let mut found = found_in_parents(schemas);
        found.extend(composed_of_parts(schemas));
        if found.is_empty() {
            return;
        }
        for (name, example) in found {
            schemas[&name]["example"] = example;
        }
    }
}

/// Examples of parts, taken from the examples of what they are part of.
fn found_in_parents(schemas: &Value) -> Map<String, Value> {
    let mut found = Map::new();
    for (_, parent) in object(schemas) {
        for (name, property) in object(&parent["properties"]) {
            let (reference, example) = match reference(property) {
                Some(reference) => (reference, &parent["example"][name]),
                None => match reference(&property["items"]) {
                    Some(reference) => (reference, &parent["example"][name][0]),
                    None => continue,
                },
            };
            if example.is_object() && lacks_example(&schemas[reference]) {
                found.insert(reference.to_owned(), example.clone());
            }
        }
    }
    found
}

/// Examples of objects all of whose required members have one, and of those that are one of several objects.
fn composed_of_parts(schemas: &Value) -> Map<String, Value> {
    let lacking = object(schemas).filter(|(_, schema)| lacks_example(schema));
    lacking.filter_map(|(name, schema)| Some((name.clone(), composed(schema, schemas)?))).collect()
}

fn composed(schema: &Value, schemas: &Value) -> Option<Value> {
    if let Some(first) = schema["oneOf"].get(0) {
        return example_of(first, schemas);
    }
    let mut example = Map::new();
    for (name, property) in object(&schema["properties"]) {
        let value = if property["nullable"] == true { Some(Value::Null) } else { example_of(property, schemas) };
        example.insert(name.clone(), value?);
    }
    Some(Value::Object(example))
}

fn example_of(schema: &Value, schemas: &Value) -> Option<Value> {
    let schema = resolved(schema, schemas);
    let own = [&schema["example"], &schema["enum"][0]].into_iter().find(|value| !value.is_null());
    own.cloned().or_else(|| merged(schema["allOf"].as_array()?, schemas)).or_else(|| {
        let items = schema.get("items")?;
        Some(Value::Array(vec![example_of(items, schemas)?]))
    })
}

/// The members of all parts.
fn merged(parts: &[Value], schemas: &Value) -> Option<Value> {
    let mut example = Map::new();
    for part in parts {
        let part = example_of(part, schemas).or_else(|| composed(resolved(part, schemas), schemas))?;
        example.extend(part.as_object()?.clone());
    }
    Some(Value::Object(example))
}

fn lacks_example(schema: &Value) -> bool {
    schema["type"] == "object" && schema["example"].is_null()
}

fn resolved<'a>(schema: &'a Value, schemas: &'a Value) -> &'a Value {
    reference(schema).map_or(schema, |name| &schemas[name])
}

/// The name of the schema that is referred to, directly or as one that may be null.
fn reference(schema: &Value) -> Option<&str> {
    let reference = schema["$ref"].as_str().or(schema["allOf"][0]["$ref"].as_str())?;
    reference.strip_prefix("#/components/schemas/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn examples_come_from_parents_and_parts() {
        let mut schemas = json!({
            "Page": {"type": "object", "properties": {
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                "next_cursor": {"type": "string", "nullable": true},
            }},
            "Item": {
                "type": "object",
                "properties": {"part": {"allOf": [{"$ref": "#/components/schemas/Part"}], "nullable": true}},
                "example": {"part": {"id": 1}},
            },
            "Part": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "Alone": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "Either": {"type": "object", "oneOf": [{"$ref": "#/components/schemas/Tagged"}]},
            "Tagged": {"allOf": [
                {"type": "object", "required": ["type"], "properties": {"type": {"type": "string", "enum": ["part"]}}},
                {"$ref": "#/components/schemas/Part"},
            ]},
        });
        spread(&mut schemas);
        assert_eq!(schemas["Part"]["example"], json!({"id": 1}));
        assert_eq!(schemas["Page"]["example"], json!({"items": [{"part": {"id": 1}}], "next_cursor": null}));
        assert_eq!(schemas["Either"]["example"], json!({"type": "part", "id": 1}));
        assert!(schemas["Alone"]["example"].is_null());
    }
}
