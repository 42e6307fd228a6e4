//! Days, as `2026-03-01`.

use chrono::{Datelike, NaiveDate};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON};
use serde_json::Value;

use super::parameter_type;

/// A day of the years 1970 to 2199. Which hours it has depends on a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub NaiveDate);

parameter_type!(Date, "date", required: true, MetaSchema {
    example: Some("2026-03-01".into()),
    ..MetaSchema::new_with_format("string", "date")
});

impl Date {
    fn parse(value: &str) -> Option<Self> {
        let date = NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?;
        (value.len() == 10 && (1970..=2199).contains(&date.year())).then_some(Self(date))
    }
}

impl ParseFromParameter for Date {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Self::parse(value).ok_or_else(|| ParseError::custom("a date from 1970-01-01 to 2199-12-31 is expected"))
    }
}

impl ParseFromJSON for Date {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let value = value.unwrap_or_default();
        match value.as_str().and_then(Self::parse) {
            Some(date) => Ok(date),
            None => Err(ParseError::expected_type(value)),
        }
    }
}

impl ToJSON for Date {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_ten_characters_and_exists() {
        assert!(Date::parse("2024-02-29").is_some());
        for bad in ["2026-02-29", "2026-2-1", "+2026-02-01", "1969-12-31", "2200-01-01", "20260201", ""] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
