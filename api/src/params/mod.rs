//! Parts of requests that many operations share.

mod body;
mod changes;
mod date;
mod idempotency;
mod if_match;
mod page;
mod person_query;

pub use self::body::Body;
pub(crate) use self::body::KeptBody;
pub use self::changes::Changes;
pub use self::date::Date;
pub use self::idempotency::{IdempotencyKey, IdempotentRequest};
pub use self::if_match::IfMatch;
pub use self::page::{Cursor, CursorKey, Limit, Page, PageRequest};
pub use self::person_query::PersonQuery;

/// Implements the traits that poem-openapi requires of a parameter that is a single string or number.
macro_rules! parameter_type {
    ($type:ty, $name:literal, required: $required:literal, $schema:expr) => {
        impl poem_openapi::types::Type for $type {
            const IS_REQUIRED: bool = $required;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                poem_openapi::registry::MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}
pub(crate) use parameter_type;
