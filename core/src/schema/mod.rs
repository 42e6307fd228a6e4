//! JSON Schema (draft 2020-12): holds JSON values against a schema, and says with a pointer each where they depart from
//! it and what is allowed there.
//!
//! Beyond what the schema says, a value may not hold repeated members, nor control characters other than tab, newline
//! and carriage return (Postgres cannot store U+0000, and nothing that people write has the others). What names something
//! (see `NAMES`) may contain none at all, nor characters that cannot be seen or that make text run the other way, with which
//! one name could pass as another.

mod characters;
mod fault;
mod json;
mod words;

use std::collections::HashMap;

use chrono::{DateTime, Datelike};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, JsonType, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

pub use self::characters::{is_visible, printable};
pub(crate) use self::fault::push;
pub use self::fault::{Fault, FaultCode, MAX_FAULTS};
pub(crate) use self::json::number;
pub use self::json::{Duplicates, Json, Unreadable};
pub use self::words::{COLOR_PATTERN, SLUG_PATTERN, URL_PATTERN};
use crate::{Error, Result};

/// The members that name something, in request bodies and course files alike.
const NAMES: [&str; 6] = ["title", "name", "term", "first_name", "last_name", "tags"];

/// A compiled schema. Compiling takes long: do it once.
#[derive(Debug)]
pub struct Schema {
    document: Value,
    validator: Validator,
    /// Whether texts may have the control characters from U+007F on.
    allows_later_controls: bool,
}

/// RFC 3339 has years of four digits, in UTC too, in which every time is answered.
fn is_time(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok_and(|time| (1..=9999).contains(&time.to_utc().year()))
}

impl Schema {
    /// Compiles a schema, which may refer to parts of itself only. Patterns are matched in linear time, so lookaround
    /// and backreferences are errors. The formats that JSON Schema defines are checked; those of integers bound them.
    pub fn new(mut schema: Value) -> Result<Self> {
        bound_integers(&mut schema);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            // The library's own check and chrono differ in details, and chrono is what reads times.
            .with_format("date-time", is_time)
            .build(&schema)
            .map_err(|error| Error::message(format!("the schema is wrong at {}: {error}", error.instance_path())))?;
        Ok(Self { document: schema, validator, allows_later_controls: false })
    }

    /// Allows the control characters from U+007F on in texts, though not in names: a document that was written from what the
    /// database has, and SQL can store them there, must be readable.
    #[must_use]
    pub(crate) fn allowing_later_controls(self) -> Self {
        Self { allows_later_controls: true, ..self }
    }

    /// The first [`MAX_FAULTS`] things that are wrong with `json`, in the order of the document; none if it fits.
    pub fn check(&self, json: &Json) -> Vec<Fault> {
        let mut found = Found::default();
        for pointer in json.duplicates.iter() {
            found.add(pointer, FaultCode::Duplicate, "This member is there more than once.");
        }
        if !self.validator.is_valid(&json.value) {
            for error in self.validator.iter_errors(&json.value) {
                self.collect(&error, &mut found);
            }
        }
        let allows_later_controls = self.allows_later_controls;
        let mut walk = Walk { pointer: String::new(), faults: Vec::new(), allows_later_controls };
        walk.visit(&json.value, Some(found));
        walk.faults.truncate(MAX_FAULTS);
        walk.faults
    }

    fn collect(&self, error: &ValidationError<'_>, found: &mut Found) {
        let at = error.instance_path().as_str();
        match error.kind() {
            Kind::Required { property } => {
                let pointer = fault::member(at, property.as_str().unwrap_or_default());
                let message = "This member is required.".to_owned();
                found.insert(at, Fault { pointer, code: FaultCode::Required, message });
            }
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let known = self.known(error);
                // They are in the order of the document, so of those that follow none is listed.
                for name in unexpected.iter().take(MAX_FAULTS) {
                    let message = unknown(name, &known);
                    found.add(&fault::member(at, name), FaultCode::Unknown, message);
                }
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.collect_alternatives(at, error.instance(), context, found);
            }
            Kind::Type { kind } => {
                let message = words::wrong_type(&words::types(kind), error.instance());
                found.add(at, FaultCode::WrongType, message);
            }
            kind => {
                let (code, message) = said(kind);
                found.add(at, code, message);
            }
        }
    }

    /// The names that the object where `error` surfaced may have.
    fn known(&self, error: &ValidationError<'_>) -> Vec<&str> {
        let object =
            error.schema_path().as_str().rsplit_once('/').and_then(|(parent, _)| self.document.pointer(parent));
        let properties = object.and_then(|object| object["properties"].as_object());
        properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// A value that fits none of several alternatives: tells what is wrong with the one that was meant, if that is clear.
    fn collect_alternatives(
        &self,
        at: &str,
        value: &Value,
        alternatives: &[Vec<ValidationError<'static>>],
        found: &mut Found,
    ) {
        let other_type = |error: &ValidationError<'_>| match error.kind() {
            Kind::Type { kind } if error.instance_path().as_str() == at => Some(words::types(kind)),
            _ => None,
        };
        // Objects that say which of several they are do so in a member.
        let other_tag = |error: &ValidationError<'_>| {
            matches!(error.kind(), Kind::Constant { .. } | Kind::Enum { .. })
                && error.instance_path().as_str().rsplit_once('/').is_some_and(|(parent, _)| parent == at)
        };
        let mut meant: Vec<_> =
            alternatives.iter().filter(|errors| !errors.iter().any(|error| other_type(error).is_some())).collect();
        if meant.is_empty() {
            let mut types: Vec<JsonType> = alternatives.iter().flatten().filter_map(other_type).flatten().collect();
            if types.iter().any(|kind| *kind != JsonType::Null) {
                types.retain(|kind| *kind != JsonType::Null);
            }
            return found.add(at, FaultCode::WrongType, words::wrong_type(&types, value));
        }
        if meant.len() > 1 {
            meant.retain(|errors| !errors.iter().any(other_tag));
        }
        match meant.as_slice() {
            [errors] => errors.iter().for_each(|error| self.collect(error, found)),
            _ => found.add(at, FaultCode::Invalid, "One of the documented forms is expected."),
        }
    }
}

/// What is wrong with a value, where the value alone decides it.
fn said(kind: &Kind) -> (FaultCode, String) {
    use FaultCode::{
        Duplicate, Invalid, Malformed, NotAllowed, TooFew, TooLarge, TooLong, TooMany, TooShort, TooSmall,
    };
    match kind {
        Kind::MinLength { limit } => (TooShort, words::at_least(*limit, "character")),
        Kind::MaxLength { limit } => (TooLong, words::at_most(*limit, "character")),
        Kind::MinItems { limit } => (TooFew, words::at_least(*limit, "item")),
        Kind::MaxItems { limit } => (TooMany, words::at_most(*limit, "item")),
        Kind::MinProperties { limit } => (TooFew, words::at_least(*limit, "member")),
        Kind::MaxProperties { limit } => (TooMany, words::at_most(*limit, "member")),
        Kind::Minimum { limit } => (TooSmall, format!("At least {} is expected.", words::bound(limit))),
        Kind::Maximum { limit } => (TooLarge, format!("At most {} is allowed.", words::bound(limit))),
        Kind::ExclusiveMinimum { limit } => (TooSmall, format!("More than {} is expected.", words::bound(limit))),
        Kind::ExclusiveMaximum { limit } => (TooLarge, format!("Less than {} is expected.", words::bound(limit))),
        Kind::MultipleOf { multiple_of } => (Invalid, format!("A multiple of {multiple_of} is expected.")),
        Kind::Enum { options } => (NotAllowed, words::one_of(options)),
        Kind::Constant { expected_value } => (NotAllowed, format!("{expected_value} is expected.")),
        Kind::Format { format } => (Malformed, words::format(format)),
        Kind::Pattern { pattern } => (Malformed, words::pattern(pattern)),
        Kind::UniqueItems => (Duplicate, "Items that differ from each other are expected.".to_owned()),
        Kind::OneOfMultipleValid { .. } => (Invalid, "Exactly one of the documented forms is expected.".to_owned()),
        _ => (Invalid, "A value as documented is expected.".to_owned()),
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let distance = |known: &str| strsim::levenshtein(name, known);
    match known.iter().map(|known| (distance(known), known)).min() {
        None => "No members are allowed here.".to_owned(),
        Some((0..=2, nearest)) => format!("There is no such member; is {nearest} meant?"),
        Some(_) => format!("There is no such member; known are {}.", known.join(", ")),
    }
}

/// JSON Schema knows the formats of strings only.
fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        Value::Object(members) => {
            members.values_mut().for_each(bound_integers);
            let (least, most) = match members.get("format").and_then(Value::as_str) {
                Some("int16") => (i16::MIN.into(), i16::MAX.into()),
                Some("int32") => (i32::MIN.into(), i32::MAX.into()),
                Some("int64") => (i64::MIN.into(), i64::MAX.into()),
                Some("uint16") => (0.into(), u16::MAX.into()),
                Some("uint32") => (0.into(), u32::MAX.into()),
                Some("uint64") => (0.into(), u64::MAX.into()),
                _ => return,
            };
            members.entry("minimum").or_insert(least);
            members.entry("maximum").or_insert(most);
        }
        _ => {}
    }
}

/// What was found at a value, and at what is in it, by the segment of its pointer: looking a value up takes as long as its
/// name is, however long the names around it are.
#[derive(Default)]
struct Found {
    faults: Vec<Fault>,
    within: HashMap<String, Self>,
}

impl Found {
    fn add(&mut self, pointer: &str, code: FaultCode, message: impl Into<String>) {
        self.insert(pointer, Fault { pointer: pointer.to_owned(), code, message: message.into() });
    }

    /// One fault of a kind is enough, and a value of another type has no others.
    fn insert(&mut self, place: &str, fault: Fault) {
        let place = place.split('/').skip(1);
        let faults = &mut place.fold(self, |found, name| found.within.entry(name.to_owned()).or_default()).faults;
        let is_known = |known: &Fault| {
            known.pointer == fault.pointer && (known.code == fault.code || known.code == FaultCode::WrongType)
        };
        if faults.iter().any(is_known) {
            return;
        }
        if fault.code == FaultCode::WrongType {
            faults.retain(|known| known.pointer != fault.pointer || known.code == FaultCode::Duplicate);
        }
        faults.push(fault);
    }
}

/// Goes through a document in its order and lists what was found on the way.
struct Walk {
    pointer: String,
    faults: Vec<Fault>,
    allows_later_controls: bool,
}

impl Walk {
    fn visit(&mut self, value: &Value, found: Option<Found>) {
        let Found { faults, mut within } = found.unwrap_or_default();
        let is_unknown = faults.iter().any(|fault| fault.code == FaultCode::Unknown);
        self.faults.extend(faults);
        if is_unknown {
            return;
        }
        match value {
            Value::String(text) => self.look_for_control_characters(text, ""),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    self.within(&index.to_string(), &mut within, |walk, found| walk.visit(item, found));
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    if self.is_full() {
                        return;
                    }
                    self.within(name, &mut within, |walk, found| {
                        walk.look_for_control_characters(name, " in names");
                        walk.visit(member, found);
                        if NAMES.contains(&name.as_str()) {
                            walk.look_for_hidden_characters(member);
                        }
                    });
                }
            }
            _ => {}
        }
    }

    /// Whether there are as many faults as are listed.
    fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    fn within(&mut self, name: &str, found: &mut HashMap<String, Found>, visit: impl FnOnce(&mut Self, Option<Found>)) {
        let length = push(&mut self.pointer, name);
        let found = found.remove(&self.pointer[length + 1..]);
        visit(self, found);
        self.pointer.truncate(length);
    }

    /// Looks for what a name, or a list of names, may not contain although other texts may.
    fn look_for_hidden_characters(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let is_refused = |c: &char| !is_visible(*c) && !self.refuses_control(*c);
                // A name of nothing but white space is refused as one that is missing.
                let found = text.chars().find(is_refused).filter(|_| !text.trim().is_empty());
                if let Some(character) = found {
                    let message = format!(
                        "The character U+{:04X} is not allowed in names and titles: it cannot be seen.",
                        u32::from(character)
                    );
                    let (pointer, code) = (self.pointer.clone(), FaultCode::HiddenCharacter);
                    self.faults.push(Fault { pointer, code, message });
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_string()) {
                    self.within(&index.to_string(), &mut HashMap::new(), |walk, _| {
                        walk.look_for_hidden_characters(item);
                    });
                }
            }
            _ => {}
        }
    }

    /// Whether no text may contain the character.
    fn refuses_control(&self, character: char) -> bool {
        let is_later = character >= '\u{7f}';
        character.is_control() && !matches!(character, '\t' | '\n' | '\r') && !(is_later && self.allows_later_controls)
    }

    fn look_for_control_characters(&mut self, text: &str, place: &str) {
        let (code, message) = if text.contains('\0') {
            (FaultCode::NulCharacter, format!("The character U+0000 is not allowed{place}."))
        } else if let Some(character) = text.chars().find(|character| self.refuses_control(*character)) {
            let message = format!(
                "The control character U+{:04X} is not allowed{place}; tab, newline and carriage return are.",
                u32::from(character)
            );
            (FaultCode::ControlCharacter, message)
        } else {
            return;
        };
        self.faults.push(Fault { pointer: self.pointer.clone(), code, message });
    }
}

#[cfg(test)]
mod tests;
