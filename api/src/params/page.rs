//! Pages of lists: the parameters `limit` and `cursor`, and the response, a [`Page`].

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{IsObjectType, ParseError, ParseFromParameter, ParseResult, ToJSON, Type};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::parameter_type;
use crate::Problem;

/// The maximum number of items in a page: 1–100, by default 20. Handlers take it as `limit: Query<Limit>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    const DEFAULT: u8 = 20;
    const MAX: u8 = 100;
}

parameter_type!(Limit, "limit", required: false, MetaSchema {
    description: Some("The maximum number of items of the page."),
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

/// The start of a page, opaque to clients. Handlers take it as `cursor: Query<Option<Cursor>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    const MAX_LENGTH: usize = 500;

    /// The cursor of the items after `key`.
    pub fn after(key: &impl CursorKey) -> Result<Self, Problem> {
        Ok(Self(URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).map_err(cairn_core::Error::from)?)))
    }

    /// The key that the cursor contains.
    pub fn key<K: CursorKey>(&self) -> Result<K, Problem> {
        URL_SAFE_NO_PAD
            .decode(&self.0)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .filter(K::is_storable)
            .ok_or_else(|| Problem::invalid_parameter("cursor", "malformed", "Not a next_cursor of this list."))
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.0
    }
}

parameter_type!(Cursor, "cursor", required: true, MetaSchema {
    description: Some("The `next_cursor` of the page before. Omit it for the first page."),
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

/// A sort key in a cursor. Clients can send any cursor, so a key may contain a value that Postgres rejects.
pub trait CursorKey: Serialize + DeserializeOwned {
    /// Whether Postgres can represent the key.
    fn is_storable(&self) -> bool {
        true
    }
}

impl CursorKey for i32 {}
impl CursorKey for i64 {}
impl CursorKey for Uuid {}

impl CursorKey for DateTime<Utc> {
    fn is_storable(&self) -> bool {
        (0..=9999).contains(&self.year())
    }
}

impl CursorKey for String {
    fn is_storable(&self) -> bool {
        !self.contains('\0')
    }
}

impl<A: CursorKey, B: CursorKey> CursorKey for (A, B) {
    fn is_storable(&self) -> bool {
        self.0.is_storable() && self.1.is_storable()
    }
}

/// How many bytes of long texts a page has at most, unless its first item alone has more.
const MAX_PAGE_BYTES: usize = 256 * 1024;

/// The page that a client asks for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    limit: Limit,
    cursor: Option<Cursor>,
}

impl PageRequest {
    /// A page of at most `limit` items, starting at `cursor`.
    pub fn new(limit: Limit, cursor: Option<Cursor>) -> Self {
        Self { limit, cursor }
    }

    /// The key of the last item before the page; `None` on the first page.
    pub fn after<K: CursorKey>(&self) -> Result<Option<K>, Problem> {
        self.cursor.as_ref().map(Cursor::key).transpose()
    }

    /// The number of rows to read. It is one more than the page has, which shows whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit.0) + 1
    }

    /// Creates the page from rows, of which there may be one too many. `key` returns the sort key of a row; after a row
    /// without one there is no next page.
    pub fn answer<R, T: From<R>, K: CursorKey>(
        &self,
        rows: Vec<R>,
        key: impl Fn(&R) -> Option<K>,
    ) -> Result<Json<Page<T>>, Problem> {
        self.answer_within(rows, |_| 0, key)
    }

    /// The same for rows with long texts, whose lengths in bytes `size` returns: the page ends early, but has at least one
    /// item, when its texts would exceed `MAX_PAGE_BYTES`.
    pub fn answer_within<R, T: From<R>, K: CursorKey>(
        &self,
        mut rows: Vec<R>,
        size: impl Fn(&R) -> usize,
        key: impl Fn(&R) -> Option<K>,
    ) -> Result<Json<Page<T>>, Problem> {
        let mut bytes = 0;
        let fits = |row: &&R| {
            bytes += size(row);
            bytes <= MAX_PAGE_BYTES
        };
        let fitting = rows.iter().take(self.limit.0.into()).take_while(fits).count().max(1);
        let has_more = rows.len() > fitting;
        rows.truncate(fitting);
        let next_key = rows.last().filter(|_| has_more).and_then(key);
        let next_cursor = next_key.map(|key| Cursor::after(&key)).transpose()?.map(String::from);
        Ok(Json(Page { items: rows.into_iter().map(T::from).collect(), next_cursor }))
    }
}

/// A page of a list. Its schema is named after its items: `StylePage`.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next_cursor: Option<String>,
}

impl<T: Type> Type for Page<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            T::register(registry);
            let cursor = MetaSchema {
                description: Some("The cursor of the next page; null on the last page."),
                nullable: true,
                ..MetaSchema::new("string")
            };
            let items = MetaSchema { description: Some("In the order of the list."), ..MetaSchema::ANY };
            MetaSchema {
                description: Some("A page of a list."),
                required: vec!["items"],
                properties: vec![
                    ("items", <Vec<T> as Type>::schema_ref().merge(items)),
                    ("next_cursor", MetaSchemaRef::Inline(Box::new(cursor))),
                ],
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Type> IsObjectType for Page<T> {}

impl<T: ToJSON> ToJSON for Page<T> {
    fn to_json(&self) -> Option<Value> {
        Some(json!({ "items": self.items.to_json(), "next_cursor": self.next_cursor }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_carries_its_key() {
        let key = (3_i64, "x".to_owned());
        let cursor = Cursor::parse_from_parameter(&Cursor::after(&key).unwrap().0).unwrap();
        assert_eq!(cursor.key::<(i64, String)>().unwrap(), key);
        assert!(cursor.key::<(String, String)>().is_err());
        assert!(Cursor("%%%".to_owned()).key::<i64>().is_err());
        assert!(Cursor::parse_from_parameter(&"a".repeat(501)).is_err());
    }

    #[test]
    fn a_key_is_one_that_postgres_can_hold() {
        let cursor = |json: Value| Cursor(URL_SAFE_NO_PAD.encode(json.to_string()));
        let has_key = |json| cursor(json).key::<(DateTime<Utc>, String)>().is_ok();
        assert!(has_key(json!(["2026-05-09T07:30:00.123456Z", "x"])));
        assert!(!has_key(json!(["-100000-01-01T00:00:00Z", "x"])));
        assert!(!has_key(json!(["+262000-01-01T00:00:00Z", "x"])));
        assert!(!has_key(json!(["infinity", "x"])));
        assert!(!has_key(json!(["2026-05-09T07:30:00.123456Z", "\0"])));
    }

    #[test]
    fn a_page_is_cut_to_its_limit_and_knows_whether_there_is_more() {
        let request = PageRequest::new(Limit(2), None);
        assert_eq!((request.rows(), request.after::<i32>().unwrap()), (3, None));
        let page = request.answer::<i32, i32, i32>(vec![1, 2, 3], |n| Some(*n)).unwrap().0;
        assert_eq!(page.items, [1, 2]);
        let next = PageRequest::new(Limit(2), page.next_cursor.map(Cursor));
        assert_eq!(next.after::<i32>().unwrap(), Some(2));
        assert_eq!(next.answer::<i32, i32, i32>(vec![3, 4], |n| Some(*n)).unwrap().0.next_cursor, None);
    }

    #[test]
    fn a_page_of_long_texts_ends_early() {
        let request = PageRequest::new(Limit(10), None);
        let page = |rows: Vec<i32>, size: usize| {
            let page = request.answer_within::<i32, i32, i32>(rows, |_| size, |n| Some(*n)).unwrap().0;
            (page.items, page.next_cursor.is_some())
        };
        assert_eq!(page(vec![1, 2, 3], MAX_PAGE_BYTES / 2), (vec![1, 2], true));
        assert_eq!(page(vec![1, 2], MAX_PAGE_BYTES / 2), (vec![1, 2], false));
        assert_eq!(page(vec![1, 2], MAX_PAGE_BYTES * 2), (vec![1], true));
        assert_eq!(page(vec![1], MAX_PAGE_BYTES * 2), (vec![1], false));
        assert_eq!(page(vec![], MAX_PAGE_BYTES * 2), (vec![], false));
    }

    #[test]
    fn a_limit_is_bounded() {
        assert_eq!(Limit::parse_from_parameters(std::iter::empty::<&str>()).unwrap(), Limit(20));
        assert_eq!(Limit::parse_from_parameters(["100"]).unwrap(), Limit(100));
        for bad in ["0", "101", "-1", "x", "", "300"] {
            assert!(Limit::parse_from_parameters([bad]).is_err(), "{bad}");
        }
    }
}
