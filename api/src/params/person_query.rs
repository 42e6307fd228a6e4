//! What to find people by.

use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult};

use super::parameter_type;

/// Words of a name or an email address. Take it as `q: Query<Option<PersonQuery>>`.
#[derive(Clone, Debug)]
pub struct PersonQuery(String);

impl PersonQuery {
    const MAX_LENGTH: usize = 100;
}

impl From<PersonQuery> for String {
    fn from(query: PersonQuery) -> Self {
        query.0
    }
}

parameter_type!(PersonQuery, "person_query", required: true, MetaSchema {
    description: Some(
        "Only users whose name or email address has, for each of these words, a word that begins with it, whatever the \
         case: `ann mor` finds Anna Moreno."),
    min_length: Some(1),
    max_length: Some(PersonQuery::MAX_LENGTH),
    example: Some("ann mor".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for PersonQuery {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let fits = (1..=Self::MAX_LENGTH).contains(&value.chars().count());
        if fits { Ok(Self(value.to_owned())) } else { Err(ParseError::custom("1 to 100 characters are expected")) }
    }
}
