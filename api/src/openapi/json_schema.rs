//! The document's schemas as JSON Schema says them.

use serde_json::{Map, Value, json};

/// OpenAPI 3.0 says `nullable` and boolean exclusive bounds where JSON Schema says otherwise. References to components
/// stay as they are.
pub(super) fn convert(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(convert),
        Value::Object(members) => {
            members.values_mut().for_each(convert);
            for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
                if members.get(exclusive).is_some_and(Value::is_boolean)
                    && members.remove(exclusive) == Some(true.into())
                    && let Some(limit) = members.remove(bound)
                {
                    members.insert(exclusive.to_owned(), limit);
                }
            }
            if members.get("nullable").is_some_and(Value::is_boolean) && members.remove("nullable") == Some(true.into())
            {
                let inner = Value::Object(std::mem::take(members));
                *members = Map::from_iter([("anyOf".to_owned(), json!([inner, {"type": "null"}]))]);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openapi_says_otherwise_is_converted() {
        let mut schema = json!({"properties": {
            "share": {"type": "number", "minimum": 0.0, "exclusiveMinimum": true, "maximum": 1.0, "exclusiveMaximum": false},
            "part": {"allOf": [{"$ref": "#/components/schemas/Part"}], "nullable": true},
            "nullable": {"type": "string", "nullable": false},
        }});
        convert(&mut schema);
        let expected = json!({"properties": {
            "share": {"type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0},
            "part": {"anyOf": [{"allOf": [{"$ref": "#/components/schemas/Part"}]}, {"type": "null"}]},
            "nullable": {"type": "string"},
        }});
        assert_eq!(schema, expected);
    }
}
