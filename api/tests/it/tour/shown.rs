//! Compares answers with what the tour shows of them.
//!
//! What is shown is JSON in which `…` stands for anything: a value, further members of an object, any number of items of a
//! list, a part of a text. Without it, an object has exactly the members that are shown. `$NAME` in a text is a variable.

use serde_json::{Map, Value};

use super::shell::Variables;
use crate::support::{Event, Follow};

const ANYTHING: &str = "…";

/// Compares a JSON answer; an empty text stands for no answer. The error says what differs.
pub(super) fn matches(shown: &str, actual: &Value, variables: &Variables) -> Result<(), String> {
    if shown.is_empty() {
        return if actual.is_null() { Ok(()) } else { Err("an answer that is not shown".to_owned()) };
    }
    compare(&parse(shown)?, actual, variables, "")
}

/// Compares the events of a stream, one after another; `…` between them stands for any number of others.
pub(super) async fn matches_events(shown: &str, follow: &mut Follow, variables: &Variables) -> Result<(), String> {
    let mut may_skip = false;
    for block in shown.split("\n\n").filter(|block| !block.starts_with("retry:")) {
        if block == ANYTHING {
            may_skip = true;
            continue;
        }
        let mut skipped = Vec::new();
        loop {
            let Some(event) = follow.next().await else {
                return Err(format!("the stream ended before {block}: {skipped:?}"));
            };
            match (compare_event(block, &event, variables), may_skip) {
                (Ok(()), _) => break,
                (Err(error), false) => return Err(error),
                (Err(error), true) => skipped.push(error),
            }
        }
        may_skip = false;
    }
    Ok(())
}

fn compare_event(shown: &str, event: &Event, variables: &Variables) -> Result<(), String> {
    for line in shown.lines() {
        let (field, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is no field of an event"))?;
        match field {
            "id" => compare_text(value, &event.id, variables, "id")?,
            "event" => compare_text(value, &event.name, variables, "event")?,
            "data" => compare(&parse(value)?, &event.data, variables, &event.name)?,
            _ => return Err(format!("{line:?} is no field of an event")),
        }
    }
    Ok(())
}

/// Reads JSON with `…` outside of texts.
fn parse(shown: &str) -> Result<Value, String> {
    let (mut json, mut is_text, mut open, mut before) = (String::new(), false, Vec::new(), ' ');
    let mut chars = shown.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_text = !is_text,
            '\\' if is_text => {
                json.push(c);
                json.extend(chars.next());
                continue;
            }
            '{' | '[' if !is_text => open.push(c),
            '}' | ']' if !is_text => drop(open.pop()),
            '…' if !is_text => {
                json += if before != ':' && open.last() == Some(&'{') { "\"…\": \"…\"" } else { "\"…\"" };
                before = c;
                continue;
            }
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
        json.push(c);
    }
    serde_json::from_str(&json).map_err(|error| format!("{error} in {shown}"))
}

fn compare(shown: &Value, actual: &Value, variables: &Variables, path: &str) -> Result<(), String> {
    match (shown, actual) {
        (Value::String(shown), _) if shown == ANYTHING => Ok(()),
        (Value::Object(shown), Value::Object(actual)) => compare_members(shown, actual, variables, path),
        (Value::Array(shown), Value::Array(actual)) => compare_items(shown, actual, variables, path),
        (Value::String(shown), Value::String(actual)) => compare_text(shown, actual, variables, path),
        _ if shown == actual => Ok(()),
        _ => Err(format!("{path} is {actual}, and {shown} is shown")),
    }
}

fn compare_members(
    shown: &Map<String, Value>,
    actual: &Map<String, Value>,
    variables: &Variables,
    path: &str,
) -> Result<(), String> {
    for (name, value) in shown.iter().filter(|(name, _)| *name != ANYTHING) {
        let actual = actual.get(name).ok_or_else(|| format!("{path}/{name} is shown, and is not there"))?;
        compare(value, actual, variables, &format!("{path}/{name}"))?;
    }
    match actual.keys().find(|name| !shown.contains_key(*name) && !shown.contains_key(ANYTHING)) {
        Some(name) => Err(format!("{path}/{name} is there, and is not shown")),
        None => Ok(()),
    }
}

fn compare_items(shown: &[Value], actual: &[Value], variables: &Variables, path: &str) -> Result<(), String> {
    match (shown.split_first(), actual.split_first()) {
        (None, None) => Ok(()),
        (None, Some((next, _))) => Err(format!("{path} has a further item: {next}")),
        (Some((first, rest)), _) if first == ANYTHING => {
            let found = (0..=actual.len()).find(|&skip| compare_items(rest, &actual[skip..], variables, path).is_ok());
            found.map(|_| ()).ok_or_else(|| format!("{path} does not have the items {rest:?}"))
        }
        (Some((first, _)), None) => Err(format!("{path} lacks the item {first}")),
        (Some((first, rest)), Some((next, others))) => {
            compare(first, next, variables, &format!("{path}[]"))?;
            compare_items(rest, others, variables, path)
        }
    }
}

/// Compares a text with one in which `…` stands for any text.
fn compare_text(shown: &str, actual: &str, variables: &Variables, path: &str) -> Result<(), String> {
    let mut expected = shown.to_owned();
    // Longer names first, because the name of one may be the beginning of another's.
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        expected = expected.replace(&format!("${name}"), &variables[name]);
    }
    let differs = || format!("{path} is {actual:?}, and {expected:?} is shown");
    let mut parts = expected.split(ANYTHING);
    let mut rest = actual.strip_prefix(parts.next().unwrap_or_default()).ok_or_else(differs)?;
    let mut is_open = false;
    for part in parts {
        is_open = part.is_empty();
        rest = &rest[rest.find(part).ok_or_else(differs)? + part.len()..];
    }
    if rest.is_empty() || is_open { Ok(()) } else { Err(differs()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_must_be_there_and_the_rest_only_where_it_is_left_out() {
        let variables = Variables::from([("ID".to_owned(), "7".to_owned()), ("ID_B".to_owned(), "8".to_owned())]);
        let actual =
            json!({"id": "7", "b": "8", "n": 1, "text": "one, two, three", "items": [{"a": 1}, {"a": 2}, {"a": 3}]});
        for shown in [
            r#"{"id": "$ID", "b": "$ID_B", "n": 1, "text": "one, …", "items": [{"a": 1}, …]}"#,
            r#"{"id": "…", "items": […, {"a": 2}, …], …}"#,
            r#"{"n": …, "text": "…two…", …}"#,
            r#"{"text": "one…three", "items": […, {"a": 3}], …}"#,
        ] {
            assert_eq!(matches(shown, &actual, &variables), Ok(()), "{shown}");
        }
        for shown in [
            r#"{"id": "$ID"}"#,
            r#"{"id": "$ID_B", …}"#,
            r#"{"n": 2, …}"#,
            r#"{"n": "1", …}"#,
            r#"{"missing": "…", …}"#,
            r#"{"text": "one…four", …}"#,
            r#"{"text": "one… two", …}"#,
            r#"{"items": [{"a": 1}], …}"#,
            r#"{"items": […, {"a": 4}, …], …}"#,
            r#"{"items": [{"a": 2}, …], …}"#,
            "",
        ] {
            assert!(matches(shown, &actual, &variables).is_err(), "{shown}");
        }
    }
}
