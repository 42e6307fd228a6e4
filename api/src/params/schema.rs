//! Checks a JSON value against a schema of the document and names every member that does not fit.
//!
//! Covers what poem-openapi writes into schemas, except patterns and exclusive bounds: poem checks those itself when it
//! parses, only without telling where.

use serde_json::{Map, Value};

use crate::problem::FieldError;

/// More errors than these are not listed.
const MAX_ERRORS: usize = 20;

/// What is wrong with `value`; nothing if it fits `schema`, whose references are into `document`.
pub(super) fn check(document: &Value, schema: &Value, value: &Value) -> Vec<FieldError> {
    let mut checker = Checker { document, pointer: String::new(), errors: Vec::new() };
    checker.check(schema, value);
    checker.find_nul(value);
    checker.errors
}

struct Checker<'a> {
    document: &'a Value,
    pointer: String,
    errors: Vec<FieldError>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
            return self.check(target, value);
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for part in array(&schema["allOf"]) {
            self.check(part, value);
        }
        let alternatives = [array(&schema["oneOf"]), array(&schema["anyOf"])].concat();
        if !alternatives.is_empty() && !alternatives.iter().any(|part| self.fits(part, value)) {
            self.fail("invalid", "None of the documented forms.");
        }
        let choices = array(&schema["enum"]);
        match (schema["type"].as_str(), value) {
            (None, _) | (Some("boolean"), Value::Bool(_)) => {}
            (Some("string"), Value::String(text)) => self.check_string(schema, text),
            (Some("integer"), Value::Number(number)) if number.is_i64() || number.is_u64() => {
                self.check_number(schema, value);
            }
            (Some("number"), Value::Number(_)) => self.check_number(schema, value),
            (Some("array"), Value::Array(items)) => self.check_array(schema, items),
            (Some("object"), Value::Object(members)) => self.check_object(schema, members),
            (Some(expected), _) => return self.fail("wrong_type", format!("{} is expected.", with_article(expected))),
        }
        if !choices.is_empty() && !choices.contains(value) {
            let names: Vec<String> = choices.iter().map(Value::to_string).collect();
            self.fail("not_allowed", format!("One of {} is expected.", names.join(", ")));
        }
    }

    fn check_string(&mut self, schema: &Value, text: &str) {
        let length = text.chars().count() as u64;
        if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
            self.fail("too_short", format!("At least {min} characters are expected."));
        }
        if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
            self.fail("too_long", format!("At most {max} characters are allowed."));
        }
        let well_formed = match schema["format"].as_str() {
            Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
            Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
            _ => true,
        };
        if !well_formed {
            self.fail("malformed", format!("A {} is expected.", schema["format"].as_str().unwrap_or_default()));
        }
    }

    fn check_number(&mut self, schema: &Value, value: &Value) {
        let number = value.as_f64().unwrap_or(f64::INFINITY);
        let (lowest, highest) = match schema["format"].as_str() {
            Some("int32") => (f64::from(i32::MIN), f64::from(i32::MAX)),
            Some("uint32") => (0.0, f64::from(u32::MAX)),
            _ => (f64::MIN, f64::MAX),
        };
        let min = schema["minimum"].as_f64().unwrap_or(lowest);
        let max = schema["maximum"].as_f64().unwrap_or(highest);
        if number < min {
            self.fail("too_small", format!("At least {min} is expected."));
        }
        if number > max {
            self.fail("too_large", format!("At most {max} is allowed."));
        }
    }

    fn check_array(&mut self, schema: &Value, items: &[Value]) {
        if let Some(min) = schema["minItems"].as_u64().filter(|min| (items.len() as u64) < *min) {
            self.fail("too_few", format!("At least {min} items are expected."));
        }
        if let Some(max) = schema["maxItems"].as_u64().filter(|max| items.len() as u64 > *max) {
            return self.fail("too_many", format!("At most {max} items are allowed."));
        }
        for (index, item) in items.iter().enumerate() {
            self.within(&index.to_string(), |checker| checker.check(&schema["items"], item));
        }
    }

    fn check_object(&mut self, schema: &Value, members: &Map<String, Value>) {
        for name in array(&schema["required"]).iter().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                self.within(name, |checker| checker.fail("required", "This member is required."));
            }
        }
        for (name, member) in members {
            let rule = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
            match rule {
                Value::Object(_) => self.within(name, |checker| checker.check(rule, member)),
                Value::Bool(false) => self.within(name, |checker| checker.fail("unknown", "There is no such member.")),
                _ => {}
            }
        }
    }

    /// Postgres cannot store U+0000, and nothing that people write has it.
    fn find_nul(&mut self, value: &Value) {
        match value {
            Value::String(text) if text.contains('\0') => {
                self.fail("nul_character", "The character U+0000 is not allowed.");
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.within(&index.to_string(), |checker| checker.find_nul(item));
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    if name.contains('\0') {
                        self.fail("nul_character", "The character U+0000 is not allowed in names.");
                    }
                    self.within(name, |checker| checker.find_nul(member));
                }
            }
            _ => {}
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut trial = Self { document: self.document, pointer: self.pointer.clone(), errors: Vec::new() };
        trial.check(schema, value);
        trial.errors.is_empty()
    }

    fn within(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        work(self);
        self.pointer.truncate(length);
    }

    fn fail(&mut self, code: &'static str, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(FieldError::at(self.pointer.clone(), code, message));
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i', 'o']) { "An" } else { "A" };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(schema: &Value, value: &Value) -> Vec<(String, String)> {
        let errors = check(&Value::Null, schema, value);
        errors.into_iter().map(|error| (error.pointer.unwrap(), error.code.into_owned())).collect()
    }

    #[test]
    fn every_wrong_member_is_named() {
        let schema = json!({
            "type": "object",
            "required": ["name", "age"],
            "properties": {
                "name": {"type": "string", "maxLength": 3},
                "age": {"type": "integer", "minimum": 0},
                "id": {"type": "string", "format": "uuid", "nullable": true},
                "kind": {"type": "string", "enum": ["a", "b"]},
                "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            },
        });
        assert_eq!(wrong(&schema, &json!({"name": "Bob", "age": 3, "id": null, "kind": "a", "tags": ["x"]})), []);
        let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(wrong(&schema, &json!([])), [pair("", "wrong_type")]);
        assert_eq!(wrong(&schema, &json!({"name": "Bobby"})), [pair("/age", "required"), pair("/name", "too_long")]);
        assert_eq!(
            wrong(&schema, &json!({"name": 5, "age": 1.5, "id": "x", "kind": "c", "tags": ["x", 1]})),
            [
                pair("/name", "wrong_type"),
                pair("/age", "wrong_type"),
                pair("/id", "malformed"),
                pair("/kind", "not_allowed"),
                pair("/tags/1", "wrong_type"),
            ]
        );
        assert_eq!(
            wrong(&schema, &json!({"name": null, "age": -1})),
            [pair("/name", "wrong_type"), pair("/age", "too_small")]
        );
    }

    #[test]
    fn nul_is_found_wherever_it_hides() {
        let errors = wrong(&json!({"type": "object"}), &json!({"a/b": ["x\0"], "c\0": 1}));
        assert_eq!(errors.len(), 2);
        assert_eq!(errors[0].0, "/a~1b/0");
    }

    #[test]
    fn the_list_of_errors_is_bounded() {
        let schema = json!({"type": "array", "items": {"type": "string"}});
        assert_eq!(check(&Value::Null, &schema, &json!(vec![1; 1000])).len(), MAX_ERRORS);
    }
}
