//! The body of a PATCH: any of the members that can be changed.

use std::borrow::Cow;
use std::marker::PhantomData;

use cairn_core::activity::Verb;
use cairn_core::resource::{Edit, Refusal};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::{Map, Value};

/// Changes to an object that is described by a `T`. Absent members remain unchanged, and null clears those that can be
/// null (RFC 7396). The schema is derived from that of `T` and named after it: `StyleChanges` for `NewStyle`.
#[derive(Clone, Debug)]
pub struct Changes<T>(Map<String, Value>, PhantomData<fn() -> T>);

impl<T> Changes<T> {
    /// The new text of a member; `None` if it stays as it is or is no text.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.0.get(member).and_then(Value::as_str)
    }
}

impl<T: ToJSON + ParseFromJSON> Changes<T> {
    /// Applies the changes to a row: converts the row to a `T`, replaces the members that were sent, and sets the
    /// result on the row.
    pub fn edit<R>(&self, set: fn(&T, &mut R)) -> Edit<R>
    where
        T: for<'a> From<&'a R> + 'static,
        R: 'static,
    {
        self.try_edit(move |whole, row| {
            set(whole, row);
            Ok(())
        })
    }

    /// As [`Changes::edit`], where `set` refuses what the schema cannot say.
    pub fn try_edit<R>(&self, set: impl FnOnce(&T, &mut R) -> Result<(), Refusal> + Send + 'static) -> Edit<R>
    where
        T: for<'a> From<&'a R> + 'static,
        R: 'static,
    {
        let changes = self.0.clone();
        Edit::new(Verb::Updated, move |row: &mut R| {
            let mut merged = T::from(row).to_json().unwrap_or_default();
            for (member, value) in changes {
                merged[member] = value;
            }
            // The members have been checked separately, so only a rule that involves several of them can be violated.
            let whole = T::parse_from_json(Some(merged));
            let whole =
                whole.map_err(|error| Refusal::Invalid { pointer: "".into(), message: error.into_message() })?;
            set(&whole, row)
        })
    }
}

impl<T: Type> Type for Changes<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        let name = T::name();
        format!("{}Changes", name.strip_prefix("New").unwrap_or(&name)).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            let whole = registry.create_fake_schema::<T>();
            // Write-only tells the document (`openapi`) that null is not allowed, although the member is not required.
            let optional = |(name, schema): (&'static str, MetaSchemaRef)| {
                let has_default = matches!(&schema, MetaSchemaRef::Inline(schema) if schema.default.is_some());
                let write_only = whole.required.contains(&name) || has_default;
                let mut schema = schema.merge(MetaSchema { write_only, ..MetaSchema::ANY });
                if let MetaSchemaRef::Inline(schema) = &mut schema {
                    schema.default = None;
                }
                (name, schema)
            };
            MetaSchema {
                description: Some("Changes. What is left out stays as it is."),
                properties: whole.properties.into_iter().map(optional).collect(),
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

impl<T: Type> ParseFromJSON for Changes<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::Object(members)) => Ok(Self(members, PhantomData)),
            other => Err(ParseError::expected_type(other.unwrap_or_default())),
        }
    }
}
