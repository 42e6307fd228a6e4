//! Checks a document against the published schema, and says where it departs from it. Understands the part of JSON
//! Schema that our own schema uses; a test fails when it starts to use more.

use serde_json::{Map, Value as Json};

use super::document::schema;
use super::node::{At, Key, Node, Problem, Value};
use super::values::{COLOR_PATTERN, SLUG_PATTERN, URL_PATTERN};

/// Every way in which the document departs from the schema, in no particular order.
pub(super) fn check(document: &Node) -> Vec<Problem> {
    let schema = schema();
    let mut checker = Checker { definitions: schema.get("$defs"), problems: Vec::new() };
    checker.node(document, &schema, "the document");
    checker.problems
}

struct Checker<'a> {
    definitions: Option<&'a Json>,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn refuse(&mut self, at: At, message: String) {
        self.problems.push(at.problem(message));
    }

    /// `name` is what messages call the node: the key it stands under.
    fn node(&mut self, node: &Node, schema: &'a Json, name: &str) {
        let schema = self.resolve(schema);
        // What may be left out may also be null.
        if let Some(alternatives) = schema.get("anyOf").and_then(Json::as_array) {
            if !matches!(node.value, Value::Null)
                && let Some(schema) = alternatives.iter().find(|schema| schema["type"] != "null")
            {
                self.node(node, schema, name);
            }
            return;
        }
        match (expected_type(schema), &node.value) {
            ("object", Value::Object(entries)) => self.object(node.at, entries, schema, name),
            ("array", Value::List(items)) => self.list(node.at, items, schema, name),
            ("string", Value::Text(text)) => self.text(node.at, text, schema, name),
            ("integer", Value::Integer(number)) => self.integer(node.at, *number, schema, name),
            ("boolean", Value::Bool(_)) => {}
            (expected, value) => {
                self.refuse(node.at, format!("{name} must be {}{}", in_words(expected), remark(expected, value)));
            }
        }
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        name.and_then(|name| self.definitions?.get(name)).unwrap_or(schema)
    }

    fn object(&mut self, at: At, entries: &[(Key, Node)], schema: &'a Json, name: &str) {
        let properties = schema.get("properties").and_then(Json::as_object);
        for (index, (key, node)) in entries.iter().enumerate() {
            if entries[..index].iter().any(|(earlier, _)| earlier.name == key.name) {
                self.refuse(key.at, format!("{} is given twice", shown(&key.name)));
            }
            if let Some(schema) = properties.and_then(|properties| properties.get(&key.name)) {
                self.node(node, schema, &key.name);
            } else {
                let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                self.refuse(key.at, format!("{} is not known here; known are {}", shown(&key.name), known.join(", ")));
            }
        }
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|(key, _)| key.name == required) {
                self.refuse(at, format!("{required} is missing in {name}"));
            }
        }
    }

    fn list(&mut self, at: At, items: &[Node], schema: &'a Json, name: &str) {
        if let Some(most) = bound(schema, "maxItems").filter(|most| items.len() as u64 > *most) {
            self.refuse(at, format!("{name} has {} items: at most {most}", items.len()));
        }
        if let Some(schema) = schema.get("items") {
            for item in items {
                self.node(item, schema, &format!("an item of {name}"));
            }
        }
    }

    fn text(&mut self, at: At, text: &str, schema: &Json, name: &str) {
        if text.contains('\0') {
            self.refuse(at, format!("{name} contains a NUL character"));
        }
        if let Some(allowed) = schema.get("enum").and_then(Json::as_array) {
            let allowed: Vec<&str> = allowed.iter().filter_map(Json::as_str).collect();
            if !allowed.contains(&text) {
                self.refuse(at, format!("{name} is {}: use one of {}", shown(text), allowed.join(", ")));
            }
            return;
        }
        let length = text.chars().count() as u64;
        if let Some(least) = bound(schema, "minLength").filter(|least| length < *least) {
            let empty = if length == 0 { "empty".to_owned() } else { format!("{length} characters long") };
            self.refuse(at, format!("{name} is {empty}: at least {least}"));
        }
        if let Some(most) = bound(schema, "maxLength").filter(|most| length > *most) {
            self.refuse(at, format!("{name} is {length} characters long: at most {most}"));
        }
        if let Some((_, _, expected)) =
            PATTERNS.iter().find(|(pattern, matches, _)| schema["pattern"] == *pattern && !matches(text))
        {
            self.refuse(at, format!("{name} is {}: {expected}", shown(text)));
        }
    }

    fn integer(&mut self, at: At, number: i64, schema: &Json, name: &str) {
        let limit = |key: &str| schema.get(key).and_then(Json::as_i64);
        if let Some(least) = limit("minimum").filter(|least| number < *least) {
            self.refuse(at, format!("{name} is {number}: at least {least}"));
        }
        if let Some(most) = limit("maximum").filter(|most| number > *most) {
            self.refuse(at, format!("{name} is {number}: at most {most}"));
        }
    }
}

type Pattern = (&'static str, fn(&str) -> bool, &'static str);

/// The patterns that the schema uses, what they mean, and what to say.
const PATTERNS: [Pattern; 3] = [
    (SLUG_PATTERN, is_slug, "a slug is lower-case letters and digits, joined by single hyphens"),
    (URL_PATTERN, is_url, "an address starts with http:// or https:// and has no spaces"),
    (COLOR_PATTERN, is_color, "a colour is # and six digits from 0-9 and a-f, in quotes"),
];

fn is_slug(text: &str) -> bool {
    text.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| {
        digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn expected_type(schema: &Json) -> &str {
    schema.get("type").and_then(Json::as_str).unwrap_or("anything")
}

fn in_words(expected: &str) -> &str {
    match expected {
        "object" => "an object with keys",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        other => other,
    }
}

/// YAML guesses types; say how to make it a text.
fn remark(expected: &str, value: &Value) -> &'static str {
    match value {
        Value::Null => ", but nothing is given",
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) if expected == "string" => ": put it in quotes",
        _ => "",
    }
}

fn bound(schema: &Json, key: &str) -> Option<u64> {
    schema.get(key).and_then(Json::as_u64)
}

/// A text of the document as messages show it: quoted, in one line, not too long.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(60).collect();
    format!("{start:?}{}", if chars.next().is_some() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`Checker`] understands, or may pass over.
    const KEYWORDS: [&str; 19] = [
        "$schema",
        "$defs",
        "$ref",
        "title",
        "description",
        "default",
        "format",
        "anyOf",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "maxItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "enum",
    ];

    fn walk(schema: &Json) {
        for (key, value) in schema.as_object().unwrap() {
            match key.as_str() {
                "properties" | "$defs" => value.as_object().unwrap().values().for_each(walk),
                "items" => walk(value),
                "anyOf" => {
                    let alternatives = value.as_array().unwrap();
                    assert_eq!(alternatives.len(), 2, "{schema}");
                    assert!(alternatives.iter().any(|schema| schema["type"] == "null"), "{schema}");
                    alternatives.iter().for_each(walk);
                }
                "additionalProperties" => assert_eq!(value, false),
                "type" => assert!(value.is_string(), "{schema}"),
                "pattern" => {
                    assert!(PATTERNS.iter().any(|(pattern, _, _)| value == pattern), "{value} is not enforced");
                }
                key => assert!(KEYWORDS.contains(&key), "the schema uses `{key}`, which nothing enforces: {schema}"),
            }
        }
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
    }

    #[test]
    fn everything_the_schema_says_is_enforced() {
        walk(&schema());
    }

    #[test]
    fn patterns_mean_what_they_say() {
        for (text, slug) in [
            ("a-b2", true),
            ("2026", true),
            ("a--b", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("", false),
            ("é", false),
        ] {
            assert_eq!(is_slug(text), slug, "{text}");
        }
        for (text, url) in [
            ("https://a", true),
            ("http://a/b?c", true),
            ("https://", false),
            ("ftp://a", false),
            ("https://a b", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(is_url(text), url, "{text}");
        }
        for (text, color) in
            [("#00ff99", true), ("#00FF99", false), ("#00ff9", false), ("00ff99", false), ("#00ff9g", false)]
        {
            assert_eq!(is_color(text), color, "{text}");
        }
    }
}
