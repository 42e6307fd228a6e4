//! Pages of lists: `?limit=` and `?cursor=`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::parameter_type;
use crate::Problem;

/// How many items a page has at most: 1–100, 20 unless given. Take it as `limit: Query<Limit>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    const DEFAULT: u8 = 20;
    const MAX: u8 = 100;

    /// For SQL: one row more than this tells whether there is a next page.
    pub fn get(self) -> i64 {
        self.0.into()
    }

    /// Cuts rows that were read with one more than the limit. Gives the last of the page if there is a next page: the
    /// row that the next cursor is made of.
    pub fn trim<T>(self, rows: &mut Vec<T>) -> Option<&T> {
        let is_more = rows.len() > usize::from(self.0);
        rows.truncate(self.0.into());
        if is_more { rows.last() } else { None }
    }
}

parameter_type!(Limit, "limit", required: false, MetaSchema {
    description: Some("How many items the page has at most."),
    default: Some(Limit::DEFAULT.into()),
    minimum: Some(1.0),
    maximum: Some(Limit::MAX.into()),
    example: Some(Limit::DEFAULT.into()),
    ..MetaSchema::new_with_format("integer", "int32")
});

impl ParseFromParameter for Limit {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        match value.parse() {
            Ok(limit @ 1..=Self::MAX) => Ok(Self(limit)),
            _ => Err(ParseError::custom("a number from 1 to 100 is expected")),
        }
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        values.into_iter().next().map_or(Ok(Self(Self::DEFAULT)), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

/// Where a page starts: opaque to clients. Take it as `cursor: Query<Option<Cursor>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    const MAX_LENGTH: usize = 500;

    /// The cursor of the page after `key`, the sort key of the last item. Goes into `next_cursor` as a string.
    pub fn after(key: &impl Serialize) -> Result<String, Problem> {
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).map_err(cairn_core::Error::from)?))
    }

    /// The key that the cursor was made of.
    pub fn key<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        URL_SAFE_NO_PAD
            .decode(&self.0)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(Self::malformed)
    }

    /// The key of a list that is sorted by time and id.
    pub fn time_key(&self) -> Result<(DateTime<Utc>, Uuid), Problem> {
        self.key().and_then(|(time, id)| Ok((storable(time)?, id)))
    }

    /// The key of a list that is sorted by time and a text.
    pub fn time_and_text_key(&self) -> Result<(DateTime<Utc>, String), Problem> {
        self.key().and_then(|(time, text): (_, String)| Ok((storable(time)?, without_nul(text)?)))
    }

    /// The key of a list that is sorted by a text.
    pub fn text_key(&self) -> Result<String, Problem> {
        self.key().and_then(without_nul)
    }

    fn malformed() -> Problem {
        Problem::invalid_parameter("cursor", "malformed", "Not a next_cursor of this list.")
    }
}

/// Postgres refuses times that chrono can hold.
fn storable(time: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    if (0..=9999).contains(&time.year()) { Ok(time) } else { Err(Cursor::malformed()) }
}

/// Postgres cannot store U+0000.
fn without_nul(text: String) -> Result<String, Problem> {
    if text.contains('\0') { Err(Cursor::malformed()) } else { Ok(text) }
}

parameter_type!(Cursor, "cursor", required: true, MetaSchema {
    description: Some("Where the page starts: next_cursor of the page before. Leave it out for the first page."),
    max_length: Some(Cursor::MAX_LENGTH),
    example: Some("WzEsIjAxOTcwYTNlIl0".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for Cursor {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        if value.is_empty() || value.len() > Self::MAX_LENGTH {
            return Err(ParseError::custom("1 to 500 characters are expected"));
        }
        Ok(Self(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_carries_its_key() {
        let key = (3_i64, "x".to_owned());
        let cursor = Cursor::parse_from_parameter(&Cursor::after(&key).unwrap()).unwrap();
        assert_eq!(cursor.key::<(i64, String)>().unwrap(), key);
        assert!(cursor.key::<(String, String)>().is_err());
        assert!(Cursor("%%%".to_owned()).key::<i64>().is_err());
        assert!(Cursor::parse_from_parameter(&"a".repeat(501)).is_err());
    }

    #[test]
    fn a_time_key_is_one_that_postgres_can_hold() {
        let cursor = |time: &str| Cursor(Cursor::after(&(time, Uuid::nil())).unwrap());
        assert!(cursor("2026-05-09T07:30:00.123456Z").time_key().is_ok());
        assert!(cursor("-100000-01-01T00:00:00Z").time_key().is_err());
        assert!(cursor("+262000-01-01T00:00:00Z").time_key().is_err());
        assert!(cursor("infinity").time_key().is_err());
    }

    #[test]
    fn a_text_key_is_one_that_postgres_can_hold() {
        let cursor = |text: &str| Cursor(Cursor::after(&(DateTime::UNIX_EPOCH, text)).unwrap());
        assert_eq!(cursor("x").time_and_text_key().unwrap(), (DateTime::UNIX_EPOCH, "x".to_owned()));
        assert!(cursor("\0").time_and_text_key().is_err());
        let far = Cursor(Cursor::after(&("+262000-01-01T00:00:00Z", "x")).unwrap());
        assert!(far.time_and_text_key().is_err());
        assert_eq!(Cursor(Cursor::after(&"x").unwrap()).text_key().unwrap(), "x");
        assert!(Cursor(Cursor::after(&"\0").unwrap()).text_key().is_err());
    }

    #[test]
    fn a_page_is_cut_to_its_limit() {
        let mut rows = vec![1, 2, 3];
        assert_eq!(Limit(2).trim(&mut rows), Some(&2));
        assert_eq!(rows, [1, 2]);
        assert_eq!(Limit(2).trim(&mut rows), None);
    }

    #[test]
    fn a_limit_is_bounded() {
        assert_eq!(Limit::parse_from_parameters(std::iter::empty::<&str>()).unwrap().get(), 20);
        assert_eq!(Limit::parse_from_parameters(["100"]).unwrap().get(), 100);
        for bad in ["0", "101", "-1", "x", "", "300"] {
            assert!(Limit::parse_from_parameters([bad]).is_err(), "{bad}");
        }
    }
}
