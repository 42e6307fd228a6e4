//! The body of a PATCH: some members of what a resource consists of.

use std::borrow::Cow;
use std::marker::PhantomData;

use cairn_core::activity::Verb;
use cairn_core::resource::{Edit, Refusal};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::{Map, Value};

/// Changes of what a `T` describes: members that are left out stay as they are, and null clears those that can be null
/// (RFC 7396). The schema follows from that of `T`, and is called after it: `StyleChanges` for `NewStyle`.
#[derive(Clone, Debug)]
pub struct Changes<T>(Map<String, Value>, PhantomData<fn() -> T>);

impl<T: ToJSON + ParseFromJSON> Changes<T> {
    /// The update of a row that makes these changes: the row as a `T`, with the members that were sent, set on the row.
    pub fn edit<R>(&self, set: fn(&T, &mut R)) -> Edit<R>
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
            // The members were checked one by one; what is left is a rule that spans several.
            let whole = T::parse_from_json(Some(merged));
            let whole =
                whole.map_err(|error| Refusal::Invalid { pointer: "".into(), message: error.into_message() })?;
            set(&whole, row);
            Ok(())
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
