//! What messages say of types, formats, patterns and bounds.

use jsonschema::JsonType;
use jsonschema::error::TypeKind;
use serde_json::Value;

/// What a slug looks like.
pub const SLUG_PATTERN: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";
/// What a web address looks like.
pub const URL_PATTERN: &str = r"^https?://\S+$";
/// What a colour looks like.
pub const COLOR_PATTERN: &str = "^#[0-9a-f]{6}$";

const URL_WORDS: &str = "An address that starts with http:// or https:// and has no spaces is expected.";

/// Patterns and what messages say instead of them.
const PATTERNS: [(&str, &str); 4] = [
    (SLUG_PATTERN, "Lower-case letters a-z and digits, joined by single hyphens, are expected."),
    (URL_PATTERN, URL_WORDS),
    (r"^https?://[^\s]+$", URL_WORDS),
    (COLOR_PATTERN, "A colour is expected: # and six digits from 0-9 and a-f."),
];

pub(super) fn pattern(pattern: &str) -> String {
    let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
    known.map_or_else(|| format!("Text that matches {pattern} is expected."), |(_, words)| (*words).to_owned())
}

pub(super) fn format(format: &str) -> String {
    let expected = match format {
        "uuid" => "A UUID, such as 0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d05,",
        "date-time" => "A time as in RFC 3339, such as 2026-03-01T12:00:00Z,",
        "date" => "A date, such as 2026-03-01,",
        "uri" => "A URI",
        "email" => "An email address",
        other => return format!("The format {other} is expected."),
    };
    format!("{expected} is expected.")
}

/// The names of types, without null where there is another.
pub(super) fn types(kind: &TypeKind) -> Vec<JsonType> {
    match kind {
        TypeKind::Single(kind) => vec![*kind],
        TypeKind::Multiple(kinds) => kinds.iter().filter(|kind| *kind != JsonType::Null).collect(),
    }
}

pub(super) fn wrong_type(expected: &[JsonType], value: &Value) -> String {
    let mut words: Vec<&str> = expected.iter().copied().map(in_words).collect();
    words.dedup();
    let hint = match value {
        Value::Null => ", not null",
        Value::Bool(_) | Value::Number(_) if expected == [JsonType::String] => "; put it in quotes",
        _ => "",
    };
    sentence(&format!("{} is expected{hint}.", words.join(" or ")))
}

fn in_words(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

fn sentence(words: &str) -> String {
    let (first, rest) = words.split_at(1);
    format!("{}{rest}", first.to_ascii_uppercase())
}

/// A bound of a schema, which poem writes as a float whatever the type.
pub(super) fn bound(limit: &Value) -> String {
    if limit.is_f64() { limit.as_f64().unwrap_or_default().to_string() } else { limit.to_string() }
}

pub(super) fn at_least(count: u64, thing: &str) -> String {
    if count == 1 {
        format!("At least 1 {thing} is expected.")
    } else {
        format!("At least {count} {thing}s are expected.")
    }
}

pub(super) fn at_most(count: u64, thing: &str) -> String {
    if count == 1 { format!("At most 1 {thing} is allowed.") } else { format!("At most {count} {thing}s are allowed.") }
}

pub(super) fn one_of(choices: &Value) -> String {
    let choices: Vec<String> =
        choices.as_array().into_iter().flatten().filter(|choice| !choice.is_null()).map(Value::to_string).collect();
    match choices.as_slice() {
        [only] => format!("{only} is expected."),
        _ => format!("One of {} is expected.", choices.join(", ")),
    }
}
