//! Times as responses contain them: RFC 3339 in UTC, with `Z` and six digits after the second, which is what Postgres keeps.
//!
//! Whatever the API sends has this form, so that clients can compare times as text and parse them with one pattern. Times
//! that clients send may have any form of RFC 3339.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The text of a time.
pub(crate) fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Gives times that were stored as JSON the form of all others. Their members are named like columns: `created_at`.
pub(crate) fn rewrite(stored: &mut Value) {
    match stored {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str().filter(|_| name.ends_with("_at")).map(str::parse::<DateTime<Utc>>) {
                    Some(Ok(time)) => *member = text(time).into(),
                    _ => rewrite(member),
                }
            }
        }
        _ => {}
    }
}

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub DateTime<Utc>);

/// A time, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalTime(pub Option<DateTime<Utc>>);

macro_rules! time_type {
    ($name:ident of $inner:ty, required: $required:literal, |$time:ident| $json:expr) => {
        impl From<$inner> for $name {
            fn from(time: $inner) -> Self {
                Self(time)
            }
        }

        impl Type for $name {
            const IS_REQUIRED: bool = $required;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                <$inner>::name()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "date-time")))
            }

            fn as_raw_value(&self) -> Option<&Self::RawValueType> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                let $time = self.0;
                Some($json)
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                <$inner>::parse_from_json(value).map(Self).map_err(poem_openapi::types::ParseError::propagate)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.to_json().serialize(serializer)
            }
        }
    };
}

impl From<OptionalTime> for Option<DateTime<Utc>> {
    fn from(time: OptionalTime) -> Self {
        time.0
    }
}

time_type!(Time of DateTime<Utc>, required: true, |time| text(time).into());
time_type!(OptionalTime of Option<DateTime<Utc>>, required: false, |time| time.map(text).into());

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_time_has_six_digits_and_z() {
        for (time, written) in [
            ("2026-11-27T14:00:00Z", "2026-11-27T14:00:00.000000Z"),
            ("2026-11-27T16:00:00.5+02:00", "2026-11-27T14:00:00.500000Z"),
            ("2026-11-27T14:00:00.123456789Z", "2026-11-27T14:00:00.123456Z"),
        ] {
            let time: DateTime<Utc> = time.parse().unwrap();
            assert_eq!(Time(time).to_json(), Some(written.into()));
            assert_eq!(OptionalTime(Some(time)).to_json_string(), format!("\"{written}\""));
        }
        assert_eq!(OptionalTime(None).to_json_string(), "null");
    }

    #[test]
    fn stored_times_are_rewritten_and_texts_are_not() {
        let mut stored = json!({"items": [{"created_at": "2026-11-27T16:00:00+02:00", "deleted_at": null, "ended_at": "soon"}],
                                "title": "2026-11-27T14:00:00Z"});
        rewrite(&mut stored);
        let expected = json!({"items": [{"created_at": "2026-11-27T14:00:00.000000Z", "deleted_at": null,
                                         "ended_at": "soon"}], "title": "2026-11-27T14:00:00Z"});
        assert_eq!(stored, expected);
    }
}
