//! A row of the old database, read without relying on the types of its columns: an id is text whether it was a number or a UUID,
//! a role is text whether it was an enum or a `varchar`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A row as Postgres writes it as JSON.
#[derive(Clone, Debug)]
pub(super) struct Row {
    values: Map<String, Value>,
    /// Why it could not be read. Its values are then nothing but what names it.
    fault: Option<String>,
}

impl Row {
    /// Reads what `to_json` wrote. Postgres stores some JSON that is not read here: half of a character, a number without bounds,
    /// or what is nested too deeply. Such a row has a [`Row::fault`].
    pub(super) fn read(json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(values) => Self { values, fault: None },
            Err(error) => Self { values: name_of(json), fault: Some(in_words(&error)) },
        }
    }

    /// Why the row could not be read; `None` if it could.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What identifies the row: its `id`, or the ids of what it connects, or else all of it.
    pub(super) fn key(&self) -> String {
        if let Some(id) = self.text("id") {
            return shortened(id);
        }
        if let Some(key) = self.text("setting_key").or_else(|| self.text("key")) {
            return shortened(key);
        }
        let ids: Vec<String> =
            self.values.keys().filter(|name| name.ends_with("_id")).filter_map(|n| self.text(n)).collect();
        shortened(if ids.len() > 1 { ids.join("/") } else { Value::Object(self.values.clone()).to_string() })
    }

    /// The value of a column; `None` if the table has no such column or the value is null.
    pub(super) fn value(&self, column: &str) -> Option<&Value> {
        self.values.get(column).filter(|value| !value.is_null())
    }

    /// Text, a number or a flag as text without surrounding white space; `None` if nothing is left.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        let text = match self.value(column)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(_) | Value::Object(_) | Value::Null => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// As [`Row::text`], of the first of these columns that has any.
    pub(super) fn text_of(&self, columns: &[&str]) -> Option<String> {
        columns.iter().find_map(|column| self.text(column))
    }

    /// A word in lower case, such as a role or a state.
    pub(super) fn word(&self, column: &str) -> Option<String> {
        self.text(column).map(|text| text.to_lowercase())
    }

    /// A time. One without a zone is in UTC. `None` for what no row can have: before 1970 or after 2200, or infinity.
    pub(super) fn time(&self, column: &str) -> Option<DateTime<Utc>> {
        parse_time(&self.text(column)?).filter(|time| (1970..=2200).contains(&time.year()))
    }

    /// As [`Row::time`], of the first of these columns that has one.
    pub(super) fn time_of(&self, columns: &[&str]) -> Option<DateTime<Utc>> {
        columns.iter().find_map(|column| self.time(column))
    }

    /// When the row was created; rows without a time get `fallback`, because no row here may lack one.
    pub(super) fn created(&self, fallback: DateTime<Utc>) -> DateTime<Utc> {
        self.time_of(&["created_at", "updated_at", "started_at", "completed_at"]).unwrap_or(fallback)
    }

    /// When the row was deleted; `None` if it was not. A value that is no time means that it was, and counts as now: what was
    /// deleted must not come to life here because nobody can read when that was. Adds to `notes` if it is so.
    pub(super) fn deleted(&self, now: DateTime<Utc>, notes: &mut Vec<String>) -> Option<DateTime<Utc>> {
        match self.value("deleted_at")? {
            Value::Bool(false) => return None,
            Value::String(text) if text.trim().is_empty() => return None,
            _ => {}
        }
        let read = self.time("deleted_at");
        if read.is_none() {
            notes.push("deleted_at: no time that can be read; the row counts as deleted now".to_owned());
        }
        Some(read.unwrap_or(now))
    }

    /// When the row was last changed.
    pub(super) fn updated(&self, fallback: DateTime<Utc>) -> DateTime<Utc> {
        self.time("updated_at").unwrap_or_else(|| self.created(fallback))
    }

    /// A place in an order; 0 if there is none.
    pub(super) fn position(&self) -> i32 {
        let text = self.text_of(&["sort_order", "position", "order_index"]);
        text.and_then(|text| text.parse::<f64>().ok()).map_or(0, |n| {
            #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of the column")]
            let position = n.clamp(0.0, 1_000_000.0) as i32;
            position
        })
    }

    /// A flag; `None` if it is not set.
    pub(super) fn flag(&self, column: &str) -> Option<bool> {
        match self.word(column)?.as_str() {
            "true" | "t" | "1" | "yes" => Some(true),
            "false" | "f" | "0" | "no" => Some(false),
            _ => None,
        }
    }

    /// A list of texts, whether it is an array, JSON, either of them written as text, or text with commas. Adds to `notes` if some
    /// of it is neither text nor a number.
    pub(super) fn list(&self, column: &str, notes: &mut Vec<String>) -> Vec<String> {
        let items = match self.value(column) {
            Some(Value::String(text)) => written_list(text.trim()),
            Some(value) => elements(value),
            None => Vec::new(),
        };
        if items.iter().any(Option::is_none) {
            notes.push(format!("{column}: what is neither text nor a number was left out"));
        }
        items.iter().flatten().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }
}

/// The elements of a list of JSON. One that is neither text nor a number is `None`, and so is what is no list.
fn elements(list: &Value) -> Vec<Option<String>> {
    let Value::Array(items) = list else { return vec![None] };
    let texts = items.iter().filter(|item| !item.is_null()).map(|item| match item {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    texts.collect()
}

/// The elements of a list that a column of text has: JSON, an array as Postgres writes it, or words with commas in between.
fn written_list(text: &str) -> Vec<Option<String>> {
    if let Ok(list @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text) {
        return elements(&list);
    }
    let items = written_array(text).unwrap_or_else(|| text.split(',').map(str::to_owned).collect());
    items.into_iter().map(Some).collect()
}

/// The elements of an array as Postgres writes it, such as `{css,"two words"}`; `None` if the text is not an array.
fn written_array(text: &str) -> Option<Vec<String>> {
    let mut letters = text.strip_prefix('{')?.strip_suffix('}')?.chars();
    let (mut items, mut item, mut is_quoted) = (Vec::new(), String::new(), false);
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.push(letters.next()?),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => items.push(std::mem::take(&mut item)),
            _ => item.push(letter),
        }
    }
    items.push(item);
    (!is_quoted).then_some(items)
}

/// Keys longer than the mapping stores end in what distinguishes them.
fn shortened(key: String) -> String {
    if key.len() <= 200 {
        return key;
    }
    let start: String = key.chars().take(40).collect();
    format!("{start}…{}", digest(&key))
}

fn digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    Uuid::from_bytes(digest).simple().to_string()
}

/// What names a row that cannot be read: its id where that comes first, as in every table of the platform, or else a digest.
fn name_of(json: &str) -> Map<String, Value> {
    let rest = json.strip_prefix(r#"{"id":"#);
    let id = rest.and_then(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok());
    let id = id.filter(|id| id.is_string() || id.is_number());
    let mut name = Map::new();
    name.insert("id".to_owned(), id.unwrap_or_else(|| Value::String(format!("unreadable {}", digest(json)))));
    name
}

/// What is wrong, without the place, which differs from row to row.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("the row cannot be read: {what}")
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    // Postgres writes an offset without its minutes where they are zero.
    let zoned = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"];
    if let Some(time) = zoned.iter().find_map(|format| DateTime::parse_from_str(text, format).ok()) {
        return Some(time.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let naive = naive.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    naive.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)).map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::Row;

    fn row(json: &str) -> Row {
        let row = Row::read(json);
        assert_eq!(row.fault(), None, "{json}");
        row
    }

    #[test]
    fn a_row_that_cannot_be_read_has_its_id_and_says_why() {
        let deep = format!(r#"{{"id":7,"a":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        for json in [r#"{"id":7,"a":"\ud800"}"#, r#"{"id":7,"a":1e999}"#, deep.as_str()] {
            let row = Row::read(json);
            let fault = row.fault().unwrap();
            assert!(fault.starts_with("the row cannot be read: ") && !fault.contains("line"), "{fault}");
            assert_eq!(row.key(), "7", "{json}");
        }
        let (one, other) = (Row::read(r#"{"a":1e999}"#), Row::read(r#"{"a":1e998}"#));
        assert!(one.key() != other.key() && one.key().starts_with("unreadable "), "{one:?} {other:?}");
    }

    #[test]
    fn a_key_does_not_depend_on_the_type_of_the_id() {
        assert_eq!(row(r#"{"id": 7}"#).key(), "7");
        assert_eq!(row(r#"{"id": "a-b"}"#).key(), "a-b");
        assert_eq!(row(r#"{"user_id": 1, "prompt_id": 2, "created_at": null}"#).key(), "1/2");
        let long = row(&format!(r#"{{"id": "{}"}}"#, "x".repeat(900))).key();
        assert!(long.len() < 200 && long != row(&format!(r#"{{"id": "{}"}}"#, "x".repeat(901))).key());
    }

    #[test]
    fn times_of_every_type_are_read_and_impossible_ones_are_not() {
        let row = row(
            r#"{"a": "2024-05-01T10:00:00+03:00", "b": "2024-05-01T07:00:00", "c": "2024-05-01", "d": "infinity", "e": null,
                "f": "0001-01-01T00:00:00 BC", "g": "1900-01-01"}"#,
        );
        assert_eq!(row.time("a"), row.time("b"));
        assert_eq!(row.time("c").unwrap().to_rfc3339(), "2024-05-01T00:00:00+00:00");
        for none in ["d", "e", "f", "g", "h"] {
            assert_eq!(row.time(none), None, "{none}");
        }
        assert_eq!(row.time_of(&["d", "e", "c"]), row.time("c"));
    }

    #[test]
    fn offsets_are_read_with_and_without_minutes() {
        for text in [
            "2024-02-01 10:00:00+03",
            "2024-02-01T10:00:00+03",
            "2024-02-01 10:00:00.000+03",
            "2024-02-01 10:00:00+0300",
            "2024-02-01 10:00:00+03:00",
            "2024-02-01 12:30:00+05:30",
            "2024-02-01 07:00:00Z",
            "2024-02-01 07:00:00",
        ] {
            let time = row(&format!(r#"{{"a": "{text}"}}"#)).time("a");
            assert_eq!(time.map(|time| time.to_rfc3339()).as_deref(), Some("2024-02-01T07:00:00+00:00"), "{text}");
        }
    }

    #[test]
    fn what_was_deleted_at_a_time_that_cannot_be_read_stays_deleted() {
        let now = DateTime::UNIX_EPOCH;
        for (value, deleted_at, is_noted) in [
            ("null", None, false),
            ("\"\"", None, false),
            ("\" \"", None, false),
            ("false", None, false),
            ("\"2024-02-01 10:00:00+03\"", Some("2024-02-01T07:00:00+00:00"), false),
            ("\"infinity\"", Some("1970-01-01T00:00:00+00:00"), true),
            ("\"0001-01-01T00:00:00\"", Some("1970-01-01T00:00:00+00:00"), true),
            ("\"01.02.2024\"", Some("1970-01-01T00:00:00+00:00"), true),
            ("true", Some("1970-01-01T00:00:00+00:00"), true),
            ("1706770800", Some("1970-01-01T00:00:00+00:00"), true),
            ("{}", Some("1970-01-01T00:00:00+00:00"), true),
        ] {
            let mut notes = Vec::new();
            let time = row(&format!(r#"{{"deleted_at": {value}}}"#)).deleted(now, &mut notes);
            assert_eq!(time.map(|time| time.to_rfc3339()).as_deref(), deleted_at, "{value}");
            assert_eq!(!notes.is_empty(), is_noted, "{value}: {notes:?}");
        }
        assert_eq!(row("{}").deleted(now, &mut Vec::new()), None);
    }

    #[test]
    fn lists_are_arrays_or_text() {
        let row = row(
            r#"{"a": ["x", " y ", "", null], "b": "x, y", "c": null, "d": 5, "e": "[\"x\", \"y\"]", "f": "{x,\"y\"}", "g": "[]",
                "h": "{\"two, words\",\"a \\\"b\\\"\"}", "i": [1, {"x": "y"}], "j": {"x": "y"}, "k": "[x], y", "l": "{\"x\": 1}"}"#,
        );
        let xy = ["x", "y"].as_slice();
        for (column, expected, is_noted) in [
            ("a", xy, false),
            ("b", xy, false),
            ("c", &[], false),
            ("d", &[], true),
            ("e", xy, false),
            ("f", xy, false),
            ("g", &[], false),
            ("h", &["two, words", "a \"b\""], false),
            ("i", &["1"], true),
            ("j", &[], true),
            ("k", &["[x]", "y"], false),
            ("l", &[], true),
        ] {
            let mut notes = Vec::new();
            assert_eq!(row.list(column, &mut notes), expected, "{column}");
            assert_eq!(!notes.is_empty(), is_noted, "{column}: {notes:?}");
        }
    }
}
