//! Types of values that several parts of a course document share.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::schema::{COLOR_PATTERN, SLUG_PATTERN, URL_PATTERN};

/// Whether learners can see an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "publication", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum Publication {
    Draft,
    #[default]
    Published,
    Archived,
}

/// Declares types that only provide the JSON schema of a string.
macro_rules! text_schema {
    ($(#[doc = $doc:literal] $name:ident: $schema:expr;)+) => {$(
        #[doc = $doc]
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )+};
}

text_schema! {
    /// A permanent, readable identifier.
    Slug: json_schema!({
        "description": "A permanent identifier of lower-case letters, digits and single hyphens.",
        "type": "string", "pattern": SLUG_PATTERN, "minLength": 2, "maxLength": 80
    });
    /// A URL.
    Url: json_schema!({
        "description": "A URL that starts with http:// or https://.",
        "type": "string", "pattern": URL_PATTERN, "maxLength": 2000
    });
    /// A colour.
    Color: json_schema!({
        "description": "A colour as #rrggbb in lower case.",
        "type": "string", "pattern": COLOR_PATTERN
    });
}
