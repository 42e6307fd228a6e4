//! A row of the old database, read without relying on the types of its columns: an id is text whether it was a number or a UUID,
//! a role is text whether it was an enum or a `varchar`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A row as Postgres writes it as JSON.
#[derive(Clone, Debug)]
pub(super) struct Row(Map<String, Value>);

impl Row {
    /// Reads what `to_json` wrote.
    pub(super) fn parse(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json).map(Self)
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
            self.0.keys().filter(|name| name.ends_with("_id")).filter_map(|n| self.text(n)).collect();
        shortened(if ids.len() > 1 { ids.join("/") } else { Value::Object(self.0.clone()).to_string() })
    }

    /// The value of a column; `None` if the table has no such column or the value is null.
    pub(super) fn value(&self, column: &str) -> Option<&Value> {
        self.0.get(column).filter(|value| !value.is_null())
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

    /// A list of texts, whether it is an array, JSON, or text with commas.
    pub(super) fn list(&self, column: &str) -> Vec<String> {
        let items: Vec<String> = match self.value(column) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => text.split(',').map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }
}

/// Keys longer than the mapping stores end in what distinguishes them.
fn shortened(key: String) -> String {
    use sha2::{Digest, Sha256};
    if key.len() <= 200 {
        return key;
    }
    let start: String = key.chars().take(40).collect();
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(key.as_bytes())[..16]);
    format!("{start}…{}", Uuid::from_bytes(digest).simple())
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let naive = naive.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    naive.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)).map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::Row;

    fn row(json: &str) -> Row {
        Row::parse(json).unwrap()
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
    fn lists_are_arrays_or_text() {
        let row = row(r#"{"a": ["x", " y ", ""], "b": "x, y", "c": null, "d": 5}"#);
        assert_eq!((row.list("a"), row.list("b")), (vec!["x".to_owned(), "y".to_owned()], row.list("a")));
        assert!(row.list("c").is_empty() && row.list("d").is_empty());
    }
}
