//! The activity log, for admins.

pub mod activity;
pub mod export;
pub mod history;

use cairn_core::audit::Filter;
use chrono::{DateTime, Datelike, Utc};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult};
use uuid::Uuid;

use crate::Problem;
use crate::params::parameter_type;

/// The name of an action, such as `lesson.completed`.
pub struct ActionName(String);

parameter_type!(ActionName, "action_name", required: true, MetaSchema {
    max_length: Some(60),
    pattern: Some(r"^[a-z_]+\.[a-z_]+$".to_owned()),
    example: Some("lesson.completed".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for ActionName {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match value.split_once('.') {
            Some((noun, verb)) if is_word(noun) && is_word(verb) && value.len() <= 60 => Ok(Self(value.to_owned())),
            _ => Err(ParseError::custom("two lower-case words are expected, joined by a dot")),
        }
    }
}

/// The type of an object, such as `lesson`.
pub struct TargetType(String);

parameter_type!(TargetType, "target_type", required: true, MetaSchema {
    max_length: Some(40),
    pattern: Some("^[a-z_]+$".to_owned()),
    example: Some("lesson".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for TargetType {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let is_word = !value.is_empty() && value.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_word && value.len() <= 40 {
            Ok(Self(value.to_owned()))
        } else {
            Err(ParseError::custom("a lower-case word is expected"))
        }
    }
}

/// What the parameters of lists select.
fn filter(
    (actor_id, action): (Option<Uuid>, Option<ActionName>),
    (target_type, target_id): (Option<TargetType>, Option<Uuid>),
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Result<Filter, Problem> {
    for (name, time) in [("from", from), ("to", to)] {
        if time.is_some_and(|time| !(1..=9999).contains(&time.year())) {
            return Err(Problem::invalid_parameter(name, "malformed", "A year from 1 to 9999 is expected."));
        }
    }
    Ok(Filter {
        actor_id,
        action: action.map(|action| action.0),
        target_type: target_type.map(|kind| kind.0),
        target_id,
        from,
        to,
    })
}
