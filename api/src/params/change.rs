//! Members of a PATCH body.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::Value;

/// A member that is changed or left out. Null is refused: for what can be cleared take
/// [`MaybeUndefined`](poem_openapi::types::MaybeUndefined).
#[derive(Clone, Debug)]
pub struct Change<T>(Option<T>);

impl<T> Change<T> {
    /// Sets what is to change.
    pub fn apply<U: From<T>>(self, to: &mut U) {
        if let Some(value) = self.0 {
            *to = value.into();
        }
    }
}

impl<T: Type> Type for Change<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("change_{}", T::name()).into()
    }

    /// Write-only tells the document (`openapi.rs`) that null is not allowed, although the member is not required.
    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref().merge(MetaSchema { write_only: true, ..MetaSchema::ANY })
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_ref().and_then(T::as_raw_value)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        match &self.0 {
            Some(value) => value.raw_element_iter(),
            None => Box::new(std::iter::empty()),
        }
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Change<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let value = value.map(|value| T::parse_from_json(Some(value)).map_err(ParseError::propagate));
        Ok(Self(value.transpose()?))
    }
}

impl<T: ToJSON> ToJSON for Change<T> {
    fn to_json(&self) -> Option<Value> {
        self.0.as_ref().and_then(T::to_json)
    }
}
