//! What JSON Schema lets pass although the document says otherwise.

use serde_json::Value;
use uuid::Uuid;

use super::contract::DOCUMENT;

/// The members of `value`, at any depth, that the document does not know, and the values that are beyond their format. Clients
/// ignore members that they do not know, but whatever is sent has to be in the document.
pub(super) fn faults(schema: &'static Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    walk(&[schema], value, "", &mut faults);
    faults
}

fn walk(schemas: &[&'static Value], value: &Value, place: &str, faults: &mut Vec<String>) {
    let parts: Vec<&'static Value> = schemas.iter().flat_map(|schema| parts(schema)).collect();
    match value {
        Value::Object(members) => {
            // Data of any form otherwise.
            if parts.iter().any(|part| part["properties"].is_object()) {
                for (name, member) in members {
                    let known: Vec<_> = parts.iter().filter_map(|part| part["properties"].get(name)).collect();
                    if known.is_empty() {
                        faults.push(format!("{place}/{name} is not in the document"));
                    }
                    walk(&known, member, &format!("{place}/{name}"), faults);
                }
            }
        }
        Value::Array(items) => {
            let of_items: Vec<_> = parts.iter().filter_map(|part| part.get("items")).collect();
            for (index, item) in items.iter().enumerate() {
                walk(&of_items, item, &format!("{place}/{index}"), faults);
            }
        }
        value => {
            let formats = parts.iter().filter_map(|part| part["format"].as_str());
            faults
                .extend(formats.filter(|format| !fits(value, format)).map(|format| format!("{place} is no {format}")));
        }
    }
}

/// The schema without references, and all that it is composed of.
fn parts(schema: &'static Value) -> Vec<&'static Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return parts(DOCUMENT.pointer(&reference[1..]).unwrap());
    }
    let compositions = ["allOf", "anyOf", "oneOf"].iter().filter_map(|name| schema[name].as_array()).flatten();
    std::iter::once(schema).chain(compositions.flat_map(parts)).collect()
}

/// Whether a value has a format that JSON Schema does not know, or does not check.
fn fits(value: &Value, format: &str) -> bool {
    let number = |min: i64, max: i64| value.as_i64().is_none_or(|number| (min..=max).contains(&number));
    match format {
        _ if value.is_null() => true,
        "uuid" => value.as_str().is_none_or(|text| Uuid::try_parse(text).is_ok()),
        "int16" => number(i16::MIN.into(), i16::MAX.into()),
        "int32" => number(i32::MIN.into(), i32::MAX.into()),
        "uint32" => number(0, u32::MAX.into()),
        // A whole number may be written with a point.
        "int64" => value.as_f64().is_none_or(|number| number.abs() < 9.3e18),
        "uint64" => value.as_f64().is_none_or(|number| (0.0..1.9e19).contains(&number)),
        _ => true,
    }
}
